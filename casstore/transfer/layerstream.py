"""Any compressed stream as the plain bytes in it, read to the very end or refused.

Layers and archives come plain or as gzip, zstd, xz or bzip2, told apart by their first bytes.
Many gzip members or zstd frames (skippable ones too) in a row are one stream. Whoever reads to
the end has seen every byte of the input: a missing trailer, a cut, a wrong check sum or junk
behind the last member is refused, because a later reader could see something else in it. Zeros
are not junk where what is read is not kept: bsdtar, which is tar on a Mac, fills its last block
when it writes to a pipe. A blob that is kept has to be one that Go's gzip reader takes, and that
refuses them.

Output comes in bounded pieces whatever the input claims; windows, memory and the total are
limited (a bomb is refused as soon as it has passed its limit).
"""

from __future__ import annotations

import io

from casstore.errors import Refused
from casstore.startup.typed import Protocol, cast
from casstore.transfer.fullreads import read_fully, read_into, remaining
from casstore.transfer.outputlimit import BeyondLimit, Limit, layer_limit
from casstore.transfer.streampieces import Pieces
from casstore.transfer.zstdframes import MAGIC as ZSTD_MAGIC
from casstore.transfer.zstdframes import SKIPPABLE_MAGICS
from casstore.transfer.zstdstream import ZstdStream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from casstore.transfer.gzipstream import Inflater
    from casstore.transfer.restartpoints import PointsMaker

NONE = "none"
GZIP = "gzip"
ZSTD = "zstd"
XZ = "xz"
BZIP2 = "bzip2"

MAX_XZ_MEMORY = 128 << 20
# What a member must give, on the average of a stream, to be worth its cost. eStargz has two members
# for each file, which has at least a header and a block; pbzip2 and pixz cut pieces of 900 kB.
LEAST = {GZIP: 512, BZIP2: 4096, XZ: 4096}
HEAD_SIZE = 6  # bytes that tell the compression
MAX_PADDING = 64 << 20  # zeros behind compressed data

_INPUT = 128 << 10
_OUTPUT = 1 << 20
_GZIP_OUTPUT = 256 << 10  # ISA-L is a tenth faster where what comes out stays in the core's cache
_FEW = 16 << 10  # bytes that are worth to be joined with others
_ENOUGH = 64 << 10  # what a read gives at least, where there is as much: members may be tiny
# A member gets little to begin with, then more: what it leaves is copied, and members may be tiny.
_FIRST_STEP = 4 << 10
_ROOM = 16  # for what comes out, times that: ISA-L allocates all of it
_NOTHING = memoryview(b"")


def compression_of(head: bytes) -> str:
    """The compression whose magic `head` starts with; `none` for anything else."""
    if head.startswith(b"\x1f\x8b"):
        return GZIP
    if head.startswith(ZSTD_MAGIC) or head[:4] in SKIPPABLE_MAGICS:
        return ZSTD
    if head.startswith(b"\xfd7zXZ\x00"):
        return XZ
    # A tar member may well be called BZh9: bzip2 goes on with the magic of a block or of the end.
    if head[:3] == b"BZh" and head[3:4].isdigit() and head[4:6] in (b"1A", b"\x17r"):
        return BZIP2
    return NONE


def open_uncompressed(
    stream: IO[bytes],
    *,
    compressed_size: int | None = None,
    limit: Limit | None = None,
    padded: bool = False,
) -> IO[bytes]:
    """A reader (`read`, `readinto`) of the plain bytes in `stream`, which it closes.

    Args:
        stream: positioned at the start; read forward only.
        compressed_size: how long `stream` is, where that is known and `stream` cannot tell.
        limit: of the output; that of a layer of which nobody has said how large it is if None.
        padded: there may be zeros behind the compressed data.

    Raises:
        Refused: by the constructor and every read: truncated, corrupt, junk at the end, or
            "exceeds the limit".
    """
    return cast("IO[bytes]", _reader(stream, compressed_size, limit, padded=padded))


def plain_pieces(
    stream: IO[bytes],
    *,
    compressed_size: int | None = None,
    limit: Limit | None = None,
    points: PointsMaker | None = None,
) -> Iterator[bytes]:
    """The same bytes as they come, which saves a copy or two; none of the pieces is empty.

    They have at most 1 MiB. `stream` may be closed at the end. `points` takes restart points of
    gzip and zstd.
    """
    return _reader(stream, compressed_size, limit, points=points).pieces()


