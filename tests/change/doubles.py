"""A backend in memory that notes what a change asks of it, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from threading import Lock
from typing import Final, Literal

from casstore.backends.memory.backend import MemoryBackend, MemoryLock, NoReserve, NothingPublished
from casstore.backends.memory.blobs import MemoryBlobs
from casstore.backends.memory.edits import MemoryEdits
from casstore.backends.memory.tables import Tables
from casstore.change.commit import Change
from casstore.model.digest import Digest
from casstore.model.keys import GENERATION
from casstore.model.lease import HardLease
from casstore.model.published import Published
from casstore.ports.ingest import Ingest

Edited = tuple[list[tuple[Published, Published | None]], list[Published]]


class Own(Enum):
    """An answer that no test has set: the backend's own."""

    ANSWER = "own"


OWN: Final = Own.ANSWER
Unset = Literal[Own.ANSWER]


class Recorded(MemoryBackend):
    """A backend of which a test may set what is asked for, and sees what was done.

    As long as nothing is set it is a store in memory, and the contract holds it to that.

    `happened` is what was done to it, its index, its blobs, its index.json, its reserve and the
    lock. An action whose name is in `fails` raises what is noted there, once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.blobs = RecordedBlobs(self)
        self.published = RecordedList(self)
        self.reserve = RecordedReserve(self)
        self.happened: list[str] = []
        self.fails: dict[str, BaseException] = {}
        self.leases: list[HardLease] = []  # besides those that are taken
        self.hard: Mapping[Digest, Sequence[str]] = {}
        self.images: set[Digest] | None = None
        self.known: dict[Digest, int] | None = None  # sizes
        self.shown: int | Unset | None = OWN  # the generation of index.json
        self.doomed_blobs: list[Digest] | None = None
        self.edited: Edited | Unset | None = OWN
        self.unseen: list[str] = []
        self.fits = True  # whether index.json can be changed in place
        self.left = 0  # doomed blobs that there is no time for
        self.problems: list[str] = []
        self.has_reserve = True
        self.is_mine = True
        self.asked_to_change: list[bool] = []  # each time that leases were asked for
        self.doors: list[tuple[float, bool]] = []

    @property
    def table(self) -> dict[str, str | int]:
        """The settings and figures that are committed."""
        return self.tables().meta

    def tables(self) -> Tables:
        return self._tables

    def put(self, tables: Tables) -> None:
        self._tables = tables

    def do(self, what: str) -> None:
        self.happened.append(what)
        error = self.fails.pop(what.partition(" ")[0], None)
        if error is not None:
            raise error

    def lock(self, timeout: float, command: str) -> RecordedLock:
        return RecordedLock(self, self._lock, timeout)

    def hard_leases(self, *, to_change: bool = False) -> list[HardLease]:
        self.asked_to_change.append(to_change)
        if "hard_leases" in self.fails:
            raise self.fails.pop("hard_leases")
        return [*super().hard_leases(to_change=to_change), *self.leases]

    def edits(self, now: int, hard: Mapping[Digest, Sequence[str]]) -> RecordedIndex:
        self.hard = hard
        return RecordedIndex(self, self.tables, self.put, now=now, hard=hard)

    def rehearse(
        self, now: int, hard: Mapping[Digest, Sequence[str]]
    ) -> tuple[RecordedIndex, list[str]]:
        self.require()
        self.hard, still = hard, self.tables()
        copy = RecordedIndex(self, lambda: still, lambda _: None, now=now, hard=hard)
        return copy, self.unseen

    def make_durable(self) -> None:
        self.do("make_durable")

    def clear_leftovers(self) -> None:
        self.do("clear_leftovers")

    @contextmanager
    def door(self, timeout: float, *, shared: bool) -> Iterator[None]:
        self.doors.append((timeout, shared))
        with super().door(timeout, shared=shared):
            self.do("shut")
            yield
            self.happened.append("open")


class RecordedIndex(MemoryEdits):
    def __init__(
        self,
        of: Recorded,
        tables: Callable[[], Tables],
        put: Callable[[Tables], None],
        *,
        now: int,
        hard: Mapping[Digest, Sequence[str]],
    ) -> None:
        super().__init__(tables, put, now=now, hard=hard)
        self._of = of

    def begin(self) -> None:
        self._of.do("begin")
        super().begin()

    def commit(self) -> None:
        self._of.do("commit")
        super().commit()

    def rollback(self) -> None:
        self._of.do("rollback")
        super().rollback()

    def changes(self) -> Edited | None:
        return super().changes() if self._of.edited is OWN else self._of.edited

    def has_doomed(self) -> bool:
        blobs = self._of.doomed_blobs
        return super().has_doomed() if blobs is None else bool(blobs)

    def doomed(self) -> Iterator[Digest]:
        blobs = self._of.doomed_blobs
        return super().doomed() if blobs is None else iter(blobs)

    def forget_doomed(self, last: Digest) -> None:
        self._of.do("forget")
        blobs = self._of.doomed_blobs
        if blobs is None:
            super().forget_doomed(last)
        else:
            del blobs[: blobs.index(last) + 1]

    def has_image(self, image: Digest) -> bool:
        images = self._of.images
        return super().has_image(image) if images is None else image in images

    def blob_size(self, blob: Digest) -> int | None:
        known = self._of.known
        return super().blob_size(blob) if known is None else known.get(blob)


class RecordedList(NothingPublished):
    """An index.json."""

    def __init__(self, of: Recorded) -> None:
        super().__init__(of.tables)
        self._of = of

    def generation(self) -> int | None:
        return super().generation() if self._of.shown is OWN else self._of.shown

    def splice(
        self,
        edits: Sequence[tuple[Published, Published | None]],
        added: Sequence[Published],
        generation: int,
    ) -> bool:
        if self._of.fits:
            self._show(f"splice {generation}", generation)
        return self._of.fits

    def flush(self) -> None:
        self._of.do("flush")

    def write(self, rows: Iterable[Published], generation: int) -> None:
        self._show(f"write {generation}", generation)

    def _show(self, what: str, generation: int) -> None:
        self._of.do(what)
        if self._of.shown is not OWN:
            self._of.shown = generation

    def withdraw(self) -> None:
        self._of.do("withdraw")

    def note(self, generation: int) -> None:
        self._of.do(f"note {generation}")

    def forget_last(self) -> None:
        self._of.do("forget_last")


class RecordedBlobs(MemoryBlobs):
    def __init__(self, of: Recorded) -> None:
        super().__init__()
        self._of = of

    def discard(self, digests: Iterable[Digest]) -> list[str]:
        some = list(digests)
        self._of.do("discard " + " ".join(blob.short for blob in some))
        return super().discard(some)

    def discard_some(self, digests: Sequence[Digest], seconds: float = 0) -> tuple[int, list[str]]:
        self._of.do(f"unlink {len(digests)}")
        count = len(digests) - self._of.left
        return count, super().discard(digests[:count]) + self._of.problems


class RecordedReserve(NoReserve):
    """A reserve that is there until it is given up."""

    def __init__(self, of: Recorded) -> None:
        self._of = of

    def give_up(self) -> bool:
        self._of.do("give_up")
        given, self._of.has_reserve = self._of.has_reserve, False
        return given

    def restore(self) -> None:
        self._of.do("restore")
        self._of.has_reserve = True


class RecordedLock(MemoryLock):
    """The lock."""

    def __init__(self, of: Recorded, lock: Lock, timeout: float) -> None:
        super().__init__(lock, timeout)
        self._of = of

    @property
    def is_mine(self) -> bool:
        return self._of.is_mine and super().is_mine

    def release(self) -> None:
        self._of.do("release")
        super().release()


def held(recorded: Recorded) -> RecordedLock:
    """Its lock, taken."""
    lock = recorded.lock(5.0, "")
    lock.acquire()
    return lock


def change_of(recorded: Recorded) -> Change:
    """A change of it, with the lock held."""
    return Change(recorded, held(recorded), 1000)


def staged(recorded: Recorded, *blobs: bytes) -> Ingest:
    """Blobs that are staged in it."""
    ingest = recorded.begin_ingest(lambda: recorded.view(0))
    for blob in blobs:
        ingest.add(blob)
    return ingest


def of_generation(generation: int) -> Recorded:
    """A store that was changed so often."""
    recorded = Recorded()
    recorded.create()
    recorded.put(Tables(meta={GENERATION: generation}))
    return recorded
