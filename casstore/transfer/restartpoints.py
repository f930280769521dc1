"""Restart points of a compressed layer: where reading can begin other than at its start.

A pass over the layer notes them on the way: the starts of zstd frames and gzip members, and within
a long gzip member the starts of blocks (gzipboundaries.py), each with the 32 KiB before it, which
the block may refer to. They are kept beside the layer's table of contents. They save time and no
more: what is read from one is verified like anything else, and without them reading starts
further ahead.

The form in which they are kept has a head with a check sum and a zlib stream for each window, so
that taking one point reads a few kilobytes.
"""

from __future__ import annotations

import struct
import zlib

from casstore.startup.value import Value
from casstore.transfer.contentstable import Unusable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from casstore.transfer.contentstable import ContentsTable

BEGIN = 0xFF  # a frame or a member begins at the point
STORED = 8  # at the point is the length of a stored block of deflate; a smaller number is a bit
WINDOW = 32 << 10

# Between two points, in plain bytes.
FRAMES_APART = 1 << 20
BLOCKS_APART = 8 << 20  # inflated in some 10 ms by ISA-L; the window of a block takes 5 to 15 kB
MOST_BLOCKS = 512  # of them; then they are further apart
_RETRY = 1 << 20  # after blocks were looked for in vain

_HEAD = struct.Struct("<8sII")  # magic, number of points, check sum of what else the head has
_MAGIC = b"CSPOINT1"
_EACH = struct.Struct("<QQBI")  # packed, plain, bit, length of the deflated window


class RestartPoint(Value):
    """One place."""

    packed: int  # bytes of the blob before it
    plain: int  # bytes of the uncompressed layer before it
    bit: int  # of its byte, at which the block begins; or BEGIN or STORED
    window: bytes  # plain bytes before it, at most WINDOW


START = RestartPoint(0, 0, BEGIN, b"")


class PointsMaker:
    """Takes the points that a pass over a layer finds, as many as are worth to be kept."""

    def __init__(
        self, diff_size: int, *, frames: int = FRAMES_APART, blocks: int = BLOCKS_APART
    ) -> None:
        """For a layer of `diff_size` plain bytes; frames and blocks are at least so far apart."""
        self._frames = frames
        self._blocks = max(blocks, diff_size // MOST_BLOCKS)
        self._base = (0, 0)
        self._next = (self._frames, self._blocks)  # plain offsets: of a frame, of a block
        self._heads: list[bytes] = []
        self._windows: list[bytes] = []

    def rebase(self, packed: int, plain: int) -> None:
        """What is noted from here on is counted from this place."""
        self._base = packed, plain

    def begin(self, packed: int, plain: int) -> None:
        """A frame or a member begins here."""
        if plain + self._base[1] >= self._next[0]:
            self._add(packed, plain, BEGIN, b"")

    def wants_block(self, plain: int) -> bool:
        """Whether a point is due at this place within a member."""
        return plain + self._base[1] >= self._next[1]

    def block(self, packed: int, plain: int, bit: int, window: bytes) -> None:
        """A block of deflate begins here."""
        self._add(packed, plain, bit, zlib.compress(window, 1))

    def no_block(self, plain: int) -> None:
        """None was found here."""
        self._next = self._next[0], plain + self._base[1] + _RETRY

    def attachment(self) -> Iterator[bytes]:
        """All points, as `Points.load` reads them; nothing if there are none."""
        if self._heads:
            heads = b"".join(self._heads)
            yield _HEAD.pack(_MAGIC, len(self._heads), zlib.crc32(heads)) + heads
            yield from self._windows

    def _add(self, packed: int, plain: int, bit: int, window: bytes) -> None:
        packed, plain = packed + self._base[0], plain + self._base[1]
        self._heads.append(_EACH.pack(packed, plain, bit, len(window)))
        self._windows.append(window)
        self._next = plain + self._frames, plain + self._blocks


class Points:
    """The points of one layer, the start of the layer first. Windows are read when asked for."""

    def __init__(self, plain: list[int], packed: list[int], windows: Windows | None = None) -> None:
        """Starts of frames, but for those that have a window."""
        self.plain = plain
        self._packed = packed
        self._windows = windows

    @classmethod
    def of(cls, table: ContentsTable) -> Self | None:
        """The points kept in a table of contents; those with a window need it to be open."""

        def read(offset: int, size: int) -> bytes:
            try:
                return table.attachment(offset, size)
            except Unusable:
                return b""

        return cls.load(read)

    @classmethod
    def load(cls, read: Callable[[int, int], bytes]) -> Self | None:
        """The points in an attachment; None if it is not readable as such.

        Args:
            read: gives so many bytes of it from an offset on, fewer at its end.
        """
        head = read(0, _HEAD.size)
        if len(head) < _HEAD.size:
            return None
        magic, count, check = _HEAD.unpack(head)
        if magic != _MAGIC:
            return None
        heads = read(_HEAD.size, count * _EACH.size)
        if len(heads) < count * _EACH.size or zlib.crc32(heads) != check:
            return None
        windows = Windows(read, _HEAD.size + len(heads))
        plain, packed = [START.plain], [START.packed]
        for its_packed, its_plain, bit, length in _EACH.iter_unpack(heads):
            plain.append(its_plain)
            packed.append(its_packed)
            windows.add(bit, length)
        return cls(plain, packed, windows)

    def at(self, index: int) -> RestartPoint:
        """The point with this index, or an earlier one if its window is not readable."""
        while index and self._windows is not None:
            try:
                bit, window = self._windows.at(index - 1)
            except ValueError:
                index -= 1
                continue
            return RestartPoint(self._packed[index], self.plain[index], bit, window)
        return RestartPoint(self._packed[index], self.plain[index], BEGIN, b"")


class Windows:
    """Where the windows are in an attachment."""

    def __init__(self, read: Callable[[int, int], bytes], offset: int) -> None:
        self._read = read
        self._offsets = [offset]
        self._bits = bytearray()

    def add(self, bit: int, length: int) -> None:
        """The next window."""
        self._bits.append(bit)
        self._offsets.append(self._offsets[-1] + length)

    def at(self, index: int) -> tuple[int, bytes]:
        """The bit of a point, and its window. Raises ValueError: it is damaged, or not there."""
        bit = self._bits[index]
        if bit == BEGIN:
            return bit, b""
        start, end = self._offsets[index : index + 2]
        unpack = zlib.decompressobj()
        try:
            window = unpack.decompress(self._read(start, end - start), WINDOW + 1)
        except zlib.error as error:
            raise ValueError(str(error)) from None
        if bit > STORED or not unpack.eof:
            raise ValueError("no window")
        return bit, window
