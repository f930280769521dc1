"""Where blocks of deflate begin within a gzip member, found while it is inflated.

Inflating can begin at any block, given the 32 KiB of plain bytes before it. Neither zlib's binding
nor ISA-L's tells where blocks begin, and libraries that do (indexed_gzip, rapidgzip) cost more to
import than a whole `cat`, and have wheels for some machines only. But it can be seen:

- A block with codes of its own begins with a description of them, of 40 bytes and more, and while
  an inflater reads that, nothing comes out. Fed a few bytes at a time, it stalls. Then the block
  begins at one of some hundred bits; those where no valid description begins fall away, and the
  others are tried.
- A stored block begins with its length and the complement of that (RFC 1951, 3.2.4).

Either way a place counts only if inflating from it gives what comes next in the layer.
"""

from __future__ import annotations

from casstore.transfer.gzipstream import BadGzip, Inflater, inflater
from casstore.transfer.restartpoints import STORED, WINDOW, PointsMaker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_STEP = 24  # bytes fed at a time; one step of them lies within a description of 47
_SYMBOL = 8  # bytes that an inflater may hold: a length and a distance have 48 bits
_AHEAD = 4 << 10  # packed bytes that are inflated to try a place
_ROOM = 64 << 10  # plain bytes: more than a step can give (1032 for a byte)
_ENOUGH = 512  # plain bytes that must be right
_TRIES = 8  # stored blocks that are tried in a chunk
_LEAST = 32 << 10  # of a chunk that is worth looking at
_PATIENCE = 4  # chunks that are looked at in vain

# A block that is not the last, has codes of its own, and gives nothing: 93 bits. Then one with
# fixed codes: 10 bits. Put before a block they make it begin at any bit of a byte.
_ODD, _ODD_BITS = 0x5AFFF90000000000901C004, 93
_EVEN, _EVEN_BITS = 0b10, 10
_DYNAMIC = 2
_CODE_LENGTHS = 7  # the longest code of a code length


