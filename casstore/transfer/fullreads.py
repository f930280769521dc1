"""Reading streams that give fewer bytes at a time than asked for, as pipes and sockets do."""

from __future__ import annotations

import io

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

AT_ONCE = 128 << 10  # what is read in such steps can be hashed from the core's own cache


def read_fully(stream: IO[bytes], size: int) -> bytes:
    """`size` bytes, or fewer at the end of the stream."""
    data = stream.read(size)
    while data and len(data) < size:
        more = stream.read(size - len(data))
        if not more:
            break
        data += more
    return data


def read_into(stream: IO[bytes], buffer: memoryview) -> int:
    """Fill `buffer` from `stream`; fewer bytes than fit mean the end of the stream."""
    filled, size = 0, len(buffer)
    into = getattr(stream, "readinto", None)
    while filled < size:
        if into is not None:
            count = into(buffer[filled:]) or 0
        else:
            data = stream.read(size - filled)
            count = len(data)
            buffer[filled : filled + count] = data
        if not count:
            break
        filled += count
    return filled


def remaining(stream: IO[bytes], behind: int) -> int | None:
    """Length of `stream` of which `behind` bytes are read, if it can seek."""
    try:
        if not stream.seekable():
            return None
        here = stream.tell()
        end = stream.seek(0, io.SEEK_END)
        stream.seek(here)
    except (AttributeError, OSError, ValueError):
        return None
    return end - here + behind
