"""Layers that arrive as somebody else compressed them: stored byte for byte, once they are proven.

The blob must have the size and the digest that its descriptor says, must decompress to the very
end, and what is in it must be its diff ID. Layers are worked on side by side, each read, hashed,
written and decompressed by one thread, its plain bytes hashed by another.
"""

from __future__ import annotations

import hashlib
import io
from collections import deque
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, Self, cast

from casstore.errors import Refused
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest
from casstore.model.state import LayerRecord
from casstore.ports.ingest import Draft, Intake
from casstore.progress import wait_for
from casstore.startup.value import Value
from casstore.transfer.fullreads import read_fully
from casstore.transfer.layerstream import open_uncompressed
from casstore.transfer.layertar import LayerScanner
from casstore.transfer.outputlimit import NO_LIMIT, Limit, layer_limit
from casstore.transfer.piecework import MAX_WIDTH, cores
from casstore.transfer.sidehash import PlainHash, SideHash
from casstore.transfer.tarstream import BLOCK, is_header

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

SMALL = 64 << 10  # below this a thread costs more than it saves
ENCRYPTED = "+encrypted"
KNOWN, KEPT = "known", "kept"  # what became of a job: it was there already, or is there now

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


def keep_layers(
    jobs: Sequence[KeepJob],
    intake: Intake,
    *,
    width: int | None = None,
    small: int = SMALL,
    told: Callable[[KeepJob, str], None] | None = None,
    pulse: Callable[[], None] | None = None,
) -> list[LayerRecord]:
    """Verify each layer and store its blob as it is; one that is known already is not read.

    An encrypted layer cannot be looked into: it is stored under its digest, its diff ID is what
    the config says, and its plain sizes are 0.

    Args:
        jobs: the layers of one or many images. Their streams are opened in other threads.
        intake: where blobs go; used in the caller's thread only, except for `Draft.write`.
        width: layers at a time; as many as there are cores if None.
        small: layers below this size get no thread (0 where opening one means waiting).
        told: called in the caller's thread with each job, and KNOWN or KEPT.
        pulse: called in the caller's thread some times a second while it waits for others.

    Returns:
        One record for each job, in order.

    Raises:
        Refused: wrong size, digest or diff ID, or a layer that does not decompress to its end.
    """
    keeping = _Keeping(intake, width or min(cores(), MAX_WIDTH), small, told, pulse)
    try:
        for number, job in enumerate(jobs):
            keeping.start(number, job)
        records = keeping.finish(jobs)
    except BaseException:
        keeping.abort()
        raise
    return records


def describe_layer(
    stream: IO[bytes], descriptor: Descriptor, diff_id: Digest | None
) -> LayerRecord:
    """Verify a blob of the store, which `stream` holds, and say what is in it; closes `stream`.

    However large that is: what the store has is never given up for its size.

    Raises:
        Refused: as `keep_layers`.
    """
    job = KeepJob(lambda: stream, descriptor, diff_id, 1, staged=True)
    return _Verification(job, None, lambda: False, NO_LIMIT).run()


def check_diff_id(expected: Digest | None, got: Digest, position: int) -> None:
    """Refuse a layer whose content is not what the config says; the text is dockerd's."""
    if expected is not None and expected != got:
        raise Refused(f'invalid diffID for layer {position}: expected "{expected}", got "{got}"')


def _wrong_size(descriptor: Descriptor, size: int) -> Refused:
    return Refused(f"blob {descriptor.digest} has {size} bytes, expected {descriptor.size}")


class _Keeping:
    """One call of `keep_layers`."""

    def __init__(
        self, intake: Intake, width: int, small: int, told: Callable[[KeepJob, str], None] | None,
        pulse: Callable[[], None] | None,
    ) -> None:  # fmt: skip
        self._intake = intake
        self._limit = layer_limit(intake.max_layer_size)
        self._width = width
        self._small = small
        self._told = told or _silent
        self._pulse = pulse
        self._pool: ThreadPoolExecutor | None = None
        self._running: deque[tuple[_Verification, Future[LayerRecord]]] = deque()
        self._records: dict[Digest, LayerRecord] = {}
        self._seen: set[Digest] = set()
        self._stop = False

    def start(self, number: int, job: KeepJob) -> None:
        digest = job.descriptor.digest
        if digest in self._seen:
            return
        self._seen.add(digest)
        known = None if job.staged else self._known(job)
        if known is not None:
            self._records[digest] = known
            self._told(job, KNOWN)
            return
        draft = None if job.staged else self._draft(job)
        work = _Verification(job, draft, self._stopped, self._limit)
        if job.descriptor.size < self._small:
            try:
                self._admit(work, work.run())
            except BaseException:
                work.leave()
                raise
            return
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self._width, thread_name_prefix="casstore-keep")
        self._running.append((work, self._pool.submit(work.run)))
        while len(self._running) >= 2 * self._width:
            self._settle()

    def finish(self, jobs: Sequence[KeepJob]) -> list[LayerRecord]:
        while self._running:
            self._settle()
        if self._pool is not None:
            self._pool.shutdown()
        records = [self._records[job.descriptor.digest] for job in jobs]
        for job, record in zip(jobs, records, strict=True):
            if job.descriptor.size != record.size:
                raise _wrong_size(job.descriptor, record.size)
            check_diff_id(job.diff_id, record.diff_id, job.position)
        return records

    def abort(self) -> None:
        self._stop = True
        for work, _ in self._running:
            work.interrupt()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        for work, _ in self._running:
            work.leave()

    def _known(self, job: KeepJob) -> LayerRecord | None:
        if not job.opaque:
            return self._intake.layer(job.descriptor.digest)
        size = self._intake.has(job.descriptor.digest)
        return None if size is None else _unseen(job.descriptor, job.diff_id, size)

    def _draft(self, job: KeepJob) -> Draft:
        if job.resume is None:
            return self._intake.draft()
        draft = self._intake.draft(job.descriptor.digest)
        if draft.offset > job.descriptor.size:
            draft.discard()
            draft = self._intake.draft(job.descriptor.digest)
        return draft

    def _stopped(self) -> bool:
        return self._stop

    def _settle(self) -> None:
        work, future = self._running[0]
        if self._pulse is not None:
            wait_for(future, self._pulse)
        self._admit(work, future.result())
        self._running.popleft()

    def _admit(self, work: _Verification, record: LayerRecord) -> None:
        if work.draft is not None:
            work.draft.seal(record.digest, record.size)
        if not work.job.opaque:
            self._intake.add_layer(record)
        self._records[record.digest] = record
        self._told(work.job, KEPT)


