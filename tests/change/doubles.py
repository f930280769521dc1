"""A backend that notes what a change asks of it, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

from casstore.change.commit import Change
from casstore.model.digest import Digest
from casstore.model.keys import GENERATION
from casstore.model.lease import HardLease
from casstore.ports.backend import Backend
from casstore.ports.locks import WritersLock


class Recorded:
    """The backend, its index, its blobs, its index.json, its reserve and the lock, all in one.

    `happened` is what was done; what is asked for is set by a test. An action whose name is in
    `fails` raises what is noted there, once.
    """

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.fails: dict[str, BaseException] = {}
        self.leases: list[HardLease] = []
        self.hard: Mapping[Digest, Sequence[str]] = {}
        self.images: set[Digest] = set()
        self.known: dict[Digest, int] = {}  # sizes
        self.table: dict[str, Any] = {GENERATION: 7}
        self.shown: int | None = 7  # the generation of index.json
        self.doomed_blobs: list[Digest] = []
        self.edited: tuple[list[Any], list[Any]] | None = ([], [])
        self.fits = True  # whether index.json can be changed in place
        self.left = 0  # doomed blobs that there is no time for
        self.problems: list[str] = []
        self.has_reserve = True
        self.is_mine = True
        self.asked_to_change = False
        self.timeout = 5.0

    def __getattr__(self, name: str) -> Any:
        if name in ("blobs", "published", "reserve"):
            return self
        raise AttributeError(name)

    def _do(self, what: str) -> None:
        self.happened.append(what)
        error = self.fails.pop(what.partition(" ")[0], None)
        if error is not None:
            raise error

    # The backend

    def hard_leases(self, *, to_change: bool = False) -> list[HardLease]:
        self.asked_to_change = to_change
        if "hard_leases" in self.fails:
            raise self.fails.pop("hard_leases")
        return list(self.leases)

    def edits(self, now: int, hard: Mapping[Digest, Sequence[str]]) -> Recorded:
        self.hard = hard
        return self

    def rehearse(
        self, now: int, hard: Mapping[Digest, Sequence[str]]
    ) -> tuple[Recorded, list[str]]:
        self.hard = hard
        return self, ["a notice"]

    def make_durable(self) -> None:
        self._do("make_durable")

    def clear_leftovers(self) -> None:
        self._do("clear_leftovers")

    @contextmanager
    def door(self, timeout: float, *, shared: bool) -> Iterator[None]:
        assert (timeout, shared) == (self.timeout, False)
        self._do("shut")
        yield
        self.happened.append("open")

    # The index

    def begin(self) -> None:
        self._do("begin")

    def commit(self) -> None:
        self._do("commit")

    def rollback(self) -> None:
        self._do("rollback")

    def meta(self, key: str) -> Any:
        return self.table.get(key)

    def set_meta(self, key: str, value: str | int) -> None:
        self.table[key] = value

    def changes(self) -> tuple[list[Any], list[Any]] | None:
        return self.edited

    def has_doomed(self) -> bool:
        return bool(self.doomed_blobs)

    def doomed(self) -> Iterator[Digest]:
        return iter(self.doomed_blobs)

    def forget_doomed(self, last: Digest) -> None:
        self._do("forget")
        del self.doomed_blobs[: self.doomed_blobs.index(last) + 1]

    def all_published(self) -> list[Any]:
        return []

    def has_image(self, image: Digest) -> bool:
        return image in self.images

    def blob_size(self, blob: Digest) -> int | None:
        return self.known.get(blob)

    def known_among(self, blobs: Sequence[Digest]) -> set[Digest]:
        return set(blobs) & self.known.keys()

    # index.json

    def generation(self) -> int | None:
        return self.shown

    def splice(self, edits: Sequence[Any], added: Sequence[Any], generation: int) -> bool:
        if self.fits:
            self._do(f"splice {generation}")
            self.shown = generation
        return self.fits

    def write(self, rows: Iterable[Any], generation: int) -> None:
        self._do(f"write {generation}")
        self.shown = generation

    def withdraw(self) -> None:
        self._do("withdraw")

    def note(self, generation: int) -> None:
        self._do(f"note {generation}")

    def forget_last(self) -> None:
        self._do("forget_last")

    # Blobs

    def discard(self, blobs: Iterable[Digest]) -> None:
        self._do("discard " + " ".join(blob.short for blob in blobs))

    def discard_some(self, some: Sequence[Digest], seconds: float) -> tuple[int, list[str]]:
        self._do(f"unlink {len(some)}")
        return len(some) - self.left, self.problems

    # The reserve and the lock

    def give_up(self) -> bool:
        self._do("give_up")
        return self.has_reserve

    def restore(self) -> None:
        self._do("restore")

    def release(self) -> None:
        self._do("release")


def change_of(recorded: Recorded) -> Change:
    """A change of it, with the lock held."""
    return Change(cast("Backend", recorded), cast("WritersLock", recorded), 1000)
