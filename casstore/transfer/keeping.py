"""Layers that arrive as somebody else compressed them: stored byte for byte, once they are proven.

The blob must have the size and the digest that its descriptor says, must decompress to the very
end, and what is in it must be its diff ID. Layers are worked on side by side, each read, hashed,
written and decompressed by one thread, its plain bytes hashed by another.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, cast

from casstore.errors import Refused
from casstore.model.digest import Digest
from casstore.model.record import Descriptor, LayerRecord
from casstore.model.value import Value
from casstore.ports import Draft, Intake
from casstore.transfer.layerstream import open_uncompressed
from casstore.transfer.layertar import LayerScanner
from casstore.transfer.piecework import MAX_WIDTH, cores
from casstore.transfer.sidehash import PlainHash, SideHash

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


def keep_layers(
    jobs: Sequence[KeepJob], intake: Intake, *, width: int | None = None
) -> list[LayerRecord]:
    """Verify each layer and store its blob as it is; one that is known already is not read.

    An encrypted layer cannot be looked into: it is stored under its digest, its diff ID is what
    the config says, and its plain sizes are 0.

    Args:
        jobs: the layers of one or many images. Their streams are opened in other threads.
        intake: where blobs go; used in the caller's thread only, except for `Draft.write`.
        width: layers at a time; as many as there are cores if None.

    Returns:
        One record for each job, in order.

    Raises:
        Refused: wrong size, digest or diff ID, or a layer that does not decompress to its end.
    """
    keeping = _Keeping(intake, width or min(cores(), MAX_WIDTH))
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
    """Verify one blob, which `stream` holds, and say what is in it; closes `stream`.

    Raises:
        Refused: as `keep_layers`.
    """
    job = KeepJob(lambda: stream, descriptor, diff_id, 1, staged=True)
    return _Verification(job, None, lambda: False).run()


def check_diff_id(expected: Digest | None, got: Digest, position: int) -> None:
    """Refuse a layer whose content is not what the config says; the text is dockerd's."""
    if expected is not None and expected != got:
        raise Refused(f'invalid diffID for layer {position}: expected "{expected}", got "{got}"')


def _wrong_size(descriptor: Descriptor, size: int) -> Refused:
    return Refused(f"blob {descriptor.digest} has {size} bytes, expected {descriptor.size}")


class _Keeping:
    """One call of `keep_layers`."""

    def __init__(self, intake: Intake, width: int) -> None:
        self._intake = intake
        self._width = width
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
        known = None if job.staged else self._intake.layer(digest)
        if known is not None:
            self._records[digest] = known
            return
        draft = None if job.staged else self._intake.draft()
        work = _Verification(job, draft, self._stopped)
        if job.descriptor.size < SMALL:
            try:
                self._admit(work, work.run())
            except BaseException:
                work.discard()
                raise
            return
        if self._pool is None:
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
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        for work, _ in self._running:
            work.discard()

    def _stopped(self) -> bool:
        return self._stop

    def _settle(self) -> None:
        work, future = self._running[0]
        self._admit(work, future.result())
        self._running.popleft()

    def _admit(self, work: _Verification, record: LayerRecord) -> None:
        if work.draft is not None:
            work.draft.seal(record.digest, record.size)
        self._intake.add_layer(record)
        self._records[record.digest] = record


class _Verification:
    """One layer from its stream to its draft, in one thread (and another for the diff ID)."""

    def __init__(self, job: KeepJob, draft: Draft | None, stopped: Callable[[], bool]) -> None:
        self.draft = draft
        self._job = job
        self._stopped = stopped

    def run(self) -> LayerRecord:
        job = self._job
        with job.open() as stream:
            raw = _Raw(stream, job.descriptor, self.draft, self._stopped)
            if job.descriptor.media_type.endswith(ENCRYPTED):
                raw.drain()
                raw.check()
                diff_id = job.diff_id or job.descriptor.digest
                return self._record(diff_id, 0, 0)
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

    def _decompress(self, raw: _Raw, plain: SideHash | PlainHash) -> None:
        source = cast("IO[bytes]", raw)
        if self._job.diff_id == self._job.descriptor.digest:
            reader = source  # plain, whatever it looks like
        else:
            reader = open_uncompressed(source, compressed_size=self._job.descriptor.size)
        while data := reader.read(_READ):
            plain.update(data)

    def _record(self, diff_id: Digest, diff_size: int, file_bytes: int) -> LayerRecord:
        media_type, digest, size = self._job.descriptor
        return LayerRecord(digest, size, media_type, diff_id, diff_size, file_bytes)


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
        if self._draft is not None and data:
            self._draft.write(data)
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
