"""Directories removed with all that is in them; no link is followed."""

from __future__ import annotations

import fcntl
import os

from casstore.errors import quote
from casstore.files import durable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


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
