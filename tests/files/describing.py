"""Entries of a tree, in few words; and what a tree on the disk is like."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from casstore.model.fileentry import (
    BLOCK_DEVICE,
    CHARACTER_DEVICE,
    DIRECTORY,
    FIFO,
    FILE,
    SYMLINK,
    FileEntry,
)

MTIME = 1_234_567_890_123_456_789


def directory(name: bytes, mode: int = 0o755, **fields: object) -> FileEntry:
    return _entry(name, DIRECTORY, mode, fields)


def file(name: bytes, size: int = 0, mode: int = 0o644, **fields: object) -> FileEntry:
    return _entry(name, FILE, mode, {"size": size, **fields})


def symlink(name: bytes, target: bytes, **fields: object) -> FileEntry:
    return _entry(name, SYMLINK, 0o777, {"target": target, **fields})


def fifo(name: bytes, mode: int = 0o644) -> FileEntry:
    return _entry(name, FIFO, mode, {})


def device(name: bytes, major: int, minor: int, *, block: bool = False) -> FileEntry:
    kind = BLOCK_DEVICE if block else CHARACTER_DEVICE
    return _entry(name, kind, 0o666, {"device": (major, minor)})


def _entry(name: bytes, kind: str, mode: int, fields: dict[str, object]) -> FileEntry:
    plain = FileEntry(name, kind, mode, os.geteuid(), os.getegid(), MTIME, 0, order=1, inode=1)
    return plain._replace(**fields)  # type: ignore[arg-type]  # each by its own name


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """The descriptor of a directory, which is made if it is not there."""
    path.mkdir(exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def seen(top: Path) -> dict[str, str]:
    """What each path below a directory is: `file 644`, `link -> target`, ..."""
    found = {}
    for folder, directories, files in os.walk(top):
        for name in (*directories, *files):
            path = Path(folder, name)
            status = path.lstat()
            mode = f"{stat.S_IMODE(status.st_mode):o}"
            if stat.S_ISLNK(status.st_mode):
                text = f"link -> {path.readlink()}"
            elif stat.S_ISDIR(status.st_mode):
                text = f"directory {mode}"
            elif stat.S_ISREG(status.st_mode):
                text = f"file {mode}"
            else:
                text = f"special {mode}"
            found[str(path.relative_to(top))] = text
    return found
