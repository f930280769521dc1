"""What has become of a store that was made of a template.

Bytes are compared where there are few, for a file can be written twice within a tick of the
kernel's clock. Blobs are many and large, and other names of theirs are in other stores: each is
believed as long as it is the same file, and the kernel has noted no change of it, neither of its
content nor of what is noted of it. That is a second stamp, which no program can set.

Only errors are looked for, so what a check notes or warns of is not.
"""

from __future__ import annotations

import os

from casstore.backends.local import told
from casstore.backends.local.reserve import NAME as RESERVE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.backends.local.care.template import Template
    from casstore.backends.local.directory import LocalStore
    from casstore.model.findings import Finding

_DIRECTORIES = frozenset(("blobs", "ingest"))
_LOG = "casstore.db-wal"  # empty as long as nobody has changed anything
# What those make who look, or whose change is refused; and whether it is a directory.
_MAY_COME = {_LOG: False, "casstore.db-shm": False, "casstore.lock": False, RESERVE: True}
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Status = tuple[int, ...]


class Made:
    """See ports/template.py."""

    def __init__(self, template: Template, disk: LocalStore) -> None:
        """Note what is there; the store has just been made."""
        self._template, self._disk = template, disk
        self._blobs = _statuses(disk.blobs.directory)

    def is_as_made(self) -> bool:
        try:
            return self._is_as_made()
        except OSError:
            return False  # a check says what it is

    def _is_as_made(self) -> bool:
        disk, files = self._disk, self._template.files
        return (
            self._has_its_parts()
            and all(_content(os.path.join(disk.root, name)) == files[name] for name in files)
            and not os.listdir(disk.ingest)  # neither is anything arriving, nor held
            and not os.path.islink(disk.blobs.directory)
            and _statuses(disk.blobs.directory) == self._blobs
        )

    def _has_its_parts(self) -> bool:
        """Whether each is there and what it should be, and nothing is beside them."""
        files = dict.fromkeys(self._template.files, False)
        needed = {**files, **dict.fromkeys(_DIRECTORIES, True)}
        expected = {**needed, **_MAY_COME}
        found = set()
        with os.scandir(self._disk.root) as entries:
            for entry in entries:
                is_directory = entry.is_dir(follow_symlinks=False)
                if expected.get(entry.name) is not is_directory:
                    return False
                if not (is_directory or entry.is_file(follow_symlinks=False)):
                    return False  # a symbolic link, or no file at all
                if entry.name == _LOG and entry.stat().st_size:
                    return False
                found.add(entry.name)
        return found.issuperset(needed)

    @told("check the store")
    def errors(self) -> list[Finding]:
        from casstore.backends.local.care.fsck import errors_of
        from casstore.backends.local.care.knowntrees import Believed

        self._disk.require()
        return errors_of(self._disk, Believed(self._template.known, self._same_blobs()))

    def _same_blobs(self) -> frozenset[str]:
        """Names of the blobs whose files are as they were made."""
        try:
            now = _statuses(self._disk.blobs.directory)
        except OSError:
            return frozenset()
        return frozenset([name for name, status in self._blobs.items() if now.get(name) == status])


def _statuses(directory: str) -> dict[str, Status]:
    """What changes with a file, or with what is noted of it, by the names in a directory."""
    with os.scandir(directory) as entries:
        return {entry.name: _status(entry.stat(follow_symlinks=False)) for entry in entries}


def _status(s: os.stat_result) -> Status:
    return s.st_dev, s.st_ino, s.st_mode, s.st_size, s.st_mtime_ns, s.st_ctime_ns


def _content(path: str) -> bytes:
    descriptor = os.open(path, _READ)
    with open(descriptor, "rb", buffering=0) as file:
        return file.read()
