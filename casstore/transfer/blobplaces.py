"""Stored blobs put into a file at places known beforehand, decompressed there by all cores.

Every blob is read once and held against its digest as it is read. That vouches for the plain
bytes too, without hashing these: the diff ID of a layer was proven from the same blob when it came
into the store (and what is in an index without that proof, `fsck --rebuild` makes anew from the
blobs), and the same frames always decompress to the same bytes.

A blob of small frames, as casstore makes them, is cut up by the caller's thread, which reads and
hashes; each frame is decompressed into a buffer that is used again and again, and written by the
thread that decompressed it. Blobs of any other form are streams, of which as many are read at a
time as there are cores. Nothing is right until `place_blobs` returns: on an error what is in the
file is good for nothing.
"""

from __future__ import annotations

import hashlib
import mmap
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import IO, cast

from casstore.errors import Damaged, Refused
from casstore.model.digest import Digest
from casstore.ports.blobs import Placed, StoredBlobs
from casstore.progress import INTERVAL
from casstore.startup.value import Value
from casstore.transfer.fullreads import AT_ONCE, read_into
from casstore.transfer.layerstream import ZSTD, compression_of, open_uncompressed
from casstore.transfer.outputlimit import NO_LIMIT
from casstore.transfer.piecework import MAX_WIDTH, PIECE, cores
from casstore.transfer.zstdframes import whole_frame
from casstore.transfer.zstdstream import FrameDecompressor

SMALL = 64 << 10  # a blob this small is done by the caller's thread

_INPUT = PIECE + (1 << 20)  # a frame of one piece is in it, however badly it compresses
_INPUTS = 4
_WAITING = 2  # threads beyond the cores: one that writes waits for the disk


class BlobPlace(Value):
    """A blob and where it goes."""

    offset: int
    digest: Digest
    size: int  # bytes as stored
    length: int  # bytes in the file
    plain: bool  # byte for byte, whatever it looks like; else decompressed


def place_blobs(
    places: Sequence[BlobPlace],
    target: Placed,
    blobs: StoredBlobs,
    *,
    width: int | None = None,
    pulse: Callable[[], None] | None = None,
) -> None:
    """Put each blob in its place; all threads have ended on return.

    Args:
        places: which do not overlap.
        target: where they go; written by many threads.
        blobs: where they are; opened by many threads.
        width: decompressing threads beside those that wait for the disk; None: one for each core.
        pulse: called in the caller's thread some times a second while it waits for others.

    Raises:
        Damaged: a blob is missing, is not its digest, or is not as long as it should be.
    """
    placing = _Placing(target, blobs, width or min(cores(), MAX_WIDTH), pulse)
    try:
        placing.run(places)
        placing.wait()
    except BaseException as error:
        placing.fail(error)
        raise
    finally:
        placing.close()
    placing.check()


class _Worker:
    """What one thread keeps between jobs."""

    def __init__(self) -> None:
        self.buffer = _buffer(PIECE + mmap.PAGESIZE)
        self._decompressor: FrameDecompressor | None = None

    def room(self, offset: int, size: int) -> memoryview:
        """A part of the buffer that lies in a page of memory as `offset` lies in one of a file."""
        skip = offset % mmap.PAGESIZE
        return self.buffer[skip : skip + min(size, PIECE)]

    def decompress(self, frame: memoryview, into: memoryview) -> None:
        if self._decompressor is None:
            self._decompressor = FrameDecompressor()
        self._decompressor.decompress_into(frame, into)


_Job = Callable[[_Worker], None]


class _Input:
    """A buffer with a part of a blob; free again when all frames in it are decompressed."""

    __slots__ = ("users", "view")

    def __init__(self) -> None:
        self.view = _buffer(_INPUT)
        self.users = 0


