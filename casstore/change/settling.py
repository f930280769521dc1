"""Layers that came in by their digests alone, read at last: is each what its images say?

Reading takes no lock. What it finds follows from bytes whose digest is their name, so nothing that
others do meanwhile can make it wrong; a layer that has gone is passed over. It is written in turns,
each of which is one durable change.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from casstore.errors import CasstoreError, Damaged, Locked, Refused, StorageError
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest
from casstore.model.findings import BROKEN_LAYER, ERROR, MISMATCH, Finding
from casstore.model.kept import LayerRecord
from casstore.model.state import BROKEN, PROMISED, SETTLED
from casstore.progress import wait_for
from casstore.results.upkeep import SettleResult
from casstore.rules.hurt import hurt_by
from casstore.startup.value import Value
from casstore.startup.workers import Workers
from casstore.transfer.keptlayers import describe_layer
from casstore.transfer.outputlimit import BeyondLimit, Limit, layer_limit
from casstore.transfer.piecework import MAX_WIDTH, cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from casstore.change.commit import Change
    from casstore.ports.blobs import Blobs
    from casstore.ports.view import View
    from casstore.progress import Progress, Task

SETTLING = "Settling"  # the task of a progress
LAYERS_A_TURN = 32
BYTES_A_TURN = 256 << 20  # as stored: some seconds of reading


class Reading(Value):
    """What reading a layer has found."""

    found: LayerRecord  # SETTLED with the diff ID that it has, or BROKEN
    problem: str  # why it is not what was promised; empty where it is

    @property
    def code(self) -> str:
        """Of the finding that the problem is."""
        return BROKEN_LAYER if self.found.state == BROKEN else MISMATCH


def read_layer(
    blobs: Blobs, promised: LayerRecord, limit: Limit, stopped: Callable[[], bool]
) -> Reading:
    """Read a layer to its end.

    Args:
        limit: what may come out of it: nobody has held it against one before.
        stopped: whether nobody wants it any more.

    Raises:
        BeyondLimit: more comes out.
        Damaged: the blob is not there, or not its digest.
        StorageError: it cannot be read, or not to its end as nobody wants it any more.
    """
    digest = promised.digest
    descriptor = Descriptor(promised.media_type, digest, promised.size)
    try:
        # A plain layer is known by its diff ID, even if it looks like compressed data.
        plain = promised.diff_id if promised.diff_id == digest else None
        found = describe_layer(blobs.open(digest), descriptor, plain, limit, stopped)
    except BeyondLimit as error:
        raise BeyondLimit(f"blob {digest}: {error}") from None
    except Refused as error:
        _require_whole(blobs, descriptor)
        return Reading(promised._replace(state=BROKEN), str(error).removeprefix("layer 1: "))
    except InterruptedError:
        raise StorageError(f"blob {digest} was not read to its end: it is not wanted") from None
    if found.diff_id == promised.diff_id:
        return Reading(found, "")
    text = f'invalid diffID: expected "{promised.diff_id}", got "{found.diff_id}"'
    return Reading(found, text)


def _require_whole(blobs: Blobs, descriptor: Descriptor) -> None:
    """Raises Damaged unless the blob has its digest: of other bytes nothing follows."""
    import hashlib

    digest, state, size = descriptor.digest, hashlib.sha256(), 0
    with blobs.open(digest) as stream:
        while piece := stream.read(1 << 20):
            state.update(piece)
            size += len(piece)
    if size != descriptor.size or Digest.of_bytes(state.digest()) != digest:
        raise Damaged(f"blob {digest} is corrupt: its content has another digest")


class Settling:
    """Reads layers, and writes what they are."""

    def __init__(
        self,
        blobs: Blobs,
        look: Callable[[], View],
        turn: Callable[[Callable[[Change], list[Finding]]], list[Finding]] | None,
        *,
        max_layer_size: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Begin nothing yet.

        Args:
            look: gives a look at the store as it is then.
            turn: makes a change; None where the store cannot be changed.
            max_layer_size: bytes that a layer may have uncompressed; None: the usual limit.
            progress: gets a task `Settling` of bytes as stored.
        """
        self._blobs, self._look, self._turn = blobs, look, turn
        self._limit = layer_limit(max_layer_size)
        self._progress = progress
        self.found: dict[Digest, LayerRecord] = {}
        self.damaged: list[Finding] = []  # those that are not what was promised
        self.errors: list[CasstoreError] = []  # of layers that could not be read
        self._stop = False

    def settle(self, layers: Sequence[LayerRecord], *, seconds: float | None = None) -> None:
        """Read layers and write what they are, for so many seconds, and what is begun to its end.

        What could not be written is in `found` all the same, and is read again the next time.
        """
        if not layers:
            return
        end = time.monotonic() + seconds if seconds is not None else None
        task = None
        if self._progress is not None:
            task = self._progress.task(SETTLING, sum(layer.size for layer in layers))
        with Workers(min(cores(), MAX_WIDTH), "casstore-settle") as pool:
            for some in _turns(layers):
                if end is not None and time.monotonic() >= end:
                    break
                self._one_turn(pool, some, task)
        if task is not None:
            task.finish()

    def _one_turn(self, pool: Workers, layers: Sequence[LayerRecord], task: Task | None) -> None:
        work = [pool.submit(self._read, layer) for layer in layers]
        readings = []
        try:
            for layer, outcome in zip(layers, work, strict=True):
                if task is not None:
                    wait_for(outcome, task.pulse)
                try:
                    readings.append(outcome.result())
                except CasstoreError as error:
                    if self._look().layer(layer.digest) is not None:  # else it has gone meanwhile
                        self.errors.append(error)
                if task is not None:
                    task.advance(layer.size)
        except BaseException:
            self._stop = True
            pool.shutdown(cancel=True)
            raise
        self.found.update((one.found.digest, one.found) for one in readings)
        if not readings:
            return
        if self._turn is None:
            self.damaged += _wrong(self._look(), readings)
            return
        try:
            self.damaged += self._turn(lambda change: _write(change, readings))
        except (Locked, StorageError):  # others keep the lock, or the disk is full
            self.damaged += _wrong(self._look(), readings)

    def _read(self, layer: LayerRecord) -> Reading:
        return read_layer(self._blobs, layer, self._limit, lambda: self._stop)

    def result(self, view: View) -> SettleResult:
        """What came of it; `view` is a look at the store since."""
        right = sum(one.state == SETTLED for one in self.found.values())
        right -= sum(one.code == MISMATCH for one in self.damaged)
        return SettleResult(
            right,
            len(promises(view)),
            tuple(map(told, self.damaged)),
            tuple(str(error) for error in self.errors),
        )


