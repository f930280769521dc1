"""A directory outside the store, written whole or not at all.

It is made beside its place under another name, flushed, and renamed there; rename(2) puts it over
an empty directory, too. A mount point, or a directory in one that this user may not write, cannot
be replaced: there it is made inside, and its parts are moved up, the last being the one without
which the directory is nothing. What a process that was killed leaves of either is locked by nobody,
and the next command for the same place removes it: a list, flushed before the first part moved,
says which those were.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from hashlib import sha256

from casstore.errors import Refused, quote
from casstore.files import durable
from casstore.files.strangers import is_systems
from casstore.files.trees import DIRECTORY, remove_dead, remove_tree

_ELSEWHERE = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))  # no directory can be made there
_LIST = ".casstore-parts"  # in what is made inside: names, each ended by a NUL


class OutputDirectory:
    """A context manager; what it yields is an empty directory to write to."""

    def __init__(self, path: str, last: str) -> None:
        """`last` is the name of the part that appears after all others.

        Raises:
            Refused: there is something at `path` that is no empty directory.
        """
        self._shown, self._path, self._last = path, os.path.realpath(path), last
        self._above, name = os.path.split(self._path)
        self._prefix = f".casstore-{sha256(os.fsencode(name)).hexdigest()[:16]}-"
        self._remove_dead(self._above)
        if os.path.isdir(self._path):
            self._remove_dead(self._path)
        if os.path.lexists(self._path) and not (
            os.path.isdir(self._path) and all(map(is_systems, os.listdir(self._path)))
        ):
            raise self._refusal()
        self._inside = False
        self._staging, self._descriptor = "", -1
        self._parts: list[str] = []

    def _refusal(self) -> Refused:
        return Refused(f"{quote(self._shown)} is there already and is not an empty directory")

    def __enter__(self) -> str:
        there = os.path.isdir(self._path)
        self._inside = there and bool(os.path.ismount(self._path) or os.listdir(self._path))
        name = f"{self._prefix}{os.urandom(6).hex()}.part"
        self._staging = os.path.join(self._path if self._inside else self._above, name)
        try:
            os.mkdir(self._staging)
        except OSError as error:
            if self._inside or not there or error.errno not in _ELSEWHERE:
                raise
            self._inside = True
            self._staging = os.path.join(self._path, name)
            os.mkdir(self._staging)
        try:
            self._descriptor = os.open(self._staging, DIRECTORY)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if there:
                self._be_like(os.stat(self._path))
        except BaseException:
            self._abandon()
            raise
        return self._staging

    def _be_like(self, replaced: os.stat_result) -> None:
        mine = os.fstat(self._descriptor)
        if (mine.st_uid, mine.st_gid) != (replaced.st_uid, replaced.st_gid):
            try:
                os.fchown(self._descriptor, replaced.st_uid, replaced.st_gid)
            except OSError:
                pass  # another user's: only root gives away
        os.fchmod(self._descriptor, stat.S_IMODE(replaced.st_mode))

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        try:
            if kind is None:
                self._parts = self._listed_parts() if self._inside else []
                durable.sync_tree(self._staging)
                self._install()
        except BaseException:
            self._abandon()
            raise
        if kind is not None:
            self._abandon()
        os.close(self._descriptor)

    def _listed_parts(self) -> list[str]:
        """The parts to be moved up, the last one last; the list of them is written down."""
        names = sorted(os.listdir(self._staging), key=lambda name: (name == self._last, name))
        with open(os.path.join(self._staging, _LIST), "xb") as file:
            file.writelines(os.fsencode(name) + b"\0" for name in names)
        return names

    def _install(self) -> None:
        if not self._inside:
            try:
                durable.publish([(self._staging, self._path)], self._above)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise
                raise self._refusal() from None  # another process was quicker
            return
        *others, last = [
            (os.path.join(self._staging, part), os.path.join(self._path, part))
            for part in self._parts
        ]
        durable.publish(others, self._path)
        durable.publish([last], self._path)
        remove_tree(self._staging)
        durable.sync_directory(self._path)

    def _abandon(self) -> None:
        """Take everything back; the first error is the one to tell."""
        if self._inside:
            self._remove_parts(self._staging, self._parts)
        remove_tree(self._staging)

    def _remove_parts(self, staging: str, parts: list[str]) -> None:
        """Remove what was moved out of `staging` into this place, unless that is whole."""
        if parts and not os.path.lexists(os.path.join(self._path, parts[-1])):
            for part in parts:
                if not os.path.lexists(os.path.join(staging, part)):
                    remove_tree(os.path.join(self._path, part))

    def _remove_dead(self, directory: str) -> None:
        """Remove what a process that was killed has left of this output."""
        try:
            names = [name for name in os.listdir(directory) if name.startswith(self._prefix)]
        except OSError:
            return
        for name in names:
            path = os.path.join(directory, name)

            def remove_parts(descriptor: int, path: str = path) -> None:
                self._remove_parts(path, self._dead_parts(path, os.fstat(descriptor).st_uid))

            remove_dead(path, remove_parts if directory == self._path else None)

    def _dead_parts(self, staging: str, owner: int) -> list[str]:
        """The parts that a process which was killed had written down before it moved the first.

        A list that neither this user nor the owner of the place has written says nothing of what
        may be removed.
        """
        if owner not in (os.geteuid(), os.stat(self._path).st_uid):
            return []
        try:
            with open(os.path.join(staging, _LIST), "rb") as file:
                *names, _ = file.read().split(b"\0")
        except FileNotFoundError:
            return []
        return [os.path.basename(os.fsdecode(name)) for name in names]
