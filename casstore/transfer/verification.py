"""One layer blob read to its end, and what it was found to be.

The thread that reads a layer inflates it, which is most of the work. What else there is to do for
each byte, to hash and to write what arrives, to hash and to scan what comes out, is done by a side
thread while the processors have nothing better to do; when as many layers are read at a time as
there are cores, by the same thread at once, while the bytes are in the core's own cache.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable, Iterator

from casstore.errors import Refused
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest
from casstore.model.kept import LayerRecord
from casstore.model.state import PROMISED
from casstore.ports.ingest import Draft
from casstore.startup.typed import cast
from casstore.startup.value import Value
from casstore.transfer.fullreads import read_fully
from casstore.transfer.layerstream import plain_pieces
from casstore.transfer.layertar import LayerScanner
from casstore.transfer.outputlimit import BeyondLimit, Limit
from casstore.transfer.piecework import cores
from casstore.transfer.sidethread import PlainBytes, SideThread
from casstore.transfer.tarstream import BLOCK, is_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Self

SMALL = 64 << 10  # below this a thread costs more than it saves
ENCRYPTED = "+encrypted"

_READ = 1 << 20


class KeepJob(Value):
    """A layer blob of a layout or registry."""

    open: Callable[[], IO[bytes]]  # a stream of its own: jobs are read side by side
    descriptor: Descriptor
    diff_id: Digest | None  # what the config says; None where no config says it
    position: int  # in its image, as messages shall count it
    staged: bool  # already in the intake (adopted by link): verify, do not write
    # The stream from an offset on, where a former try may have left the beginning.
    resume: Callable[[int], IO[bytes]] | None = None
    opaque: bool = False  # no layer at all, or one nobody can look into: only its digest is checked


def check_diff_id(expected: Digest | None, got: Digest, position: int) -> None:
    """Refuse a layer whose content is not what the config says; the text is dockerd's."""
    if expected is not None and expected != got:
        raise Refused(f'invalid diffID for layer {position}: expected "{expected}", got "{got}"')


def wrong_size(descriptor: Descriptor, size: int) -> Refused:
    """What is said of a blob that is not as long as its descriptor says."""
    return Refused(f"blob {descriptor.digest} has {size} bytes, expected {descriptor.size}")


class Hands:
    """How many layers are in work, of those that share the cores."""

    def __init__(self) -> None:
        self._cores = cores()
        self._working = 0
        self._turn = threading.Lock()

    def __enter__(self) -> None:
        with self._turn:
            self._working += 1

    def __exit__(self, *exc: object) -> None:
        with self._turn:
            self._working -= 1

    def are_free(self) -> bool:
        """Whether there is a core that no layer's own thread keeps busy."""
        return self._working < self._cores


class Verification:
    """One layer from its stream to its draft."""

    def __init__(
        self,
        job: KeepJob,
        draft: Draft | None,
        hands: Hands,
        limit: Limit,
        stopped: Callable[[], bool] = lambda: False,
        *,
        digest_only: bool = False,
    ) -> None:
        """`digest_only`: what is in the layer is left as its config promises it."""
        self._digest_only = digest_only
        self._limit = limit
        self.draft = draft
        self.job = job
        self._hands = hands
        self._stopped = stopped
        self._stream: IO[bytes] | None = None

    def run(self) -> LayerRecord:
        """Read all of it.

        Raises:
            Refused: wrong size, digest or diff ID, or it does not decompress to its end.
            InterruptedError: `stopped` said so.
        """
        side = SideThread(self._hands.are_free if self.job.descriptor.size >= SMALL else _never)
        try:
            with self._hands, self._open() as stream:
                raw = _Raw(stream, self.job.descriptor, self.draft, side, self._stopped)
                return self._read(raw, side)
        except Refused:
            side.close()
            self.discard()  # wrong bytes are not to be gone on with
            raise
        finally:
            side.close()

    def _read(self, raw: _Raw, side: SideThread) -> LayerRecord:
        job = self.job
        if job.opaque or job.descriptor.media_type.endswith(ENCRYPTED):
            raw.drain()
            raw.check()
            return unseen(job.descriptor, job.diff_id, job.descriptor.size)
        if self._digest_only and job.diff_id not in (None, job.descriptor.digest):
            raw.drain()
            raw.check()
            return promised(job.descriptor, job.diff_id)
        scanner = LayerScanner()
        plain = PlainBytes(scanner)
        try:
            for piece in self._pieces(raw):
                side.do(plain.add, piece)
            raw.check()
        except Refused as error:
            # Wrong bytes are the better explanation of bytes that do not decompress.
            raw.drain()
            raw.check()
            kind = BeyondLimit if isinstance(error, BeyondLimit) else Refused
            raise kind(f"layer {job.position}: {error}") from None
        check_diff_id(job.diff_id, plain.diff_id, job.position)
        media_type, digest, size = job.descriptor
        return LayerRecord(digest, size, media_type, plain.diff_id, plain.size, scanner.file_bytes)

    def discard(self) -> None:
        if self.draft is not None:
            self.draft.discard()

    def leave(self) -> None:
        if self.draft is not None:
            self.draft.leave()

    def interrupt(self) -> None:
        """Let a read that waits for somebody else end, where the stream can be told so."""
        interrupt = getattr(self._stream, "interrupt", None)
        if interrupt is not None:
            interrupt()

    def _open(self) -> IO[bytes]:
        job, draft = self.job, self.draft
        if draft is None or job.resume is None:
            stream = job.open()
        else:
            stream = job.resume(draft.offset)
            if draft.offset:
                stream = cast("IO[bytes]", _Continued(draft.reread(), stream))
        self._stream = stream
        return stream

    def _pieces(self, raw: _Raw) -> Iterator[bytes]:
        source = cast("IO[bytes]", raw)
        if self.job.diff_id == self.job.descriptor.digest:
            # Plain, and a tar whose first name looks like compressed data is a tar. Otherwise the
            # diff ID is of the compressed bytes, and what is in them would be held to nothing.
            head = read_fully(source, BLOCK)
            source = cast("IO[bytes]", _Continued(io.BytesIO(head), source))
            if is_header(head):
                return iter(lambda: source.read(_READ), b"")
        return plain_pieces(source, compressed_size=self.job.descriptor.size, limit=self._limit)


