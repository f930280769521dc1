"""A large new file whose bytes come in any order, past the page cache where that can be done.

Copied into the page cache, an archive of a gigabyte costs as much processor time as decompressing
it, and pushes out what others have there; and all of it would still be waiting when the file is
flushed at the end. So whole blocks are written by direct I/O, straight from the caller's buffer,
and only their ragged ends through the cache: all of them at the end, for until then each would wait
for what is being written to the same file, longer than it takes to write the rest. Where the file
system or the device takes no direct I/O (EINVAL), writing goes through the cache, and write-back
starts at once.
"""

from __future__ import annotations

import errno
import os

from casstore.startup import allocate_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

_ALIGN = os.sysconf("SC_PAGESIZE") if hasattr(os, "sysconf") else 4096
_WORTH = 64 << 10  # less goes through the page cache
_MOST = 4096  # ends that are held: less than a page each
_PROBE = 64 << 10
_WRITE = 2  # SYNC_FILE_RANGE_WRITE of linux/fs.h
_DIRECT = getattr(os, "O_DIRECT", 0)


class PlacedFile:
    """Any thread may call `place`; close it, or use `with`. Nothing is durable before a flush."""

    def __init__(self, path: str, descriptor: int, size: int) -> None:
        """`descriptor` is that of a new file, empty, which gets `size` zeros.

        `path` opens it once more; it is followed, for the descriptor's own entry in /proc is a
        symbolic link.

        Raises:
            OSError: there is no space for it.
        """
        self._file = descriptor
        self._held: list[tuple[int, bytes]] = []
        self._lock = allocate_lock()
        self._direct = self._second = _open_direct(path)
        os.ftruncate(descriptor, size)
        if self._direct is not None and _reserves(descriptor, size):
            try:
                os.posix_fallocate(descriptor, 0, size)
            except BaseException:
                self.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        if kind is not None:
            self._held.clear()  # the file is good for nothing
        self.close()

    def close(self) -> None:
        """No more will be placed; what was can be read from here on. Raises OSError."""
        second, self._direct, self._second = self._second, None, None
        try:
            self._write_held()
        finally:
            if second is not None:
                os.close(second)

    def place(self, offset: int, data: memoryview) -> None:
        """Write `data` at `offset`.

        Without a copy, if it begins in a page of memory where `offset` begins in one of a file.
        """
        direct = self._direct
        if len(data) < _ALIGN:
            self._hold(offset, data)
            return
        if direct is None or len(data) < _WORTH:
            self._through_cache(offset, data)
            return
        first = -offset % _ALIGN
        last = len(data) - (offset + len(data)) % _ALIGN
        if first:
            self._hold(offset, data[:first])
        try:
            _write(direct, offset + first, data[first:last])
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self._direct = None
            self._through_cache(offset + first, data[first:last])
        if last < len(data):
            self._hold(offset + last, data[last:])

    def _hold(self, offset: int, data: memoryview) -> None:
        with self._lock:
            self._held.append((offset, bytes(data)))
            if len(self._held) >= _MOST:
                self._write_held()

    def _write_held(self) -> None:
        """Write the ends of blocks, adjacent ones in one call. No other thread may hold one."""
        held, self._held = sorted(self._held), []
        start, whole = 0, bytearray()
        for offset, data in held:
            if offset != start + len(whole):
                _write(self._file, start, memoryview(whole))
                start, whole = offset, bytearray()
            whole += data
        _write(self._file, start, memoryview(whole))

    def _through_cache(self, offset: int, data: memoryview) -> None:
        _write(self._file, offset, data)
        if len(data) >= _WORTH:
            start_writeback(self._file, offset, len(data))


def start_writeback(descriptor: int, offset: int, length: int) -> None:
    """Let the disk begin with bytes that were written, and wait for nothing.

    For large files whose flush would else find the disk idle so far and all of them to write. They
    stay in the page cache, which posix_fadvise would empty of what is written by then.
    """
    import ctypes  # 10 ms, which a file worth it does not notice

    begin = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if begin is not None:  # Linux; it is no more than a hint
        begin(descriptor, ctypes.c_int64(offset), ctypes.c_int64(length), _WRITE)


def _open_direct(path: str) -> int | None:
    if not _DIRECT:
        return None
    try:
        return os.open(path, os.O_WRONLY | os.O_CLOEXEC | _DIRECT)
    except OSError:
        return None


def _reserves(descriptor: int, size: int) -> bool:
    """Whether the file system can reserve space; if not, the C library would write every block."""
    if size <= _PROBE:
        return False
    os.posix_fallocate(descriptor, 0, _PROBE)
    try:
        os.lseek(descriptor, 0, os.SEEK_DATA)
    except OSError:
        return True  # space, and no data in it
    return False


def _write(descriptor: int, offset: int, data: memoryview) -> None:
    while data:
        count = os.pwrite(descriptor, data, offset)
        data = data[count:]
        offset += count
