"""A whole store in memory."""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from casstore.backends.memory.blobs import MemoryBlobs, MemoryContents, MemoryIngest
from casstore.backends.memory.checks import MemoryChecks
from casstore.backends.memory.edits import MemoryEdits
from casstore.backends.memory.tables import Tables
from casstore.backends.memory.uploads import MemoryUploads
from casstore.backends.memory.view import MemoryView
from casstore.clock import AHEAD
from casstore.errors import Locked, NotAStore, UsageError
from casstore.model.keys import GENERATION
from casstore.model.lease import HardLease
from casstore.model.storage import Disk

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from typing import Self

    from casstore.model.digest import Digest
    from casstore.model.event import Event
    from casstore.model.published import Published
    from casstore.ports.edits import Edits
    from casstore.ports.events import Place
    from casstore.ports.template import Template
    from casstore.ports.view import View

_SIZE = 1 << 40  # bytes that a memory claims to have: no policy of gc is about it


class MemoryBackend:
    """One store; whoever has the object has the store."""

    where = "memory"

    def __init__(
        self,
        blobs: MemoryBlobs | None = None,
        uses: MemoryUses | None = None,
        tables: Tables | None = None,
    ) -> None:
        """A store with this content; without `tables` there is none yet."""
        self.blobs = blobs or MemoryBlobs()
        self.uses = uses or MemoryUses()
        self.published = NothingPublished(lambda: self._tables)
        self.events = MemoryEvents(lambda: self._tables)
        self.reserve = NoReserve()
        self._tables = tables or Tables(meta={GENERATION: 0})
        self._exists = tables is not None
        self._lock = threading.Lock()
        self._holds: list[MemoryHold] = []
        self._uploads = MemoryUploads()

    def twin(self) -> MemoryBackend:
        """Another store with the same content, at no cost: no bytes are copied, nor hard leases."""
        tables = self._tables if self._exists else None  # which a change copies before it edits
        return MemoryBackend(self.blobs.copy(), self.uses.copy(), tables)

    @property
    def contents(self) -> MemoryContents:
        return self.blobs.contents

    def exists(self) -> bool:
        return self._exists

    def require(self) -> None:
        if not self._exists:
            raise NotAStore("nothing was put into this store in memory yet")

    def create(self) -> None:
        self._exists = True

    def is_writable(self) -> bool:
        return True

    def let_go(self, *, at_once: bool = False) -> None:
        """Nothing: there is no copy of it."""

    def close(self) -> None:
        """Nothing: the store lasts as long as the object."""

    def leave(self) -> None:
        """Nothing: the store ends with its process."""

    def lock(self, timeout: float, command: str) -> MemoryLock:
        return MemoryLock(self._lock, timeout)

    def view(self, now: int) -> MemoryView:
        self.require()
        return MemoryView(lambda: self._tables, now=now, hard={})

    def listed_ids(self, *, digits: int, everything: bool) -> Iterator[list[str]] | None:
        self.require()
        return None  # all images are in memory: the whole list is as quick

    def prepare(self, *, create: bool) -> list[str]:
        return []

    def edits(self, now: int, hard: Mapping[Digest, Sequence[str]]) -> MemoryEdits:
        return MemoryEdits(lambda: self._tables, self._put, now=now, hard=hard)

    def _put(self, tables: Tables) -> None:
        self._tables = tables

    def make_durable(self) -> None:
        """Nothing: a commit is all that there is."""

    def clear_leftovers(self) -> None:
        """What was staged is gone with who staged it; uploads have their day."""
        self._uploads.drop_old()

    def cautions(self) -> list[str]:
        return []

    def another(self) -> Self:
        return self

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a store in memory cannot be pickled: another process has another memory")

    def prepare_ingest(self) -> None:
        """Nothing has to be there."""

    def lacking_bytes(self) -> int:
        return 0

    def remove_leftovers(self) -> tuple[int, int]:
        return self._uploads.drop_old()

    def trust_policy(self) -> str | None:
        return None

    def template(self, index: Edits) -> Template:
        raise UsageError("a store in memory cannot be cloned: save its images")

    @property
    def checks(self) -> MemoryChecks:
        return MemoryChecks(lambda: self.view(0), self.blobs)

    def begin_ingest(
        self,
        view: Callable[[], View],
        make_room: Callable[[], bool] = lambda: False,
        max_layer_size: int | None = None,
        digests_only: Callable[[], bool] | None = None,
        *,
        with_uploads: bool = False,
    ) -> MemoryIngest:
        uploads = self._uploads if with_uploads else None
        return MemoryIngest(self.blobs, view, max_layer_size, digests_only, uploads)

    def uploads(self, make_room: Callable[[], bool] = lambda: False) -> MemoryUploads:
        return self._uploads

    def door(self, timeout: float, *, shared: bool) -> AbstractContextManager[None]:
        return nullcontext()  # one process: a lease is seen at once

    def rehearse(
        self, now: int, hard: Mapping[Digest, Sequence[str]]
    ) -> tuple[MemoryEdits, list[str]]:
        self.require()
        still = self._tables
        return MemoryEdits(lambda: still, lambda _: None, now=now, hard=hard), []

    def refresh(self) -> None:
        """Each look is of the store itself."""

    def unfinished(self) -> NothingUnfinished:
        return NothingUnfinished()

    def old_copies(self, now: int) -> list[tuple[str, int]]:
        return []

    def remove_copies(self, copies: list[tuple[str, int]]) -> list[tuple[str, int]]:
        return []

    def hold(self, name: str, holder: str, images: Iterable[Digest]) -> MemoryHold:
        hold = MemoryHold(HardLease(name, holder, tuple(images)), self._holds)
        self._holds.append(hold)
        return hold

    def hard_leases(self, *, to_change: bool = False) -> list[HardLease]:
        return [hold.lease for hold in self._holds]

    def space(self) -> Disk:
        return Disk(_SIZE, _SIZE)

    def arriving_bytes(self) -> int:
        return self._uploads.byte_count()