class _Verification:
    """One layer from its stream to its draft, in one thread (and another for the diff ID)."""

    def __init__(
        self, job: KeepJob, draft: Draft | None, stopped: Callable[[], bool], limit: Limit
    ) -> None:
        self._limit = limit
        self.draft = draft
        self.job = job
        self._stopped = stopped
        self._stream: IO[bytes] | None = None

    def run(self) -> LayerRecord:
        try:
            return self._run()
        except Refused:
            self.discard()  # wrong bytes are not to be gone on with
            raise

    def _run(self) -> LayerRecord:
        job = self.job
        with self._open() as stream:
            raw = _Raw(stream, job.descriptor, self.draft, self._stopped)
            if job.opaque or job.descriptor.media_type.endswith(ENCRYPTED):
                raw.drain()
                raw.check()
                return _unseen(job.descriptor, job.diff_id, job.descriptor.size)
            scanner = LayerScanner()
            aside = job.descriptor.size >= SMALL
            plain = SideHash(scanner) if aside else PlainHash(scanner)
            try:
                self._decompress(raw, plain)
                raw.check()
                diff_id = plain.finish()
            except Refused as error:
                # Wrong bytes are the better explanation of bytes that do not decompress.
                raw.drain()
                raw.check()
                raise Refused(f"layer {job.position}: {error}") from None
            finally:
                plain.close()
        check_diff_id(job.diff_id, diff_id, job.position)
        return self._record(diff_id, plain.size, scanner.file_bytes)

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

    def _decompress(self, raw: _Raw, plain: SideHash | PlainHash) -> None:
        source = reader = cast("IO[bytes]", raw)
        is_tar = False
        if self.job.diff_id == self.job.descriptor.digest:
            # Plain, and a tar whose first name looks like compressed data is a tar. Otherwise the
            # diff ID is of the compressed bytes, and what is in them would be held to nothing.
            head = read_fully(source, BLOCK)
            is_tar = is_header(head)
            source = reader = cast("IO[bytes]", _Continued(io.BytesIO(head), source))
        if not is_tar:
            reader = open_uncompressed(
                source, compressed_size=self.job.descriptor.size, limit=self._limit
            )
        while data := reader.read(_READ):
            plain.update(data)

    def _record(self, diff_id: Digest, diff_size: int, file_bytes: int) -> LayerRecord:
        media_type, digest, size = self.job.descriptor
        return LayerRecord(digest, size, media_type, diff_id, diff_size, file_bytes)


def _silent(job: KeepJob, word: str) -> None:
    pass


def _unseen(descriptor: Descriptor, diff_id: Digest | None, size: int) -> LayerRecord:
    """The record of a blob that is not looked into."""
    media_type, digest, _ = descriptor
    return LayerRecord(digest, size, media_type, diff_id or digest, 0, 0)


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
        stopped: Callable[[], bool],
    ) -> None:
        self._stream = stream
        self._descriptor = descriptor
        self._draft = draft
        self._stopped = stopped
        self._hash = hashlib.sha256()
        self._count = 0
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
        self._hash.update(data)
        if self._draft is not None and self._count > self._there:
            known = self._there - (self._count - len(data))
            self._draft.write(memoryview(data)[known:] if known > 0 else data)
        return data

    def close(self) -> None:
        """Nothing: whoever opened the stream closes it."""

    def drain(self) -> None:
        """Read what is left."""
        while self.read(_READ):
            pass

    def check(self) -> None:
        """Refuse a blob that is not the one its descriptor names; to be called at its end."""
        digest = Digest.of_bytes(self._hash.digest())
        wanted = self._descriptor
        if self._count != wanted.size:
            raise _wrong_size(wanted, self._count)
        if digest != wanted.digest:
            raise Refused(f"blob {wanted.digest} has other content: its digest is {digest}")
