"""The content of single files of a stored layer, read without reading all of the layer.

A plain blob is read where the content is. Of a compressed one only the segments that the content
lies in are decompressed, each from one restart point to the next: a frame of the zstd blobs that
casstore makes. Without points zstd's frames are found by their headers. What is left, one large
frame or a gzip member, is read in one pass up to the content.

A file of up to 1 MiB is verified against its entry's SHA-256 before the first byte is given. A
larger one is verified while it is read from start to end, before its last bytes are given; reads
elsewhere in it are not verified, but for what the decompressor checks. An entry without a SHA-256
is not verified. Whoever made the entry has verified the layer's diff ID.
"""

from __future__ import annotations

import io
from bisect import bisect_right

from casstore.errors import CasstoreError, Damaged, Refused
from casstore.model.digest import Digest, sha256
from casstore.startup.typed import cast
from casstore.transfer.layerstream import plain_pieces
from casstore.transfer.outputlimit import NO_LIMIT
from casstore.transfer.readablelayer import require_readable
from casstore.transfer.restartpoints import BEGIN, START, Points, RestartPoint
from casstore.transfer.zstdframes import MAGIC, SKIPPABLE_MAGICS, frame_starts

TYPE_CHECKING = False
if TYPE_CHECKING:
    import hashlib
    from collections.abc import Callable, Iterator
    from typing import IO, BinaryIO, Self

    from casstore.model.fileentry import FileEntry
    from casstore.model.kept import LayerRecord

CACHE = 32 << 20  # plain bytes that a reader holds
MAX_SEGMENT = 12 << 20  # a longer one is not held, but read as a stream
SMALL = 1 << 20  # a file that is read whole at once

_BUFFER = 128 << 10
_INPUT = 64 << 10
_OUTPUT = 256 << 10
_ZEROS = bytes(64 << 10)
_TRAILER = 8  # of a gzip member
_CORRUPT = "truncated or corrupt gzip data"


def open_content(
    blob: IO[bytes], record: LayerRecord, entry: FileEntry, points: Points | None = None
) -> BinaryIO:
    """The content of one file, for reading anywhere in it. It closes the blob.

    Raises:
        Unsupported: the layer is encrypted, or not settled.
        Damaged: by a read: the blob does not decompress, or not to what the entry says.
    """
    with LayerReader(blob, record, points) as reader:
        return reader.open(entry)


class LayerReader:
    """Reads files of one layer blob. For one thread; each thread may have one of its own."""

    def __init__(self, blob: IO[bytes], record: LayerRecord, points: Points | None = None) -> None:
        """Takes over the blob. `points` may lack where there are none kept.

        Raises:
            Unsupported: the layer is encrypted, or not settled.
        """
        try:
            require_readable(record)
        except CasstoreError:
            blob.close()
            raise
        self._blob = blob
        self._record = record
        self._plain = record.digest == record.diff_id
        self._layer: _Compressed | None = None
        self._points = points
        self._closed = False
        self._users = 1  # this one, until it is closed, and files that are open

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self, entry: FileEntry) -> BinaryIO:
        """The content of a regular file, for reading anywhere in it; close it.

        Holes of a sparse file read as zeros. Raises Damaged by a read: the blob does not
        decompress, or not to what the entry says.
        """
        content = _Content(self.read, self._record.digest, entry, self._let_go)
        self._users += 1
        return io.BufferedReader(content, _BUFFER)

    def read(self, offset: int, size: int) -> bytes:
        """Some plain bytes of the layer, at least one. Raises Damaged: there are none."""
        if self._plain:
            self._blob.seek(offset)
            data = self._blob.read(size)
        else:
            if self._layer is None:
                self._layer = _Compressed(self._blob, self._record.diff_size, self._points)
            try:
                data = self._layer.read(offset, size)
            except Refused as error:
                raise Damaged(f"blob {self._record.digest} is damaged: {error}") from None
        if not data:
            raise Damaged(f"blob {self._record.digest} is damaged: it ends within a file")
        return data

    def close(self) -> None:
        """Open no more files; the blob is closed with the last one that is open."""
        if not self._closed:
            self._closed = True
            self._let_go()

    def _let_go(self) -> None:
        self._users -= 1
        if not self._users:
            self._layer = None
            self._blob.close()