def _reader(
    stream: IO[bytes],
    compressed_size: int | None,
    limit: Limit | None,
    *,
    padded: bool = False,
    points: PointsMaker | None = None,
) -> _Plain | _Decompressed:
    limit = limit or layer_limit(None)
    head = read_fully(stream, HEAD_SIZE)
    kind = compression_of(head)
    if kind == NONE:
        return _Plain(stream, head, limit)
    if compressed_size is None:
        compressed_size = remaining(stream, len(head))
    source = _Source(stream, head, padded=padded)
    decoder: _Decoder
    if kind == ZSTD:
        decoder = ZstdStream(source, points)
    else:
        decoder = _Members(kind, source, points if kind == GZIP else None)
    return _Decompressed(decoder, source, compressed_size, limit)


def is_plain(stream: IO[bytes]) -> bool:
    """Whether a reader that `open_uncompressed` gave has nothing to decompress."""
    return isinstance(stream, _Plain)


class _Plain(io.RawIOBase):
    """The stream itself, with the bytes that were looked at put back in front."""

    def __init__(self, stream: IO[bytes], head: bytes, limit: Limit) -> None:
        self._stream = stream
        self._head = head
        self._limit = limit
        self._total = 0

    def readable(self) -> bool:
        return True

    def pieces(self) -> Iterator[bytes]:
        """What is left; the first piece is what was looked at."""
        piece, self._head = self._head, b""
        while piece or (piece := self._stream.read(_OUTPUT)):
            self._total += len(piece)
            self._limit.check(self._total, self._total)
            yield piece
            piece = b""

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if self._head:
            count = min(len(self._head), len(buffer))
            buffer[:count] = self._head[:count]
            self._head = self._head[count:]
        else:
            count = read_into(self._stream, memoryview(buffer))
        self._total += count
        self._limit.check(self._total, self._total)
        return count

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


class _Source:
    """The compressed side, with look-ahead and a count of what has been taken."""

    def __init__(self, stream: IO[bytes], head: bytes, *, padded: bool) -> None:
        self._stream = stream
        self._held = memoryview(head)
        self._at = 0
        self._read = len(head)
        self.padded = padded
        self.taken = 0

    def has_ended(self) -> bool:
        """Whether there is nothing more, or nothing but zeros where these are allowed."""
        if self.padded and self.skip_zeros() and self.next():
            raise Refused("unexpected bytes after the end of the compressed data")
        return not self.next()

    def skip_zeros(self) -> int:
        """Take all zeros that come next; returns how many."""
        zeros = 0
        while (held := self.next()) and not held[0]:
            rest = bytes(held).lstrip(b"\0")
            zeros += len(held) - len(rest)
            self.take(len(held) - len(rest))
            if zeros > MAX_PADDING:
                raise BeyondLimit(f"what follows the data exceeds the limit of {MAX_PADDING} bytes")
        return zeros

    def next(self) -> memoryview:
        """The bytes at hand, at least one unless the stream has ended; they stay."""
        if self._at == len(self._held):
            # The first read ends where a whole one would, and all that follow are of whole pages:
            # what is read is written, too, which costs a third more where it begins within a page.
            self._held, self._at = memoryview(self._stream.read(_INPUT - self._read % _INPUT)), 0
            self._read += len(self._held)
        return self._held[self._at :]

    def take(self, count: int) -> None:
        self._at += count
        self.taken += count

    def give_back(self, count: int) -> None:
        """The last `count` bytes taken, all since the last `next`, belong to what comes next."""
        self._at -= count
        self.taken -= count

    def close(self) -> None:
        self._stream.close()


class _Decoder(Protocol):
    def decode(self, size: int) -> bytes:
        """At most `size` plain bytes; none at the end of the stream."""


class _Decompressed(io.RawIOBase):
    """Plain bytes out of a decoder, counted against the limit."""

    def __init__(
        self, decoder: _Decoder, source: _Source, compressed_size: int | None, limit: Limit
    ) -> None:
        self._decoder = decoder
        self._source = source
        self._size = compressed_size
        self._limit = limit
        self._total = 0
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def pieces(self) -> Iterator[bytes]:
        """All of it, without a copy, unless the decoder gives little at a time."""
        parts, size = list[bytes](), 0
        while piece := self._next():
            parts.append(piece)
            size += len(piece)
            if size >= _FEW:
                if len(parts) > 1 and len(piece) >= _FEW:
                    yield b"".join(parts[:-1])
                    yield piece
                else:
                    yield b"".join(parts)
                parts, size = [], 0
        if parts:
            yield b"".join(parts)

    def _next(self) -> bytes:
        data = self._decoder.decode(_OUTPUT)
        self._total += len(data)
        self._limit.check(self._total, self._source.taken if self._size is None else self._size)
        return data

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        filled, wanted = 0, min(len(buffer), _ENOUGH)
        while filled < wanted:
            if not self._ready:
                self._ready = memoryview(self._next())
                if not self._ready:
                    break
            count = min(len(self._ready), len(buffer) - filled)
            buffer[filled : filled + count] = self._ready[:count]
            self._ready = self._ready[count:]
            filled += count
        return filled

    def close(self) -> None:
        if not self.closed:
            self._source.close()
        super().close()


