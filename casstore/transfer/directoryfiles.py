"""Stored blobs as files in a new directory, for the formats that are one.

Nothing is flushed to the disk: `files/outputdir.py` does that, and gives the directory its place.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Self

from casstore.errors import Damaged, Refused, quote
from casstore.transfer.tarout import verified

if TYPE_CHECKING:
    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.ports.blobs import StoredBlobs
    from casstore.progress import Task

    Link = Callable[[str, str], bool]

_FICLONE = 0x40049409  # linux/fs.h


class DirectoryFiles:
    """A directory that is filled; a context manager. On an error all of it is removed again."""

    def __init__(
        self, path: str, blobs: StoredBlobs, *, link: Link | None = None, task: Task | None = None
    ) -> None:
        """Of a directory that is not there yet, or is empty.

        Args:
            path: the directory.
            blobs: where the blobs are.
            link: `link(blob, target)` gives a stored blob a second name; False where it cannot.
                Blobs are copied then (by reflink, where the file system can).
            task: counts the bytes of blobs that are there.
        """
        self._path = path
        self._blobs = blobs
        self._link = link
        self._task = task
        self._made: list[Callable[[], None]] = []

    def __enter__(self) -> Self:
        """Make the directory. Raises Refused where there is something at its path."""
        try:
            os.mkdir(self._path)
        except FileExistsError:
            if not os.path.isdir(self._path) or os.listdir(self._path):
                raise Refused(
                    f"{quote(self._path)} is there already and is not an empty directory"
                ) from None
        else:
            self._made.append(_remover(os.rmdir, self._path))
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        if kind is not None:
            for undo in reversed(self._made):
                with contextlib.suppress(OSError):
                    undo()

    def directory(self, name: str) -> None:
        """Make a directory in it."""
        target = os.path.join(self._path, name)
        os.mkdir(target)
        self._made.append(_remover(os.rmdir, target))

    def file(self, name: str, data: bytes) -> None:
        """Write a file in it."""
        with open(self._new(name), "xb") as file:
            file.write(data)

    def blob(self, name: str, descriptor: Descriptor, *, own: bool = False) -> None:
        """Put a blob in it, as a file of this name.

        Args:
            name: the file's, in the directory.
            descriptor: of the blob.
            own: never a second name of the stored blob: a file that somebody may edit.

        Raises:
            Damaged: the blob is missing or is not its digest.
        """
        target = self._new(name)
        if own or not self._linked(descriptor, target):
            with open(target, "xb", buffering=0) as file:
                if not _reflink(file, self._blobs, descriptor.digest):
                    file.writelines(verified(descriptor, self._blobs))
        if self._task is not None:
            self._task.advance(descriptor.size)

    def _new(self, name: str) -> str:
        target = os.path.join(self._path, name)
        self._made.append(_remover(os.unlink, target))
        return target

    def _linked(self, descriptor: Descriptor, target: str) -> bool:
        source = self._blobs.path(descriptor.digest)
        if source is None or self._link is None:
            return False
        try:
            if os.lstat(source).st_size != descriptor.size:
                raise Damaged(f"blob {descriptor.digest} does not have {descriptor.size} bytes")
        except FileNotFoundError:
            raise Damaged(f"blob {descriptor.digest} is missing") from None
        return self._link(source, target)


def _remover(remove: Callable[[str], None], path: str) -> Callable[[], None]:
    return lambda: remove(path)


def _reflink(target: IO[bytes], blobs: StoredBlobs, digest: Digest) -> bool:
    with blobs.open(digest) as source:
        try:
            fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
        except (OSError, ValueError):  # another file system; no file at all
            return False
    return True
