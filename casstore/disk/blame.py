"""Why SQLite could not use its files, which it does not say: it hides what the kernel answered.

No space shows as "disk I/O error" or "unable to open database file", and so does a file that this
user may not open. So one looks at the disk and at the files before one blames the index.
"""

from __future__ import annotations

import os

from casstore.errors import StorageError


def cause(path: str, text: str) -> StorageError:
    """What stands in the way of the database at `path`; SQLite's own `text` where nothing does."""
    try:
        disk = os.statvfs(os.path.dirname(path))
    except OSError:
        pass
    else:
        if not disk.f_bavail or (disk.f_files and not disk.f_favail):
            return StorageError("cannot use the index: no space left on device", full=True)
    for part in (path, f"{path}-wal", f"{path}-shm"):
        if os.path.islink(part):
            return StorageError(f"{part} is a symbolic link, which is refused in a store")
        if os.path.exists(part) and not os.access(part, os.R_OK | os.W_OK):
            return StorageError(f"cannot use the index {part}: permission denied")
    return StorageError(f"cannot use the index {path}: {text}")