def restart(bit: int, data: bytes | memoryview) -> bytes:
    """A deflate stream that begins with the block at this bit (or STORED) of the first byte."""
    if bit == STORED:
        return b"\0" + bytes(data)  # the header of a stored block that is not the last
    before, bits = (_ODD, _ODD_BITS) if bit & 1 else (0, 0)
    while bits % 8 != bit:
        before |= _EVEN << bits
        bits += _EVEN_BITS
    before |= (data[0] >> bit << bit) << (bits - bit)
    return before.to_bytes(bits // 8 + 1, "little") + bytes(data[1:])


class BoundaryFinder:
    """An inflater of one gzip member that notes restart points on the way."""

    def __init__(self, inflater: Inflater, points: PointsMaker, packed: int, plain: int) -> None:
        """So many bytes are before the member."""
        self._inflater = inflater
        self._points = points
        self._packed = packed
        self._plain = plain
        self._tail = b""  # what came out last, at least WINDOW of it if there was as much
        self._drained = True
        self._held = b""  # was given, and is not fed yet
        self._looks = 0  # in vain

    @property
    def eof(self) -> bool:
        return self._inflater.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflater.unused_data + self._held

    def decompress(self, data: bytes | memoryview, max_length: int, /) -> bytes:
        if self._held:
            data, self._held = self._held + data, b""
        if (
            self._drained
            and len(data) >= _LEAST
            and max_length > _ROOM
            and self._points.wants_block(self._plain)
        ):
            out = self._look(memoryview(data), max_length)
        else:
            out = self._inflater.decompress(data, max_length)
        self._drained = len(out) < max_length
        self._packed += len(data) - len(self._held)
        self._plain += len(out)
        self._tail = out if len(out) >= WINDOW else self._tail[-WINDOW:] + out
        return out

    def _look(self, data: memoryview, room: int) -> bytes:
        out, found = (self._find_stored if self._looks & 1 else self._find_dynamic)(data, room)
        self._looks = 0 if found else self._looks + 1
        if self._looks == _PATIENCE:
            self._looks = 0
            self._points.no_block(self._plain + len(out))
        return out

    def _find_dynamic(self, data: memoryview, room: int) -> tuple[bytes, bool]:
        parts, at = list[bytes](), 0
        while at < len(data) - _AHEAD and room > _ROOM and not self._inflater.eof:
            part = self._inflater.decompress(data[at : at + _STEP], room)
            at += _STEP
            if not part and at > 4 * _STEP:
                break
            parts.append(part)
            room -= len(part)
        else:
            parts.append(self._rest(data[at:], room))
            return b"".join(parts), False
        before, rest = b"".join(parts), self._rest(data[at:], room)
        first = at - 2 * _STEP - _SYMBOL
        window = self._window(before)
        for place, bit in _descriptions(data[first : at + _SYMBOL]):
            stream = restart(bit, data[first + place : at + _AHEAD])
            if _gives(stream, window, rest):
                packed, plain = self._packed + first + place, self._plain + len(before)
                self._points.block(packed, plain, bit, window)
                return before + rest, True
        return before + rest, False

    def _find_stored(self, data: memoryview, room: int) -> tuple[bytes, bool]:
        out, at = b"", 0
        for place in _stored_lengths(data):
            if place < at:
                continue
            out += self._rest(data[at:place], room - len(out))
            at = place
            if room - len(out) <= _ROOM or self._inflater.eof:
                break
            window, before = self._window(out), len(out)
            at += _AHEAD
            ahead = self._rest(data[place:at], room - before)
            out += ahead
            # 00 FF FF 00 00: the first byte is the end of the block's header, or of its length.
            for its in (place, place + 1):
                if _gives(restart(STORED, data[its:at]), window, ahead):
                    self._points.block(self._packed + its, self._plain + before, STORED, window)
                    return out + self._rest(data[at:], room - len(out)), True
        return out + self._rest(data[at:], room - len(out)), False

    def _window(self, out: bytes) -> bytes:
        return (self._tail + out)[-WINDOW:]

    def _rest(self, data: memoryview, room: int) -> bytes:
        """What comes out of `data`, which is held where nothing more can come out."""
        if room and not self._held and not self._inflater.eof:
            return self._inflater.decompress(data, room)
        self._held += data
        return b""


def _descriptions(data: memoryview) -> Iterator[tuple[int, int]]:
    """Where a valid description of codes begins, by its first 74 bits: byte and bit."""
    number = int.from_bytes(data, "little")
    for at in range(8 * (len(data) - _SYMBOL)):
        bits = number >> at
        # Not the last block; the numbers of codes (RFC 1951, 3.2.7).
        if bits & 7 != _DYNAMIC << 1 or (bits >> 3 & 31) > 29 or (bits >> 8 & 31) > 29:
            continue
        lengths = (bits >> 13 & 15) + 4
        bits >>= 17
        used = 0
        for _ in range(lengths):
            if length := bits & 7:
                used += 1 << _CODE_LENGTHS >> length
            bits >>= 3
        if used == 1 << _CODE_LENGTHS:
            yield at >> 3, at & 7


def _stored_lengths(data: memoryview) -> Iterator[int]:
    """Where a number of two bytes and its complement are; some such places."""
    number = int.from_bytes(data, "little")
    pairs = (number ^ number >> 16).to_bytes(len(data), "little")
    at = 0
    for _ in range(_TRIES):
        at = pairs.find(b"\xff\xff", at + 1, len(data) - _AHEAD)
        if at < 0:
            return
        yield at


def _gives(stream: bytes, window: bytes, plain: bytes) -> bool:
    """Whether inflating `stream` gives what `plain` begins with."""
    try:
        out = inflater(window).decompress(stream, len(plain))
    except BadGzip:
        return False
    return len(out) >= _ENOUGH and plain.startswith(out)
