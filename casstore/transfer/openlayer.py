"""A stored layer as the tar it came as, verified while it is read.

Blobs of many small frames, as casstore makes them, are decompressed by all cores; any other blob
is one stream. Either way the reader learns at the end, and before it is told that this is the
end, whether the bytes were those of the diff ID.
"""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, cast

from casstore.errors import CasstoreError, Damaged, Refused
from casstore.model.kept import LayerRecord
from casstore.startup.value import Value
from casstore.transfer.fullreads import read_fully
from casstore.transfer.layerstream import ZSTD, compression_of, plain_pieces
from casstore.transfer.outputlimit import NO_LIMIT
from casstore.transfer.piecework import MAX_WIDTH, cores
from casstore.transfer.readablelayer import require_readable
from casstore.transfer.sidethread import PlainBytes, SideThread
from casstore.transfer.zstdframes import FrameHeader, FrameTracker
from casstore.transfer.zstdstream import FrameDecompressor

if TYPE_CHECKING:
    from concurrent.futures import Future

    from casstore.transfer.restartpoints import PointsMaker

INLINE = 1 << 20  # a layer this small is not worth a thread
MAX_FRAME = 8 << 20  # larger frames are decompressed as a stream
AHEAD = 16 << 20  # bytes that are decompressed before they are wanted
UNHASHED = 12 << 20  # bytes that wait to be hashed

_READ = 1 << 20


def open_layer(file: IO[bytes], record: LayerRecord, *, width: int | None = None) -> IO[bytes]:
    """A reader of the uncompressed layer in `file`, which it closes; close it, or use `with`.

    Args:
        file: the blob.
        record: what is known of it.
        width: threads that decompress, each of which has some MiB ready; None: one for each core.

    Raises:
        Unsupported: the layer is encrypted, or nobody has settled what is in it.
        Damaged: by a read: the blob does not decompress, or not to its diff ID.
    """
    return cast("IO[bytes]", open_framed(file, record, width=width))


def open_framed(
    file: IO[bytes],
    record: LayerRecord,
    *,
    width: int | None = None,
    points: PointsMaker | None = None,
) -> FramedReader:
    """The same as `open_layer`, for whoever wants the pieces as they come.

    `points` takes restart points on the way; they are right if the layer is read to its end.
    """
    try:
        require_readable(record)
    except CasstoreError:
        file.close()
        raise
    return FramedReader(file, record, width=width, points=points)


class FramedReader(io.RawIOBase):
    """The plain bytes of one layer blob. `pieces` gives them without a copy."""

    def __init__(
        self,
        file: IO[bytes],
        record: LayerRecord,
        *,
        width: int | None = None,
        points: PointsMaker | None = None,
    ) -> None:
        self._file = file
        self._record = record
        self._points = points
        self._threads = record.diff_size > INLINE
        self._plain = PlainBytes()
        self._size = 0  # bytes given to be hashed
        self._side = SideThread(lambda: self._threads, backlog=UNHASHED)
        self._frames: _Frames | None = None
        self._width = width or min(cores(), MAX_WIDTH)
        self._pieces = self._verified()
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if not self._ready:
            self._ready = memoryview(next(self._pieces, b""))
        count = min(len(self._ready), len(buffer))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def pieces(self) -> Iterator[bytes]:
        """What is left of the layer, in pieces of at most 8 MiB, none of them empty."""
        if self._ready:
            yield bytes(self._ready)
            self._ready = memoryview(b"")
        yield from self._pieces

    def close(self) -> None:
        if not self.closed:
            if self._frames is not None:
                self._frames.close()
            self._side.close()
            self._file.close()
        super().close()

    def _verified(self) -> Iterator[bytes]:
        record = self._record
        try:
            for piece in self._decompressed():
                self._size += len(piece)
                if self._size > record.diff_size:
                    break
                self._side.do(self._plain.add, piece)
                yield piece
        except Refused as error:
            raise Damaged(f"blob {record.digest} is damaged: {error}") from None
        self._side.finish()
        if self._size > record.diff_size or self._plain.diff_id != record.diff_id:
            raise Damaged(f"blob {record.digest} is damaged: it is not layer {record.diff_id}")

    def _decompressed(self) -> Iterator[bytes]:
        if self._record.digest == self._record.diff_id:
            return _read_all(self._file)  # plain, whatever it looks like
        head = read_fully(self._file, 18)
        rest = cast("IO[bytes]", _Chained(head, self._file))
        if self._threads and compression_of(head) == ZSTD:
            self._frames = _Frames(rest, self._width, self._points)
            return self._frames.pieces()
        return plain_pieces(rest, limit=NO_LIMIT, points=self._points)