def _turns(layers: Iterable[LayerRecord]) -> Iterator[list[LayerRecord]]:
    some: list[LayerRecord] = []
    for layer in layers:
        some.append(layer)
        if len(some) >= LAYERS_A_TURN or sum(one.size for one in some) >= BYTES_A_TURN:
            yield some
            some = []
    if some:
        yield some


def _write(change: Change, readings: Sequence[Reading]) -> list[Finding]:
    findings = _wrong(change.index, readings)
    change.index.record_layers([one.found for one in readings])
    change.commit()
    return findings


def _wrong(view: View, readings: Iterable[Reading]) -> list[Finding]:
    """Those that are not what was promised, with the images that this hurts.

    All images that have a promised layer promise the same of it.
    """
    findings = []
    for one in readings:
        known = view.layer(one.found.digest) if one.problem else None
        if known is not None and known.state != SETTLED:
            text = f"{one.problem}; needed by {hurt_by(view, known.digest)}"
            findings.append(Finding(ERROR, one.code, known.digest, text))
    return findings


def promises(view: View) -> list[LayerRecord]:
    """Layers of a store that nobody has read."""
    return [layer for layer in view.unsettled_layers() if layer.state == PROMISED]


def told(finding: Finding) -> str:
    """What is said of a layer that is not what was promised, in one line."""
    return f"layer {finding.object}: {finding.text}"
