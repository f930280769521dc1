"""A backend that notes what a change asks of it, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, NoReturn

from casstore.backends.memory.backend import MemoryBackend, MemoryLock, NoReserve, NothingPublished
from casstore.backends.memory.blobs import MemoryBlobs, MemoryIngest
from casstore.backends.memory.edits import MemoryEdits
from casstore.backends.memory.tables import Tables
from casstore.change.commit import Change
from casstore.model.digest import Digest
from casstore.model.keys import GENERATION
from casstore.model.lease import HardLease
from casstore.model.published import Published

Edited = tuple[list[tuple[Published, Published | None]], list[Published]]


class Recorded(MemoryBackend):
    """A backend of which a test sets what is asked for, and sees what was done.

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
        self.leases: list[HardLease] = []
        self.hard: Mapping[Digest, Sequence[str]] = {}
        self.images: set[Digest] = set()
        self.known: dict[Digest, int] = {}  # sizes
        self.table: dict[str, Any] = {GENERATION: 7}
        self.shown: int | None = 7  # the generation of index.json
        self.doomed_blobs: list[Digest] = []
        self.edited: Edited | None = ([], [])
        self.fits = True  # whether index.json can be changed in place
        self.left = 0  # doomed blobs that there is no time for
        self.problems: list[str] = []
        self.has_reserve = True
        self.is_mine = True
        self.asked_to_change: list[bool] = []  # each time that leases were asked for
        self.timeout = 5.0

    def do(self, what: str) -> None:
        self.happened.append(what)
        error = self.fails.pop(what.partition(" ")[0], None)
        if error is not None:
            raise error

    def hard_leases(self, *, to_change: bool = False) -> list[HardLease]:
        self.asked_to_change.append(to_change)
        if "hard_leases" in self.fails:
            raise self.fails.pop("hard_leases")
        return list(self.leases)

    def edits(self, now: int, hard: Mapping[Digest, Sequence[str]]) -> RecordedIndex:
        self.hard = hard
        return RecordedIndex(self, now, hard)

    def rehearse(
        self, now: int, hard: Mapping[Digest, Sequence[str]]
    ) -> tuple[RecordedIndex, list[str]]:
        return self.edits(now, hard), ["a notice"]

    def make_durable(self) -> None:
        self.do("make_durable")

    def clear_leftovers(self) -> None:
        self.do("clear_leftovers")

    @contextmanager
    def door(self, timeout: float, *, shared: bool) -> Iterator[None]:
        assert (timeout, shared) == (self.timeout, False)
        self.do("shut")
        yield
        self.happened.append("open")


class RecordedIndex(MemoryEdits):
    def __init__(self, of: Recorded, now: int, hard: Mapping[Digest, Sequence[str]]) -> None:
        super().__init__(Tables, lambda _: None, now=now, hard=hard)
        self._of = of

    def begin(self) -> None:
        self._of.do("begin")

    def commit(self) -> None:
        self._of.do("commit")

    def rollback(self) -> None:
        self._of.do("rollback")

    def meta(self, key: str) -> Any:
        return self._of.table.get(key)

    def set_meta(self, key: str, value: str | int) -> None:
        self._of.table[key] = value

    def changes(self) -> Edited | None:
        return self._of.edited

    def has_doomed(self) -> bool:
        return bool(self._of.doomed_blobs)

    def doomed(self) -> Iterator[Digest]:
        return iter(self._of.doomed_blobs)

    def forget_doomed(self, last: Digest) -> None:
        self._of.do("forget")
        del self._of.doomed_blobs[: self._of.doomed_blobs.index(last) + 1]

    def all_published(self) -> Iterator[Published]:
        return iter(())

    def has_image(self, image: Digest) -> bool:
        return image in self._of.images

    def blob_size(self, blob: Digest) -> int | None:
        return self._of.known.get(blob)

    def known_among(self, blobs: Sequence[Digest]) -> set[Digest]:
        return set(blobs) & self._of.known.keys()


class RecordedList(NothingPublished):
    """An index.json."""

    def __init__(self, of: Recorded) -> None:
        super().__init__(Tables)
        self._of = of

    def generation(self) -> int | None:
        return self._of.shown

    def splice(
        self,
        edits: Sequence[tuple[Published, Published | None]],
        added: Sequence[Published],
        generation: int,
    ) -> bool:
        if self._of.fits:
            self._of.do(f"splice {generation}")
            self._of.shown = generation
        return self._of.fits

    def flush(self) -> None:
        self._of.do("flush")

    def write(self, rows: Iterable[Published], generation: int) -> None:
        self._of.do(f"write {generation}")
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
        self._of.do("discard " + " ".join(blob.short for blob in digests))
        return []

    def discard_some(self, digests: Sequence[Digest], seconds: float = 0) -> tuple[int, list[str]]:
        self._of.do(f"unlink {len(digests)}")
        return len(digests) - self._of.left, self._of.problems


class RecordedReserve(NoReserve):
    def __init__(self, of: Recorded) -> None:
        self._of = of

    def give_up(self) -> bool:
        self._of.do("give_up")
        return self._of.has_reserve

    def restore(self) -> None:
        self._of.do("restore")


class RecordedLock(MemoryLock):
    """The lock, held."""

    def __init__(self, of: Recorded) -> None:
        super().__init__(Lock(), of.timeout)
        self._of = of

    @property
    def is_mine(self) -> bool:
        return self._of.is_mine

    def release(self) -> None:
        self._of.do("release")


class Brought(MemoryIngest):
    """An ingest whose blobs get their names."""

    def __init__(self, named: list[Digest]) -> None:
        super().__init__(MemoryBlobs(), _no_look)
        self._to_name = named

    def publish(self, known_among: Callable[[Sequence[Digest]], set[Digest]]) -> None:
        self.named = self._to_name


def _no_look() -> NoReturn:
    raise AssertionError("nothing is looked up")


def change_of(recorded: Recorded) -> Change:
    """A change of it, with the lock held."""
    return Change(recorded, RecordedLock(recorded), 1000)
