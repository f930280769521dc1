"""The mode of what is in a store, changed without following a link and without reading the file."""

from __future__ import annotations

import os
import stat

from casstore.files.durable import BLOB_MODE

_PATH = getattr(os, "O_PATH", 0o10000000)  # fcntl.h; not in every build of Python


def change_mode(path: str, mode: int) -> bool:
    """Give a regular file or a directory this mode; False where it has it already.

    chmod(2) follows links, and a file that its owner may not read cannot be opened for fchmod(2):
    by way of /proc a descriptor that is only a path has neither fault (open(2), O_PATH).

    Raises:
        OSError: it is of another user, or not there.
    """
    descriptor = os.open(path, _PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor).st_mode
        if not (stat.S_ISREG(found) or stat.S_ISDIR(found)) or stat.S_IMODE(found) == mode:
            return False
        os.chmod(f"/proc/self/fd/{descriptor}", mode)
    finally:
        os.close(descriptor)
    return True


def protect(path: str) -> bool:
    """Make a blob read-only for everybody, and readable; False where it is. Raises OSError."""
    return change_mode(path, BLOB_MODE)