def _inflater(kind: str) -> Inflater:
    if kind == GZIP:
        from casstore.transfer.gzipstream import inflater

        return inflater()
    if kind == BZIP2:
        import bz2

        return bz2.BZ2Decompressor()
    import lzma

    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=MAX_XZ_MEMORY)


class _Members:
    """gzip members, bzip2 or xz streams, one behind the other."""

    def __init__(self, kind: str, source: _Source, points: PointsMaker | None) -> None:
        self._kind = kind
        self._points = points
        self._most = _GZIP_OUTPUT if kind == GZIP else _OUTPUT
        self._source = source
        self._pieces = Pieces(kind, LEAST[kind])
        self._inflater: Inflater | None = None
        self._drained = True  # the inflater holds no output back
        self._step = 0
        self._errors: tuple[type[Exception], ...] = (OSError, EOFError, ValueError)
        if kind == XZ:
            import lzma

            self._errors = (lzma.LZMAError, *self._errors)

    def decode(self, size: int) -> bytes:
        while True:
            if self._inflater is None:
                if not self._next_member():
                    return b""
                self._pieces.add()
                self._inflater = self._begun(_inflater(self._kind))
                self._drained = True
                self._step = _FIRST_STEP
            chunk, room = _NOTHING, min(size, self._most, _ROOM * self._step)
            if self._drained:
                chunk = self._source.next()[: self._step]
                self._source.take(len(chunk))
                self._step = min(2 * self._step, _INPUT)
            try:
                data = self._inflater.decompress(chunk, room)
            except self._errors as error:
                raise self._refusal(error) from None
            if self._inflater.eof:
                self._source.give_back(len(self._inflater.unused_data))
                self._inflater = None
            elif not chunk and self._drained and not data:
                raise self._truncated()
            else:
                self._drained = len(data) < room
            if data:
                self._pieces.output += len(data)
                return data

    def _begun(self, inflater: Inflater) -> Inflater:
        points = self._points
        if points is None:
            return inflater
        from casstore.transfer.gzipboundaries import BoundaryFinder

        packed, plain = self._source.taken, self._pieces.output
        points.begin(packed, plain)
        return BoundaryFinder(inflater, points, packed, plain)

    def _next_member(self) -> bool:
        """Whether another member begins here; padding that xz allows is skipped."""
        if self._kind == XZ and self._source.taken:
            self._skip_padding()
        if self._source.has_ended():
            return False
        head = bytes(self._source.next()[:HEAD_SIZE])
        first = self._source.taken == 0
        if not first and not _may_begin(self._kind, head):
            raise Refused(f"unexpected bytes after the end of the {self._kind} data")
        return True

    def _skip_padding(self) -> None:
        zeros = self._source.skip_zeros()
        if zeros % 4 and (self._source.next() or not self._source.padded):
            raise Refused("unexpected bytes after the end of the xz data")

    def _refusal(self, error: Exception) -> Refused:
        if self._kind == XZ and "emory" in str(error):
            return BeyondLimit(f"xz data exceeds the limit of {MAX_XZ_MEMORY >> 20} MiB of memory")
        return self._truncated() if self._kind == GZIP else Refused(f"corrupt {self._kind} data")

    def _truncated(self) -> Refused:
        # Of gzip that is both, one library sees the one first, and one the other.
        how = "truncated or corrupt" if self._kind == GZIP else "truncated"
        return Refused(f"{how} {self._kind} data")


def _may_begin(kind: str, head: bytes) -> bool:
    # The look-ahead may end within the magic: then the inflater judges what follows.
    magic = {GZIP: b"\x1f\x8b", BZIP2: b"BZh", XZ: b"\xfd7zXZ\x00"}[kind]
    return head.startswith(magic) or magic.startswith(head)
