"""Directories emptied by open directories alone, whatever their depth and whatever their modes."""

from __future__ import annotations

import os

from casstore.files.namesat import move
from casstore.files.trees import DIRECTORY

# A directory that is only gone through, which its owner need not be able to list. (O_PATH is not in
# every build of Python.)
PATH = getattr(os, "O_PATH", 0o10000000) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def empty_directory(descriptor: int) -> None:
    """Remove all that is in an open directory, however deep, without following links.

    A directory that is not empty is moved up and done later: so a path never becomes long, and at
    most two directories are open at a time. Raises OSError.
    """
    marked = f".casstore-{os.urandom(6).hex()}-".encode()
    count = done = 0

    def clear(directory: int) -> None:
        nonlocal count
        with os.scandir(directory) as entries:
            found = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False))
                     for entry in entries]  # fmt: skip
        for name, is_directory in found:
            if not is_directory:
                os.unlink(name, dir_fd=directory)
            else:
                open_up(name, directory)  # one that may not be written cannot be moved
                move(name, directory, marked + str(count).encode(), descriptor)
                count += 1

    clear(descriptor)
    while done < count:
        name = marked + str(done).encode()
        done += 1
        below = os.open(name, DIRECTORY, dir_fd=descriptor)
        try:
            clear(below)
        finally:
            os.close(below)
        os.rmdir(name, dir_fd=descriptor)


def open_up(name: bytes, parent: int) -> None:
    """Let the owner of a directory read and write it, whatever its mode forbids. Raises OSError."""
    descriptor = os.open(name, PATH, dir_fd=parent)
    try:
        found = os.fstat(descriptor)
        if found.st_mode & 0o700 != 0o700 and found.st_uid == os.geteuid():
            os.chmod(f"/proc/self/fd/{descriptor}", 0o700)
    finally:
        os.close(descriptor)