class _Placing:
    """One call of `place_blobs`. Threads start when there is work for them."""

    def __init__(
        self, target: Placed, blobs: StoredBlobs, width: int, pulse: Callable[[], None] | None
    ) -> None:
        self._target = target
        self._pulse = pulse
        self._blobs = blobs
        self._width = width
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._free: SimpleQueue[_Input] = SimpleQueue()
        self._inputs = 0
        self._streams: SimpleQueue[BlobPlace] = SimpleQueue()

    def run(self, places: Sequence[BlobPlace]) -> None:
        here = None
        streams = []
        for place in places:
            if place.size < SMALL and place.length < PIECE:
                here = here or _Worker()
                self._stream(place, here)
            elif place.plain or not self._by_frames(place):
                streams.append(place)
        for place in sorted(streams, key=lambda place: -place.length):
            self._streams.put(place)
        for _ in range(min(self._width, len(streams))):  # each may need a large window
            self._submit(self._all_streams)

    def check(self) -> None:
        """Raise the first error of any thread."""
        if self._error is not None:
            raise self._error

    def fail(self, error: BaseException) -> None:
        """Let the threads skip what is left to do."""
        with self._lock:
            self._error = self._error or error

    def wait(self) -> None:
        """Let the threads end when all is done that was submitted, and wait for them."""
        for _ in self._threads:
            self._jobs.put(None)
        if self._pulse is not None:
            for thread in self._threads:
                while thread.is_alive():
                    thread.join(INTERVAL)
                    self._pulse()

    def close(self) -> None:
        """Wait for what was submitted; end the threads."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _submit(self, job: _Job) -> None:
        if len(self._threads) < self._width + _WAITING:
            thread = threading.Thread(target=self._work, name="casstore-place", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._jobs.put(job)

    def _work(self) -> None:
        worker = _Worker()
        while (job := self._jobs.get()) is not None:
            try:
                job(worker)
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                self.fail(error)

    # A blob of small frames

    def _by_frames(self, place: BlobPlace) -> bool:
        """Read a blob and submit its frames; False if it is to be read as a stream."""
        with self._blobs.open(place.digest) as file:
            content, total, at = hashlib.sha256(), 0, place.offset
            held, source = 0, self._input()
            while True:
                count = _read_hashed(file, source.view[held:], content)
                if not total and compression_of(bytes(source.view[:6])) != ZSTD:
                    return self._give_up(source)
                total += count
                used, at = self._cut(place, source, held + count, at)
                held += count - used
                if held + used < _INPUT or total > place.size:
                    break
                if not used:
                    return self._give_up(source)
                following = self._input()
                following.view[:held] = source.view[used : used + held]
                self._release(source)
                source = following
            self._release(source)
        _check_content(place, content.digest(), total)
        if held:  # the blob is what it was, and so not made of small frames alone
            return False
        _check_length(place, at)
        return True

    def _cut(self, place: BlobPlace, source: _Input, end: int, at: int) -> tuple[int, int]:
        """Submit the whole frames in an input; how far they reach, and where the next one goes."""
        used = 0
        while used < end:
            try:
                frame = whole_frame(source.view[used:end])
            except Refused:  # which the digest, or whoever reads the stream, will say better
                break
            if frame is None:
                break
            length, header = frame
            size = 0 if header.skippable else header.content_size
            if size is None or size > PIECE or at + size > place.offset + place.length:
                break
            if size:
                self._use(source, place, source.view[used : used + length], at, size)
            used += length
            at += size
        return used, at

    def _use(self, source: _Input, place: BlobPlace, frame: memoryview, at: int, size: int) -> None:
        with self._lock:
            source.users += 1

        def job(worker: _Worker) -> None:
            try:
                if self._error is not None:
                    return
                room = worker.room(at, size)
                try:
                    worker.decompress(frame, room)
                except Refused as error:
                    raise Damaged(f"blob {place.digest} is damaged: {error}") from None
            finally:
                self._release(source)
            self._target.place(at, room)

        self._submit(job)

    def _input(self) -> _Input:
        """A buffer that nobody uses; waits for one. Raises what went wrong in a thread."""
        if self._inputs < _INPUTS and self._free.empty():
            self._inputs += 1
            source = _Input()
        else:
            source = self._free_input()
        source.users = 1
        self.check()
        return source

    def _free_input(self) -> _Input:
        while self._pulse is not None:
            try:
                return self._free.get(timeout=INTERVAL)
            except Empty:
                self._pulse()
        return self._free.get()

    def _release(self, source: _Input) -> None:
        with self._lock:
            source.users -= 1
            last = not source.users
        if last:
            self._free.put(source)

    def _give_up(self, source: _Input) -> bool:
        self._release(source)
        return False

    # Any other blob

    def _all_streams(self, worker: _Worker) -> None:
        while not self._streams.empty() and self._error is None:
            self._stream(self._streams.get(), worker)

    def _stream(self, place: BlobPlace, worker: _Worker) -> None:
        at, end = place.offset, place.offset + place.length
        with self._blobs.open(place.digest) as file:
            raw = _Raw(file, place)
            source = cast("IO[bytes]", raw)
            try:
                if not place.plain:
                    source = open_uncompressed(source, limit=NO_LIMIT)
                while count := read_into(source, room := worker.room(at, end - at + 1)):
                    if at + count > end:
                        break
                    self._target.place(at, room[:count])
                    at += count
                    self.check()
            except Refused as error:
                raw.check()  # wrong bytes are the better explanation
                raise Damaged(f"blob {place.digest} is damaged: {error}") from None
            raw.check()
        _check_length(place, at)


class _Raw:
    """A blob as it is read: each byte hashed and counted."""

    def __init__(self, file: IO[bytes], place: BlobPlace) -> None:
        self._file = file
        self._place = place
        self._hash = hashlib.sha256()
        self._count = 0

    def readinto(self, buffer: memoryview) -> int:
        # One byte more than there should be shows that there are too many.
        room = buffer[: max(self._place.size + 1 - self._count, 0)]
        count = _read_hashed(self._file, room, self._hash)
        self._count += count
        return count

    def read(self, size: int = -1) -> bytes:
        buffer = bytearray(size if size >= 0 else PIECE)
        count = self.readinto(memoryview(buffer))
        return bytes(memoryview(buffer)[:count])

    def close(self) -> None:
        """Nothing: whoever opened the file closes it."""

    def check(self) -> None:
        """Read what is left, and hold all against the digest."""
        while self.read(PIECE):
            pass
        _check_content(self._place, self._hash.digest(), self._count)


def _read_hashed(file: IO[bytes], buffer: memoryview, content: hashlib._Hash) -> int:
    """Fill a buffer, and hash what comes while it is still in the core's own cache."""
    filled = 0
    while filled < len(buffer):
        room = buffer[filled : filled + AT_ONCE]
        count = read_into(file, room)
        content.update(room[:count])
        filled += count
        if count < len(room):
            break
    return filled


def _check_content(place: BlobPlace, digest: bytes, size: int) -> None:
    if size != place.size or Digest.of_bytes(digest) != place.digest:
        raise Damaged(f"blob {place.digest} is damaged: its content has another digest")


def _check_length(place: BlobPlace, end: int) -> None:
    if end != place.offset + place.length:
        raise Damaged(f"blob {place.digest} does not hold {place.length} bytes")


def _buffer(size: int) -> memoryview:
    # On a page's border, so that a file can take it without a copy in between.
    return memoryview(mmap.mmap(-1, size))