class MemoryLock:
    """The writers' lock."""

    def __init__(self, lock: threading.Lock, timeout: float) -> None:
        self._lock, self.timeout = lock, timeout
        self._taken = False
        self._process = 0  # which took it

    def acquire(self) -> None:
        if not self._lock.acquire(timeout=max(self.timeout, 0)):
            raise Locked(f"the store is in use: still locked after {self.timeout:g} seconds")
        self._taken = True
        self._process = os.getpid()

    @property
    def is_mine(self) -> bool:
        return self._process == os.getpid()

    def release(self) -> None:
        if self._taken:
            self._taken = False
            self._lock.release()


class MemoryHold:
    """A hard lease."""

    descriptor = None

    def __init__(self, lease: HardLease, holds: list[MemoryHold]) -> None:
        self.lease = lease
        self._holds = holds

    def release(self) -> None:
        if self in self._holds:
            self._holds.remove(self)


class MemoryUses:
    """Last uses, of which the latest counts."""

    def __init__(self, noted: Iterable[tuple[Digest, int]] = ()) -> None:
        self._noted = list(noted)

    def copy(self) -> MemoryUses:
        return MemoryUses(self._noted)

    def note(self, images: Iterable[Digest], now: int) -> None:
        self._noted += ((image, now) for image in images)

    def mark(self) -> tuple[int, int]:
        return 0, len(self._noted)

    def read(self, now: int, since: tuple[int, int] = (0, 0)) -> dict[Digest, int]:
        found: dict[Digest, int] = {}
        for image, used in self._noted[since[1] :]:
            if used <= now + AHEAD:
                found[image] = max(used, found.get(image, 0))
        return found

    def compact(self, images: Collection[Digest], now: int) -> None:
        found = self.read(now)
        self._noted = [(image, used) for image, used in found.items() if image in images]


class MemoryEvents:
    """Events of changes, which are in the tables, and those noted by the way.

    A place: number of the last one in the tables, and how many were noted.
    """

    def __init__(self, tables: Callable[[], Tables]) -> None:
        self._tables = tables
        self._noted: list[Event] = []

    def note(self, events: Sequence[Event]) -> None:
        self._noted += events

    def read(self, after: Place = (0, 0)) -> tuple[list[Event], Place]:
        last, count = after
        written = [(number, event) for number, event in self._tables().events if number > last]
        noted = self._noted[count:]
        place = (written[-1][0] if written else last, count + len(noted))
        found = [event for _, event in written] + noted
        return sorted(found, key=lambda event: event.happened), place


class NothingPublished:
    """There is no index.json, and so none that is stale."""

    def __init__(self, tables: Callable[[], Tables]) -> None:
        self._tables = tables

    def generation(self) -> int | None:
        generation = self._tables().meta.get(GENERATION)
        return generation if isinstance(generation, int) else None

    def is_foreign(self) -> bool:
        return False

    def is_withdrawn(self) -> bool:
        return False

    def withdraw(self) -> None:
        """Nothing is published."""

    def note(self, generation: int) -> None:
        """There is no copy that could be put back."""

    def forget_last(self) -> None:
        """Nothing was withdrawn."""

    def flush(self) -> None:
        """There is nothing that lasts."""

    def write(self, rows: Iterable[Published], generation: int) -> None:
        """Nobody else looks."""

    def splice(
        self,
        edits: Sequence[tuple[Published, Published | None]],
        added: Sequence[Published],
        generation: int,
    ) -> bool:
        return True


class NoReserve:
    """A store in memory needs no space on a disk."""

    def is_wanted(self) -> bool:
        return False

    def give_up(self) -> bool:
        return False

    def restore(self) -> None:
        """There is nothing to restore."""


class NothingUnfinished:
    """A change in memory is made or not."""

    def would_go(self) -> tuple[int, int, int]:
        return 0, 0, 0

    def gone(self) -> tuple[int, int, int]:
        return 0, 0, 0
