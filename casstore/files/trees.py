"""Directories removed with all that is in them; no link is followed."""

from __future__ import annotations

import fcntl
import os

from casstore.errors import quote
from casstore.files import durable
from casstore.files.namesat import move

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A directory that is only gone through, which its owner need not be able to list. (O_PATH is not in
# every build of Python.)
PATH = getattr(os, "O_PATH", 0o10000000) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(path: str) -> tuple[int, int]:
    """Remove a file, or a directory of files, without following links.

    Returns:
        Files removed, and their bytes on disk (of a file that has no other name).
    """
    try:
        status = os.lstat(path)
        if os.path.isdir(path) and not os.path.islink(path):
            files = size = 0
            for name in os.listdir(path):
                more_files, more_size = remove_tree(os.path.join(path, name))
                files, size = files + more_files, size + more_size
            os.rmdir(path)
            return files, size
        os.unlink(path)
    except FileNotFoundError:
        return 0, 0
    except OSError as error:
        raise durable.storage_error(error, f"cannot remove {quote(path)}") from None
    return 1, status.st_size if status.st_nlink == 1 else 0


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


def remove_dead(path: str, before: Callable[[int], object] | None = None) -> None:
    """Remove a staging directory, unless the process that writes it is alive and has it locked.

    Args:
        path: the directory; a link is left alone.
        before: called with its descriptor while it is locked, before it goes.
    """
    try:
        descriptor = os.open(path, DIRECTORY)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if before is not None:
            before(descriptor)
        remove_tree(path)
    except OSError:
        pass  # it is being written
    finally:
        os.close(descriptor)
