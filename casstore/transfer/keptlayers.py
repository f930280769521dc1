"""Layers that arrive as somebody else compressed them: stored byte for byte, once they are proven.

The blob must have the size and the digest that its descriptor says, must decompress to the very
end, and what is in it must be its diff ID (verification.py). An intake may ask for digests only:
then a layer is a promise, which is not decompressed. Layers are worked on side by side.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest
from casstore.model.kept import LayerRecord
from casstore.model.state import PROMISED, SETTLED
from casstore.ports.ingest import Draft, Intake
from casstore.progress import wait_for
from casstore.transfer.outputlimit import NO_LIMIT, Limit, layer_limit
from casstore.transfer.piecework import MAX_WIDTH, cores
from casstore.transfer.verification import (
    SMALL,
    Hands,
    KeepJob,
    Verification,
    check_diff_id,
    unseen,
    wrong_size,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

    from casstore.startup.workers import Outcome, Workers

KNOWN, KEPT = "known", "kept"  # what became of a job: it was there already, or is there now


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

    One that is known as a promise is: unless the same is promised now, and nothing else is asked.

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
    stream: IO[bytes],
    descriptor: Descriptor,
    diff_id: Digest | None,
    limit: Limit = NO_LIMIT,
    stopped: Callable[[], bool] = lambda: False,
) -> LayerRecord:
    """Verify a blob of the store, which `stream` holds, and say what is in it; closes `stream`.

    However large that is, by default: what the store has is never given up for its size.

    Raises:
        Refused: as `keep_layers`.
        InterruptedError: `stopped` said so.
    """
    job = KeepJob(lambda: stream, descriptor, diff_id, 1, staged=True)
    return Verification(job, None, Hands(), limit, stopped).run()


class _Keeping:
    """One call of `keep_layers`."""

    def __init__(
        self, intake: Intake, width: int, small: int, told: Callable[[KeepJob, str], None] | None,
        pulse: Callable[[], None] | None,
    ) -> None:  # fmt: skip
        self._intake = intake
        self._hands = Hands()
        self._limit = layer_limit(intake.max_layer_size)
        self._width = width
        self._small = small
        self._told = told or _silent
        self._pulse = pulse
        self._pool: Workers | None = None
        self._running: deque[tuple[Verification, Outcome[LayerRecord]]] = deque()
        self._records: dict[Digest, LayerRecord] = {}
        self._seen: set[Digest] = set()
        self._reread: set[Digest] = set()  # promises that the store has, which are read now
        self._stop = False

    def start(self, number: int, job: KeepJob) -> None:
        digest = job.descriptor.digest
        if digest in self._seen:
            return
        self._seen.add(digest)
        digest_only = self._intake.digests_only
        # What is staged may be a file that was linked, which nobody has verified.
        known = self._known(job) if not job.staged or (digest_only and not job.opaque) else None
        if known is not None:
            if known.state == SETTLED or (
                digest_only and known.state == PROMISED and known.diff_id == job.diff_id
            ):
                self._records[digest] = known
                self._told(job, KNOWN)
                return
            # It is here, and so not fetched again; what is promised of it is not enough.
            job = job._replace(open=lambda: self._intake.open(digest), staged=True, resume=None)
            digest_only = False
            self._reread.add(digest)
        draft = None if job.staged else self._draft(job)
        work = Verification(
            job, draft, self._hands, self._limit, self._stopped, digest_only=digest_only
        )
        if job.descriptor.size < self._small:
            try:
                self._admit(work, work.run())
            except BaseException:
                work.leave()
                raise
            return
        if self._pool is None:
            from casstore.startup.workers import Workers

            self._pool = Workers(self._width, "casstore-keep")
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
                raise wrong_size(job.descriptor, record.size)
            check_diff_id(job.diff_id, record.diff_id, job.position)
        return records

    def abort(self) -> None:
        self._stop = True
        for work, _ in self._running:
            work.interrupt()
        if self._pool is not None:
            self._pool.shutdown(cancel=True)
        for work, _ in self._running:
            work.leave()

    def _known(self, job: KeepJob) -> LayerRecord | None:
        if not job.opaque:
            return self._intake.layer(job.descriptor.digest)
        size = self._intake.has(job.descriptor.digest)
        return None if size is None else unseen(job.descriptor, job.diff_id, size)

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
        work, outcome = self._running[0]
        if self._pulse is not None:
            wait_for(outcome, self._pulse)
        self._admit(work, outcome.result())
        self._running.popleft()

    def _admit(self, work: Verification, record: LayerRecord) -> None:
        if work.draft is not None:
            work.draft.seal(record.digest, record.size)
        if not work.job.opaque:
            self._intake.add_layer(record)
        self._records[record.digest] = record
        self._told(work.job, KNOWN if record.digest in self._reread else KEPT)


def _silent(job: KeepJob, word: str) -> None:
    pass
