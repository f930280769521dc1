"""zstd frames, one behind the other, as the bytes in them.

libzstd's Python bindings neither say where a frame ends nor notice that a stream is cut in the
middle of one. So zstdframes.py follows the frames, and each gets a reader that cannot run past its
end; a small one that is at hand whole is decompressed in one call.
"""

from __future__ import annotations

import io

from casstore.errors import Refused
from casstore.startup.typed import Protocol, cast
from casstore.transfer.streampieces import Pieces
from casstore.transfer.zstdframes import MAX_WINDOW, FrameTracker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

    import zstandard

    from casstore.transfer.restartpoints import PointsMaker

# What a frame or a block must give, on the average of a stream, to be worth its cost: zstd:chunked
# has two frames for each file, which has at least a header and a block of tar; a frame may end
# with a block that is empty. A frame costs as much as two blocks.
LEAST = 128
_FRAME = 2

_INPUT = 128 << 10


class Source(Protocol):
    """The compressed side, with look-ahead."""

    @property
    def taken(self) -> int:
        """How many bytes are used."""

    def next(self) -> memoryview:
        """The bytes at hand, at most 128 KiB, none at the end of the stream; they stay."""

    def take(self, count: int) -> None:
        """So many of them are used."""

    def has_ended(self) -> bool:
        """Whether there is nothing more that counts."""


class ZstdStream:
    """Plain bytes out of all frames of a stream."""

    def __init__(self, source: Source, points: PointsMaker | None = None) -> None:
        """`points` takes the starts of frames."""
        self._source = source
        self._points = points
        import zstandard  # 7 ms, which the load of an image that is there need not wait for

        self._errors = (zstandard.ZstdError, MemoryError)
        self._context = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
        self._pieces = Pieces("zstd", LEAST)
        self._frame: _Frame | None = None
        self._reader: zstandard.ZstdDecompressionReader | None = None

    def decode(self, size: int) -> bytes:
        """At most `size` plain bytes; none at the end of the stream."""
        while True:
            if self._reader is None:
                if self._source.has_ended():
                    return b""
                data = self._begin_frame(size)
            else:
                data = self._more(size)
            if data:
                self._pieces.output += len(data)
                return data

    def _begin_frame(self, size: int) -> bytes:
        """All of the next frame, if that is little and at hand; else nothing, and a reader."""
        self._pieces.add(_FRAME)
        if self._points is not None:
            self._points.begin(self._source.taken, self._pieces.output)
        frame = _Frame(self._source, self._pieces)
        first = frame.read()
        header = frame.tracker.header
        if frame.tracker.done and header is not None:
            if header.skippable:
                return b""
            # Of no bytes at all the bindings believe the header alone.
            if header.content_size and header.content_size <= size:
                try:
                    return self._context.decompress(first)
                except self._errors as error:
                    raise _corrupt(error) from None
        frame.put_back(first)
        self._frame = frame
        source: IO[bytes] = cast("IO[bytes]", frame)
        self._reader = self._context.stream_reader(source, read_size=_INPUT, closefd=False)
        return b""

    def _more(self, size: int) -> bytes:
        assert self._reader is not None
        try:
            data = self._reader.read(size)
        except self._errors as error:
            raise _corrupt(error) from None
        if not data:
            self._finish_frame()
        return data

    def _finish_frame(self) -> None:
        # libzstd has given all there is; what it may not have asked for is the end of the frame.
        assert self._frame is not None
        while not self._frame.tracker.done:
            self._frame.read()
        self._frame = self._reader = None


class _Frame(io.RawIOBase):
    """The bytes of one zstd frame: it ends where the frame ends, not where the file does."""

    def __init__(self, source: Source, pieces: Pieces) -> None:
        self.tracker = FrameTracker()
        self._source = source
        self._pieces = pieces
        self._first = b""

    def readable(self) -> bool:
        return True

    def put_back(self, data: bytes) -> None:
        """Let the next `read` give what the first one gave."""
        self._first = data

    def read(self, size: int = -1) -> bytes:
        if self._first:
            data, self._first = self._first, b""
            return data
        tracker = self.tracker
        if tracker.done:
            return b""
        held = self._source.next()
        if not held:
            raise Refused("truncated zstd data")
        if size >= 0:
            held = held[:size]
        blocks = tracker.blocks
        count = tracker.feed(held)
        # All that was counted before has come out by now, but for what the reader still holds.
        self._pieces.add(tracker.blocks - blocks)
        data = bytes(held[:count])
        self._source.take(count)
        return data


class FrameDecompressor:
    """Decompresses whole frames whose header states a content size. For one thread."""

    def __init__(self) -> None:
        import zstandard  # 7 ms, which the load of an image that is there need not wait for

        self._errors = (zstandard.ZstdError, MemoryError)
        self._context = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)

    def decompress(self, frame: bytes) -> bytes:
        """The content of one frame; the caller has looked at its size."""
        try:
            return self._context.decompress(frame)
        except self._errors as error:
            raise _corrupt(error) from None

    def decompress_into(self, frame: memoryview, into: memoryview) -> None:
        """The content of one frame, which is `len(into)` bytes, into a buffer of the caller's.

        libzstd decompresses straight into it, for both are there whole.
        """
        try:
            count = self._context.stream_reader(frame).readinto(into)
        except self._errors as error:
            raise _corrupt(error) from None
        if count != len(into):
            raise Refused("corrupt zstd data: a frame is shorter than it says")


def _corrupt(error: BaseException) -> Refused:
    cause = str(error).removeprefix("zstd decompress error: ") or "no memory"
    return Refused(f"corrupt zstd data: {cause}")
