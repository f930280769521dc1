"""Where the frames of a zstd stream end, told from their headers alone (RFC 8878, section 3).

A layer blob may be one frame or thousands, with skippable frames between them (ours have one for
every 4 MiB, zstd:chunked puts its tables in skippable ones). libzstd's Python bindings do not say
where a frame stops, and take a stream that is cut in the middle of a frame for a complete one.
So the frame and block headers are read here: a frame is known to be whole before its end is
believed, and whole frames can be handed to several threads.
"""

from __future__ import annotations

from casstore.errors import Refused
from casstore.startup.value import Value
from casstore.transfer.outputlimit import BeyondLimit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

MAGIC = b"\x28\xb5\x2f\xfd"
SKIPPABLE_MAGICS = frozenset(bytes((low, 0x2A, 0x4D, 0x18)) for low in range(0x50, 0x60))
MAX_WINDOW = 128 << 20
MAX_BLOCK = 128 << 10

_MAGIC_SIZE = 4
_LONGEST_HEADER = 18  # magic, descriptor, window, dictionary ID, content size
_CONTENT_SIZE_BYTES = (0, 2, 4, 8)
_DICTIONARY_BYTES = (0, 1, 2, 4)
_RLE = 1
_RESERVED = 3


class FrameHeader(Value):
    """What the header of a frame says of the frame."""

    length: int  # bytes of the header itself, magic included
    skippable: bool
    content_size: int | None  # decompressed bytes; for a skippable frame the bytes to skip
    window: int
    checksum: bool


def header_length(head: bytes) -> int:
    """How many bytes must be at hand before `parse_header` can read the header."""
    if len(head) < _MAGIC_SIZE + 1:
        return _MAGIC_SIZE + 1
    if head[:_MAGIC_SIZE] in SKIPPABLE_MAGICS:
        return 2 * _MAGIC_SIZE
    flags = head[_MAGIC_SIZE]
    single = flags >> 5 & 1
    size_bytes = _CONTENT_SIZE_BYTES[flags >> 6] or single
    return _MAGIC_SIZE + 1 + (1 - single) + _DICTIONARY_BYTES[flags & 3] + size_bytes


def parse_header(head: bytes) -> FrameHeader:
    """Read a frame header of `header_length(head)` bytes.

    Raises:
        Refused: no zstd frame, a reserved bit, a dictionary, or a window over the limit.
    """
    magic = head[:_MAGIC_SIZE]
    if magic in SKIPPABLE_MAGICS:
        size = int.from_bytes(head[_MAGIC_SIZE : 2 * _MAGIC_SIZE], "little")
        return FrameHeader(
            2 * _MAGIC_SIZE, skippable=True, content_size=size, window=0, checksum=False
        )
    if magic != MAGIC:
        raise Refused("corrupt zstd data: unexpected bytes after the last frame")
    flags = head[_MAGIC_SIZE]
    if flags & 0x08:
        raise Refused("corrupt zstd data: reserved bit set in a frame header")
    at = _MAGIC_SIZE + 1
    single = bool(flags & 0x20)
    window = 0
    if not single:
        exponent, mantissa = head[at] >> 3, head[at] & 7
        window = (1 << (10 + exponent)) * (8 + mantissa) // 8
        at += 1
    dictionary = _DICTIONARY_BYTES[flags & 3]
    if any(head[at : at + dictionary]):
        raise Refused("zstd data needs a dictionary")
    at += dictionary
    size_bytes = _CONTENT_SIZE_BYTES[flags >> 6] or int(single)
    content_size = int.from_bytes(head[at : at + size_bytes], "little") if size_bytes else None
    if content_size is not None and size_bytes == 2:
        content_size += 256
    if single:
        window = content_size or 0
    if window > MAX_WINDOW:
        raise BeyondLimit(
            f"zstd window of {window} bytes exceeds the limit of {MAX_WINDOW >> 20} MiB"
        )
    return FrameHeader(
        at + size_bytes,
        skippable=False,
        content_size=content_size,
        window=window,
        checksum=bool(flags & 0x04),
    )


