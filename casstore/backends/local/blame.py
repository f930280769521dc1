"""Why SQLite could not use its files, which it does not say: it hides what the kernel answered.

No space shows as "disk I/O error" or "unable to open database file", and so does a file that this
user may not open, or a page that could not be read, as "database disk image is malformed". So one
looks at the disk and at the files before one blames the index, and calls it damaged only if it is
so twice.
"""

from __future__ import annotations

import os

from casstore.backends.local import schema
from casstore.errors import CasstoreError, Damaged, Locked, StorageError
from casstore.files import durable
from casstore.files.output import NO_UNNAMED
from casstore.startup.sqlite import sqlite3

_PROBE = 32 << 10  # bytes: what SQLite makes of its shared memory, at least


def told(error: schema.Error, path: str) -> CasstoreError:
    """SQLite's error in casstore's words. SQLite hides causes: look before blaming the file."""
    text = str(error)
    if isinstance(error, sqlite3.ProgrammingError):  # of whoever uses it, as when it was closed
        return StorageError(f"cannot use the index {path}: {text.rstrip('.').lower()}")
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Locked(f"the index {path} stayed locked by another program")
    if name.startswith("SQLITE_READONLY"):
        if _may_write(path):  # it could not be opened for writing just now
            return cause(path, text)
        return StorageError("cannot write the index: the store is read-only")
    if name.startswith("SQLITE_FULL"):
        return StorageError("cannot write the index: no space left on device", full=True)
    if name.startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_PROTOCOL")):
        return cause(path, text)
    if name.startswith("SQLITE_NOMEM"):
        return StorageError("cannot use the index: out of memory")
    if name.startswith("SQLITE_CORRUPT") and _is_sound(path):
        return StorageError(
            f"cannot read the index {path} ({text}); read again it is sound: the disk may be"
            " failing, trying again can work"
        )
    return Damaged(f"the index {path} is damaged ({text}); run: casstore fsck --rebuild")


def _may_write(path: str) -> bool:
    """Whether this user may write the database, on a file system that can be written."""
    return os.access(path, os.W_OK) and os.access(os.path.dirname(path), os.W_OK)


def _is_sound(path: str) -> bool:
    """Whether SQLite, which calls a page damaged that could not be read, finds nothing now."""
    try:
        connection = schema.open_for_reading(path)
        try:
            row: tuple[str] = connection.execute("PRAGMA quick_check(1)").fetchone()
            return row == ("ok",)
        finally:
            connection.close()
    except schema.Error:  # several classes in one name, which no tuple of others can hold
        return False
    except (CasstoreError, OSError):
        return False


def cause(path: str, text: str) -> StorageError:
    """What stands in the way of the database at `path`; SQLite's own `text` where nothing does."""
    from casstore.backends.local.creation import check_length

    try:
        check_length(os.path.dirname(path))
    except StorageError as error:
        return error
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
    try:
        _probe(os.path.join(os.path.dirname(path), "ingest"))
    except OSError as error:
        return durable.storage_error(error, "cannot use the index")
    return StorageError(f"cannot use the index {path}: {text}")


def _probe(directory: str) -> None:
    """Make a file that goes at once: raises the OSError that SQLite met, if it is met again.

    Not one of SQLite's own: to close that would drop the locks that this process has on it.
    """
    try:
        descriptor = os.open(directory, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in NO_UNNAMED or not os.path.isdir(directory):
            return  # this file system cannot do that, or this user may not
        raise
    try:
        os.posix_fallocate(descriptor, 0, _PROBE)
    finally:
        os.close(descriptor)
