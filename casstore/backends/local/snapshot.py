"""The database as it is, for a reader who may write nothing.

SQLite cannot open a database in WAL mode where it can neither find nor make the shared-memory file
(-shm): on a read-only file system, in somebody else's store. Its way out, `immutable=1`, ignores a
log (-wal) that a killed process left, and takes no notice of a writer on the other side of a
read-only mount. So the file is copied into memory, and the log applied to the copy: whole
transactions up to the first frame whose check sum is wrong, as SQLite itself recovers it.

Format: sqlite.org/fileformat2.html, "The Write-Ahead Log".
"""

from __future__ import annotations

import os
import struct
import time

from casstore.backends.local import schema
from casstore.backends.local.migrations import upgrade_from
from casstore.errors import Damaged, StorageError
from casstore.files.durable import storage_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from casstore.backends.local.schema import Connection

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WAL_HEADER = 32
_FRAME_HEADER = 24
_MAGIC = 0x377F0682  # the last bit says in which byte order check sums are made
_TRIES = 50
_SETTLE = 0.02  # seconds; file times are no finer than a tick of the kernel


def open_snapshot(path: str) -> Connection:
    """A connection to a private copy of the database at `path`, in memory.

    Raises:
        StorageError: it cannot be read, or changes faster than it can be copied.
        schema.Error: it is no database.
    """
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_SETTLE)
        try:
            before = _state(path)
            data, log = _read(path), _read(path + "-wal")
            if _state(path) != before:
                continue
        except OSError as error:
            raise storage_error(error, f"cannot read the index {path}") from None
        return in_memory(data, log)
    raise StorageError(f"the index {path} is being changed all the time; try again")


def in_memory(data: bytes, log: bytes = b"") -> Connection:
    """A connection to a database in memory that has this content, with what is in its log."""
    image = _applied(data, log)
    connection = schema.in_memory()
    if image:
        connection.deserialize(image)
    return connection


def private_copy(connection: schema.Connection) -> schema.Connection:
    """The database as a connection sees it now, for its caller alone, and of the version of today.

    SQLite keeps it in memory, and in a file without a name where it is large.
    """
    copy = schema.in_memory("")
    copy.path = connection.path  # whose errors its own are, to who looks for their cause
    connection.backup(copy)
    version: int = copy.execute("PRAGMA user_version").fetchone()[0]
    if version < schema.FORMAT_VERSION:
        copy.executescript(f"BEGIN; {upgrade_from(version)} COMMIT;")
    return copy


def undo_last(connection: schema.Connection) -> None:
    """Take back the last transaction of the log, which could not be flushed.

    The database gets the content that it had before, by another transaction that is not flushed
    either. And as a page that could not be written counts as written to the kernel, what is in the
    log of the first one is written again: the next flush must not leave it out, and find its own
    transaction behind a gap.

    Raises:
        StorageError, OSError: not even that can be written.
    """
    path = connection.path or ""
    log = _read(path + "-wal")
    start, stop = _last_transaction(log)
    with open(path + "-wal", "r+b", buffering=0) as file:
        file.seek(start)
        file.write(log[start:stop])
    alone = schema.connect_alone(path)
    copy = schema.in_memory()
    try:
        copy.deserialize(_applied(alone.serialize(), log[:start]))
        copy.backup(connection)
    finally:
        copy.close()
        alone.close()


def copy_to(connection: schema.Connection, path: str) -> None:
    """Write the database as a connection sees it to a new file, complete when this returns."""
    copy = schema.in_memory(path)
    try:
        connection.backup(copy)
        copy.execute("PRAGMA journal_mode = WAL")
        copy.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        copy.close()


def _state(path: str) -> list[tuple[int, ...] | None]:
    state: list[tuple[int, ...] | None] = []
    for name in (path, path + "-wal"):
        try:
            found = os.lstat(name)
        except FileNotFoundError:
            state.append(None)
        else:
            state.append((found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))
    return state


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, _FLAGS)
    except FileNotFoundError:
        if path.endswith("-wal"):
            return b""
        raise Damaged("casstore.db is missing; the next change rebuilds it") from None
    with open(descriptor, "rb", buffering=0) as file:
        return file.read()


def _last_transaction(log: bytes) -> tuple[int, int]:
    """Where the last whole transaction is in the log."""
    start = stop = at = _WAL_HEADER
    for _, page, size in _frames(log):
        at += _FRAME_HEADER + len(page)
        if size:
            start, stop = stop, at
    return start, stop


def _applied(data: bytes, log: bytes) -> bytes:
    """The database with the transactions of the log in it, marked as one that needs no log."""
    image = bytearray(data)
    pages: dict[int, bytes] = {}
    for number, page, size in _frames(log):
        pages[number] = page
        if size:  # the last frame of a transaction tells the pages that the database then has
            length = size * len(page)
            image.extend(bytes(max(length - len(image), 0)))
            del image[length:]
            for at, content in pages.items():
                if at <= size:
                    image[(at - 1) * len(page) : at * len(page)] = content
            pages.clear()
    if len(image) >= 20:
        image[18:20] = b"\x01\x01"  # read and write version: no WAL, which memory has not
    return bytes(image)


def _frames(log: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Page number, page, and pages after the commit (0 within a transaction), while they hold."""
    if len(log) < _WAL_HEADER:
        return
    magic, _, page_size = struct.unpack_from(">III", log)
    if magic & ~1 != _MAGIC or not 512 <= page_size <= 65536 or page_size & (page_size - 1):
        return
    order = ">" if magic & 1 else "<"
    salts = log[16:24]
    sums = _checksum(order, log[:24], (0, 0))
    if struct.pack(">II", *sums) != log[24:32]:
        return
    step = _FRAME_HEADER + page_size
    for at in range(_WAL_HEADER, len(log) - step + 1, step):
        header = log[at : at + _FRAME_HEADER]
        number, size = struct.unpack_from(">II", header)
        page = log[at + _FRAME_HEADER : at + step]
        if header[8:16] != salts or not number:
            return
        sums = _checksum(order, page, _checksum(order, header[:8], sums))
        if struct.pack(">II", *sums) != header[16:24]:
            return
        yield number, page, size


def _checksum(order: str, data: bytes, start: tuple[int, int]) -> tuple[int, int]:
    one, two = start
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return one, two