def whole_frame(data: memoryview) -> tuple[int, FrameHeader] | None:
    """The frame that `data` begins with, if it is there to its end: its length, and its header.

    Raises:
        Refused: it is no zstd frame.
    """
    end = len(data)
    wanted = header_length(bytes(data[:_LONGEST_HEADER]))
    if wanted > end:
        return None
    header = parse_header(bytes(data[:wanted]))
    at = wanted
    if header.skippable:
        at += header.content_size or 0
        return (at, header) if at <= end else None
    last = 0
    while not last:
        if at + 3 > end:
            return None
        word = data[at] | data[at + 1] << 8 | data[at + 2] << 16
        last, kind, size = word & 1, word >> 1 & 3, word >> 3
        if kind == _RESERVED or size > MAX_BLOCK:
            raise Refused("corrupt zstd data: bad block header")
        at += 3 + (1 if kind == _RLE else size)
    at += 4 * header.checksum
    return (at, header) if at <= end else None


def frame_starts(file: IO[bytes]) -> tuple[list[int], list[int]]:
    """Where the frames of a blob begin, by their headers alone: plain and packed offsets.

    As far as the headers say what is in the frames, and for what can be read; at least (0, 0).
    A reader of the frames tells what is wrong with them.
    """
    plain, packed = [0], [0]
    while (found := _frame_at(file, packed[-1])) is not None:
        length, content_size = found
        plain.append(plain[-1] + content_size)
        packed.append(packed[-1] + length)
    return plain, packed


def _frame_at(file: IO[bytes], start: int) -> tuple[int, int] | None:
    head = _bytes_at(file, start, _LONGEST_HEADER)
    try:
        if len(head) < header_length(head):
            return None
        header = parse_header(head[: header_length(head)])
    except Refused:
        return None
    if header.content_size is None:
        return None
    if header.skippable:
        return header.length + header.content_size, 0
    at, last = start + header.length, 0
    while not last:
        word = int.from_bytes(_bytes_at(file, at, 3), "little")
        last, kind, size = word & 1, word >> 1 & 3, word >> 3
        if kind == _RESERVED or not word:
            return None
        at += 3 + (1 if kind == _RLE else size)
    return at + 4 * header.checksum - start, header.content_size


def _bytes_at(file: IO[bytes], at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)


class FrameTracker:
    """Follows one frame through the chunks of a stream, to its exact end."""

    __slots__ = ("_held", "_last", "_skip", "_wanted", "blocks", "done", "header", "length")

    def __init__(self) -> None:
        self.header: FrameHeader | None = None  # known once enough bytes came by
        self.length = 0  # bytes of the frame seen so far
        self.blocks = 0  # headers of blocks seen so far
        self.done = False
        self._held = bytearray()  # a header of which only a part has come
        self._wanted = _MAGIC_SIZE + 1
        self._skip = 0  # bytes of the current block still to come
        self._last = False

    def feed(self, data: memoryview) -> int:
        """Look at the next bytes; how many of them belong to this frame.

        Raises:
            Refused: they cannot belong to a zstd frame.
        """
        at, end = 0, len(data)
        while not self.done:
            if self._skip:
                step = min(self._skip, end - at)
                self._skip -= step
                at += step
                if self._skip:
                    break
                self._after_skip()
                continue
            missing = self._wanted - len(self._held)
            if missing > end - at:
                self._held += data[at:end]
                at = end
                break
            self._held += data[at : at + missing]
            at += missing
            if self.header is None:
                self._read_frame_header()
            else:
                self._read_block_header()
        self.length += at
        return at

    def _after_skip(self) -> None:
        if self._last:
            self.done = True

    def _read_frame_header(self) -> None:
        head = bytes(self._held)
        wanted = header_length(head)
        if len(head) < wanted:
            if head[:_MAGIC_SIZE] != MAGIC and head[:_MAGIC_SIZE] not in SKIPPABLE_MAGICS:
                raise Refused("corrupt zstd data: unexpected bytes after the last frame")
            self._wanted = wanted
            return
        self.header = parse_header(head)
        self._held.clear()
        self._wanted = 3
        if self.header.skippable:
            self._skip = self.header.content_size or 0
            self._last = True
            self.done = not self._skip

    def _read_block_header(self) -> None:
        assert self.header is not None
        word = int.from_bytes(self._held, "little")
        self._held.clear()
        self.blocks += 1
        kind, size = word >> 1 & 3, word >> 3
        if kind == _RESERVED or size > MAX_BLOCK:
            raise Refused("corrupt zstd data: bad block header")
        self._last = bool(word & 1)
        self._skip = 1 if kind == _RLE else size
        if self._last and self.header.checksum:
            self._skip += 4
        if self._last and not self._skip:
            self.done = True
