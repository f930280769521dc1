"""The threads that turn layers into compressed blobs, four mebibytes at a time.

Every piece of a layer is compressed in one call by whichever worker is free; one thread hashes
and scans the plain pieces, one hashes and writes the packed ones, both in order. Layers follow
each other without a gap, so that all cores stay busy for one large layer as for many. hashlib,
zlib and zstandard release the interpreter's lock, so threads are enough.

What comes out depends on the input and the codec alone: pieces are cut at fixed places, whatever
the number of threads. Memory is bounded by the number of buffers. The caller's thread reads, and
is the only one to touch the intake; of a draft the writer thread calls `write` alone.

The first error, in whichever thread, ends the work: from then on the threads only pass their
queues on, so nobody waits for ever.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

from casstore.model.digest import Digest
from casstore.ports.ingest import Draft
from casstore.startup.typed import Protocol
from casstore.transfer.gzipstream import crc32
from casstore.transfer.layertar import LayerScanner

PIECE = 4 << 20
MAX_WIDTH = 8
MAX_BUFFERS = 12  # of 4 MiB, and as much again for what came out of them

Packer = Callable[[memoryview], bytes | memoryview]


class Codec(Protocol):
    """How plain pieces become a blob: `head`, each piece packed by itself, `tail`."""

    media_type: str
    head: bytes
    counts_crc: bool  # `tail` wants the CRC-32 of the plain bytes
    verbatim: bool  # the blob is the plain bytes, so its digest is the diff ID
    memory: int  # bytes that one packer needs, roughly

    def packer(self) -> Packer:
        """A function for one thread. It may keep state, but no state may change its output."""

    def tail(self, size: int, crc: int) -> bytes:
        """What ends a blob of `size` plain bytes."""


class LayerWork:
    """A layer on its way: the running hashes of both its sides and the draft it goes to."""

    def __init__(self, draft: Draft, codec: Codec) -> None:
        self.draft = draft
        self.codec = codec
        self.diff_size = 0
        self.size = 0
        self.crc = 0
        self.scanner = LayerScanner()
        self.hashed = threading.Event()  # all plain bytes are hashed
        self._plain = hashlib.sha256()
        self._packed = hashlib.sha256()
        self.sides = 2  # hashing and writing: 0 when both are through

    def add_plain(self, data: memoryview) -> None:
        self._plain.update(data)
        self.scanner.feed(data)
        self.diff_size += len(data)
        if self.codec.counts_crc:
            self.crc = crc32(data, self.crc)

    def write(self, data: bytes | memoryview) -> None:
        if not self.codec.verbatim:
            self._packed.update(data)
        if len(data):
            self.draft.write(data)
        self.size += len(data)

    @property
    def diff_id(self) -> Digest:
        return Digest.of_bytes(self._plain.digest())

    @property
    def digest(self) -> Digest:
        return self.diff_id if self.codec.verbatim else Digest.of_bytes(self._packed.digest())


class _Piece:
    """A buffer full of plain bytes; free again when it is hashed and what it became written."""

    __slots__ = ("buffer", "packed", "ready", "users", "view")

    def __init__(self, buffer: memoryview, length: int, users: int) -> None:
        self.buffer = buffer
        self.view = buffer[:length]
        self.packed: bytes | memoryview = b""
        self.ready = threading.Event()
        self.users = users


def cores() -> int:
    """The processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pool_width(codec: Codec, memory: int = 96 << 20) -> int:
    """As many packers as there are cores, as far as their memory allows."""
    return max(1, min(cores(), MAX_WIDTH, memory // max(codec.memory, 1)))


class Pipeline:
    """Threads, their queues and their buffers. Use `buffer`, `submit` and `end` in turn."""

    def __init__(self, codec: Codec, width: int) -> None:
        self._codec = codec
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        self._to_make = min(2 * width + 2, MAX_BUFFERS)
        self._to_pack: SimpleQueue[_Piece | None] = SimpleQueue()
        self._to_hash: SimpleQueue[tuple[LayerWork, _Piece | None] | None] = SimpleQueue()
        self._to_write: SimpleQueue[tuple[LayerWork, _Piece | None] | None] = SimpleQueue()
        # None: something failed, look at the error.
        self.finished: SimpleQueue[LayerWork | None] = SimpleQueue()
        self._packers = width
        self._threads = [
            threading.Thread(target=run, name=f"casstore-{name}", daemon=True)
            for name, run in [
                ("hash", self._hash),
                ("write", self._write),
                *(("pack", self._pack) for _ in range(width)),
            ]
        ]
        for thread in self._threads:
            thread.start()

    def buffer(self) -> memoryview:
        """An empty buffer of one piece; waits for one. Raises what went wrong in a thread."""
        if self._to_make and self._free.empty():
            self._to_make -= 1
            return memoryview(bytearray(PIECE))
        buffer = self._free.get()
        self.check()
        return buffer

    def give_back(self, buffer: memoryview) -> None:
        """A buffer that was not submitted."""
        self._free.put(buffer)

    def submit(
        self, layer: LayerWork, buffer: memoryview, length: int, *, hashed: bool = False
    ) -> None:
        """The next piece of `layer`: `length` bytes of a buffer from `buffer()`.

        Either the caller has given all pieces of a layer to `add_plain` (`hashed`), or none.
        """
        piece = _Piece(buffer, length, users=1 if hashed else 2)
        self._to_pack.put(piece)
        if not hashed:
            self._to_hash.put((layer, piece))
        self._to_write.put((layer, piece))

    def end(self, layer: LayerWork) -> None:
        """No more pieces: `layer` comes out of `finished` when all are hashed and written."""
        self._to_hash.put((layer, None))
        self._to_write.put((layer, None))

    def check(self) -> None:
        """Raise the first error of any thread."""
        if self._error is not None:
            raise self._error

    def close(self, *, abort: bool = False) -> None:
        """End all threads, at once with `abort`, and wait for them."""
        if abort and self._error is None:
            self._error = RuntimeError("aborted")
        self._to_hash.put(None)
        self._to_write.put(None)
        for _ in range(self._packers):
            self._to_pack.put(None)
        for thread in self._threads:
            thread.join()

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            if self._error is None:
                self._error = error
        self.finished.put(None)

    def _release(self, piece: _Piece) -> None:
        with self._lock:
            piece.users -= 1
            last = not piece.users
        if last:
            self._free.put(piece.buffer)

    def _side_done(self, layer: LayerWork) -> None:
        with self._lock:
            layer.sides -= 1
            last = not layer.sides
        if last:
            self.finished.put(layer)

    def _pack(self) -> None:
        pack: Packer | None = None
        while (piece := self._to_pack.get()) is not None:
            try:
                if self._error is None:
                    pack = pack or self._codec.packer()
                    piece.packed = pack(piece.view)
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                self._fail(error)
            piece.ready.set()

    def _hash(self) -> None:
        while (task := self._to_hash.get()) is not None:
            layer, piece = task
            if piece is None:
                layer.hashed.set()
                self._side_done(layer)
                continue
            try:
                if self._error is None:
                    layer.add_plain(piece.view)
            except BaseException as error:  # noqa: BLE001
                self._fail(error)
            self._release(piece)

    def _write(self) -> None:
        while (task := self._to_write.get()) is not None:
            layer, piece = task
            try:
                if piece is None:
                    layer.hashed.wait()
                    if self._error is None:
                        layer.write(self._codec.tail(layer.diff_size, layer.crc))
                else:
                    piece.ready.wait()
                    if self._error is None:
                        if not layer.size and self._codec.head:
                            layer.write(self._codec.head)
                        layer.write(piece.packed)
            except BaseException as error:  # noqa: BLE001
                self._fail(error)
            if piece is None:
                self._side_done(layer)
            else:
                piece.packed = b""
                self._release(piece)