def _never() -> bool:
    return False


def unseen(descriptor: Descriptor, diff_id: Digest | None, size: int) -> LayerRecord:
    """The record of a blob that is not looked into."""
    media_type, digest, _ = descriptor
    return LayerRecord(digest, size, media_type, diff_id or digest, 0, 0)


def promised(descriptor: Descriptor, diff_id: Digest) -> LayerRecord:
    """The record of a layer of which digest and size are verified, and no more."""
    media_type, digest, size = descriptor
    return LayerRecord(digest, size, media_type, diff_id, 0, size, PROMISED)


class _Continued:
    """What is there of a blob, then the rest."""

    def __init__(self, first: IO[bytes], rest: IO[bytes]) -> None:
        self._first, self._rest = first, rest
        self._ended = False

    def read(self, size: int = -1) -> bytes:
        if not self._ended:
            data = self._first.read(size)
            if data:
                return data
            self._ended = True
        return self._rest.read(size)

    def interrupt(self) -> None:
        interrupt = getattr(self._rest, "interrupt", None)
        if interrupt is not None:
            interrupt()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        self.close()

    def close(self) -> None:
        self._first.close()
        self._rest.close()


class _Raw:
    """The blob as it is read: each byte hashed, counted and written to the draft as it passes."""

    def __init__(
        self,
        stream: IO[bytes],
        descriptor: Descriptor,
        draft: Draft | None,
        side: SideThread,
        stopped: Callable[[], bool],
    ) -> None:
        self._stream = stream
        self._side = side
        self._descriptor = descriptor
        self._draft = draft
        self._stopped = stopped
        self._hash = hashlib.sha256()
        self._count = 0  # bytes that were read
        self._taken = 0  # of these, bytes that were hashed
        self._there = draft.offset if draft is not None else 0  # bytes that the draft has already

    def read(self, size: int = -1) -> bytes:
        if self._stopped():
            raise InterruptedError
        left = self._descriptor.size - self._count
        # One byte more than there should be shows that there are too many.
        data = self._stream.read(min(size if size >= 0 else _READ, left + 1))
        self._count += len(data)
        if self._count > self._descriptor.size:
            raise Refused(
                f"blob {self._descriptor.digest} is larger than the {self._descriptor.size} bytes "
                "of its descriptor"
            )
        if data:
            self._side.do(self._take, data)
        return data

    def close(self) -> None:
        """Nothing: whoever opened the stream closes it."""

    def drain(self) -> None:
        """Read what is left."""
        while self.read(_READ):
            pass

    def check(self) -> None:
        """Refuse a blob that is not the one its descriptor names; to be called at its end."""
        self._side.finish()
        digest = Digest.of_bytes(self._hash.digest())
        wanted = self._descriptor
        if self._count != wanted.size:
            raise wrong_size(wanted, self._count)
        if digest != wanted.digest:
            raise Refused(f"blob {wanted.digest} has other content: its digest is {digest}")

    def _take(self, data: bytes | memoryview) -> None:
        self._hash.update(data)
        known = self._there - self._taken
        self._taken += len(data)
        if self._draft is not None and len(data) > known:
            self._draft.write(memoryview(data)[known:] if known > 0 else data)