class _Content(io.RawIOBase):
    """The bytes of one file."""

    def __init__(
        self,
        read: Callable[[int, int], bytes],
        blob: Digest,
        entry: FileEntry,
        on_close: Callable[[], None],
    ) -> None:
        self._read = read
        self._blob = blob
        self._entry = entry
        self._on_close = on_close
        self._at = 0
        self._hash = _RunningHash()
        self._whole: bytes | None = None  # a small file, once it is read
        # Of a sparse file's extents: where they begin, and where they are in the tar.
        self._starts, self._tar, offset = list[int](), list[int](), entry.offset
        for start, length in entry.extents or ():
            self._starts.append(start)
            self._tar.append(offset)
            offset += length

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_CUR:
            offset += self._at
        elif whence == io.SEEK_END:
            offset += self._entry.size
        elif whence != io.SEEK_SET:
            raise ValueError(f"invalid whence ({whence})")
        if offset < 0:
            raise ValueError(f"negative seek position {offset}")
        self._at = offset
        return offset

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._next(len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._on_close()
        super().close()

    def _next(self, size: int) -> bytes:
        entry, at = self._entry, self._at
        size = min(size, entry.size - at)
        if size <= 0:
            return b""
        if entry.size <= SMALL:
            if self._whole is None:
                self._whole = self._all()
            return self._whole[at : at + size]
        data = self._piece(at, size)
        if entry.sha256 and self._hash.follows(at, data) == entry.size:
            self._verify(self._hash.digest())
        return data

    def _all(self) -> bytes:
        parts, at = list[bytes](), 0
        while at < self._entry.size:
            parts.append(self._piece(at, self._entry.size - at))
            at += len(parts[-1])
        data = b"".join(parts)
        if self._entry.sha256:
            self._verify(sha256(data))
        return data

    def _verify(self, digest: Digest) -> None:
        if digest != Digest.of_bytes(self._entry.sha256):
            raise Damaged(
                f"blob {self._blob} is damaged: {self._entry.path} is not what was stored"
            )

    def _piece(self, at: int, size: int) -> bytes:
        """Some bytes of the file from `at` on; the file has `size` more."""
        entry = self._entry
        if entry.extents is None:
            return self._read(entry.offset + at, size)
        index = bisect_right(self._starts, at) - 1
        if index >= 0:
            start, length = entry.extents[index]
            if at < start + length:
                return self._read(self._tar[index] + at - start, min(size, start + length - at))
        if index + 1 < len(self._starts):
            size = min(size, self._starts[index + 1] - at)
        return _ZEROS[:size]


class _RunningHash:
    """Of the bytes from the start of a file, for as long as they are read in order."""

    def __init__(self) -> None:
        self._hash: hashlib._Hash | None = None
        self._size = 0  # bytes that are hashed

    def follows(self, at: int, data: bytes) -> int:
        """Hash what was read at a place; how many bytes from the start are hashed then."""
        if at == 0:
            import hashlib

            self._hash, self._size = hashlib.sha256(), 0
        if at == self._size and self._hash is not None:
            self._hash.update(data)
            self._size += len(data)
        return self._size

    def digest(self) -> Digest:
        assert self._hash is not None
        return Digest.of_bytes(self._hash.digest())


class _Compressed:
    """The plain bytes of a compressed blob, by segments."""

    def __init__(self, blob: IO[bytes], diff_size: int, points: Points | None) -> None:
        self._blob = blob
        self._points = points or _points_of(blob)
        self._starts = self._points.plain
        self._ends = [*self._starts[1:], diff_size]
        # Segments as far as they were needed, the one used last at the end.
        self._held: dict[int, bytearray] = {}
        self._held_size = 0  # as if they were there whole
        self._stream: _Stream | None = None

    def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes, none only at the end of the layer."""
        index = bisect_right(self._starts, offset) - 1
        start, end = self._starts[index], self._ends[index]
        if end - start > MAX_SEGMENT:
            return self._stream_to(index, offset).read(offset, size)
        data = self._segment(index)
        while start + len(data) <= offset < end:
            at = start + len(data)
            part = self._stream_to(index, at).read(at, end - at)
            if not part:
                break
            data += part
        with memoryview(data) as view:
            return bytes(view[offset - start : offset - start + size])

    def _segment(self, index: int) -> bytearray:
        """What is there of a segment."""
        data = self._held.pop(index, None)
        if data is None:
            data = bytearray()
            self._held_size += self._ends[index] - self._starts[index]
            while self._held and self._held_size > CACHE:
                oldest = next(iter(self._held))
                del self._held[oldest]
                self._held_size -= self._ends[oldest] - self._starts[oldest]
        self._held[index] = data
        return data

    def _stream_to(self, index: int, offset: int) -> _Stream:
        """A stream that can be read at a place in a segment; there is one at a time."""
        stream = self._stream
        if stream is None or not stream.start <= offset or stream.end < self._starts[index]:
            stream = self._stream = self._stream_from(index)
        return stream

    def _stream_from(self, index: int) -> _Stream:
        point = self._points.at(index)
        return _Stream(point.plain, _pieces_from(self._blob, point))


class _Stream:
    """Plain bytes from one place on, read forward."""

    def __init__(self, start: int, pieces: Iterator[bytes]) -> None:
        self.start = start  # of the piece at hand
        self._pieces = pieces
        self._piece = b""

    @property
    def end(self) -> int:
        """Of the piece at hand."""
        return self.start + len(self._piece)

    def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset` on, which is not before `start`; none at the end."""
        while offset >= self.end:
            self.start = self.end
            self._piece = next(self._pieces, b"")
            if not self._piece:
                return b""
        offset -= self.start
        return self._piece[offset : offset + size]


def _points_of(blob: IO[bytes]) -> Points:
    """The starts of zstd frames, as far as their headers say what is in them."""
    blob.seek(0)
    if blob.read(len(MAGIC)) in {MAGIC, *SKIPPABLE_MAGICS}:
        return Points(*frame_starts(blob))
    return Points([START.plain], [START.packed])


def _pieces_from(blob: IO[bytes], point: RestartPoint) -> Iterator[bytes]:
    """The plain bytes from a point on, in pieces that are not empty."""
    source = _From(blob, point.packed)
    if point.bit != BEGIN:
        yield from _inflated(source, point)
    yield from plain_pieces(cast("IO[bytes]", source), limit=NO_LIMIT)


def _inflated(source: _From, point: RestartPoint) -> Iterator[bytes]:
    """The same, to the end of a gzip member."""
    from casstore.transfer.gzipboundaries import restart
    from casstore.transfer.gzipstream import BadGzip, inflater

    member = inflater(point.window)
    data, drained = restart(point.bit, source.read(_INPUT)), False
    while not member.eof:
        if drained and not (data := source.read(_INPUT)):
            raise Refused(_CORRUPT)
        try:
            piece = member.decompress(data, _OUTPUT)
        except BadGzip:
            raise Refused(_CORRUPT) from None
        if piece:
            yield piece
        data, drained = b"", len(piece) < _OUTPUT
    source.at += _TRAILER - len(member.unused_data)


class _From:
    """A file from one place on, whoever else reads it; closing it is not closing that."""

    def __init__(self, file: IO[bytes], at: int) -> None:
        self._file = file
        self.at = at

    def close(self) -> None:
        """Nothing: whoever opened the file closes it."""

    def read(self, size: int) -> bytes:
        self._file.seek(self.at)
        data = self._file.read(size)
        self.at += len(data)
        return data