def _read_all(stream: IO[bytes]) -> Iterator[bytes]:
    while data := stream.read(_READ):
        yield data


class _Chained:
    """Bytes that were read already, then the rest of the file; closing it is not closing that."""

    def __init__(self, head: bytes | memoryview, file: IO[bytes]) -> None:
        self._head = memoryview(head)
        self._file = file

    def close(self) -> None:
        """Nothing: whoever opened the file closes it."""

    def read(self, size: int = -1) -> bytes:
        if self._head:
            data = bytes(self._head[:size] if size >= 0 else self._head)
            self._head = self._head[len(data) :]
            return data
        return self._file.read(size)


class _Frame(Value):
    """A whole zstd frame."""

    data: bytes
    size: int  # of what is in it


class _Frames:
    """zstd frames decompressed side by side, each in one call, and handed out in order."""

    def __init__(self, file: IO[bytes], width: int, points: PointsMaker | None) -> None:
        self._file = file
        self._points = points
        self._ahead = 2 * width
        from concurrent.futures import ThreadPoolExecutor

        self._pool = ThreadPoolExecutor(width, thread_name_prefix="casstore-unpack")
        self._local = threading.local()
        self._waiting: deque[tuple[Future[bytes], int]] = deque()
        self._size = 0  # bytes of all that waits, decompressed

    def pieces(self) -> Iterator[bytes]:
        for work in self._split():
            if isinstance(work, _Frame):
                while self._waiting and self._size + work.size > AHEAD:
                    yield from self._next()
                self._waiting.append((self._pool.submit(self._decompress, work.data), work.size))
                self._size += work.size
                while len(self._waiting) > self._ahead:
                    yield from self._next()
            else:
                while self._waiting:
                    yield from self._next()
                yield from work
        while self._waiting:
            yield from self._next()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _next(self) -> Iterator[bytes]:
        future, size = self._waiting.popleft()
        data = future.result()
        del future  # which would keep the data
        self._size -= size
        if data:
            yield data

    def _split(self) -> Iterator[_Frame | Iterator[bytes]]:
        """Whole frames; from the first too large for one call on, the plain bytes of the rest."""
        tracker, parts = FrameTracker(), list[memoryview]()
        packed = plain = 0  # before the frame
        while chunk := self._file.read(_READ):
            view = memoryview(chunk)
            while view:
                count = tracker.feed(view)
                part, view = view[:count], view[count:]
                header = tracker.header
                if header is None or not header.skippable:
                    parts.append(part)
                    if (header and not _fits(header)) or tracker.length > 2 * MAX_FRAME:
                        rest = cast("IO[bytes]", _Chained(b"".join((*parts, view)), self._file))
                        if self._points is not None:
                            self._points.rebase(packed, plain)
                        yield plain_pieces(rest, limit=NO_LIMIT, points=self._points)
                        return
                if tracker.done:
                    if header and not header.skippable:
                        if self._points is not None:
                            self._points.begin(packed, plain)
                        size = header.content_size or 0
                        plain += size
                        yield _Frame(b"".join(parts), size)
                    packed += tracker.length
                    tracker, parts = FrameTracker(), []
        if tracker.length:
            raise Refused("truncated zstd data")

    def _decompress(self, frame: bytes) -> bytes:
        context: FrameDecompressor | None = getattr(self._local, "context", None)
        if context is None:
            context = self._local.context = FrameDecompressor()
        return context.decompress(frame)


def _fits(header: FrameHeader) -> bool:
    return header.content_size is not None and header.content_size <= MAX_FRAME
