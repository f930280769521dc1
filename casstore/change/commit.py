"""The order of effects of every change, and finishing what a crash left half done.

    way in                                     way out
    1 stage and flush, no lock                 1 take the lock, plan
    2 take the lock, rename to digests         2 one durable transaction  == no way back
    3 one durable transaction  == committed    3 publish index.json
    4 publish index.json                       4 unlink the doomed blobs, and forget them

A stop before the transaction leaves the state before, and files that nobody names. A stop after it
leaves the state after, and work that the next change finishes before its own: doomed files are
unlinked, a stale index.json is written, staging of dead processes is removed. A blob is unlinked
only when neither the database nor a durable index.json names it.

The new name of index.json is flushed before anything is unlinked. If there is nothing to unlink, it
is flushed after the lock is released: no later holder of the lock depends on it.

A store can be set to publish on demand. Step 3 and 4 then withdraw index.json, unless it is
withdrawn already: it names nothing, so it names nothing that is gone.
"""

from __future__ import annotations

from casstore.errors import CasstoreError, Conflict, Damaged, StorageError, warn
from casstore.model.keys import GENERATION, ON_DEMAND, PUBLISH, SETTING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from casstore.model.digest import Digest
    from casstore.model.lease import HardLease
    from casstore.model.published import Published
    from casstore.ports.backend import Backend
    from casstore.ports.blobs import Blobs
    from casstore.ports.ingest import Ingest
    from casstore.ports.locks import WritersLock

    Edits = Sequence[tuple[Published, Published | None]]

# Seconds for which a change unlinks doomed blobs, before and after its commit, with the lock held.
# What is left is for the next; who made it comes back for it, in turns (store/session.py).
UNLINKING = 0.25
AT_ONCE = 20_000  # blobs that are looked up at a time to be unlinked: 0.25 s of a quick disk


class LeasedMeanwhile(Conflict):
    """An image that a change takes away is leased since it began; nothing is changed."""


class Change:
    """One change of a store: the lock and one transaction, as a context manager.

    Leaving without `commit` takes everything back. What the change could not finish after its
    commit (an unlink, say) is in `warnings`, and logged at the end: it is durable all the same, and
    gc takes the rest.
    """

    def __init__(
        self, backend: Backend, lock: WritersLock, now: int, late: list[str] | None = None
    ) -> None:
        """Begin a change.

        Args:
            backend: of the store.
            lock: held; leaving the context releases it.
            now: in nanoseconds.
            late: collects problems from after the lock is released, which `warnings` lacks.
        """
        self._backend = backend
        # Made, and so imported, now: with no descriptor left an import fails, and after the commit
        # nothing must.
        self._published = backend.published
        self._reserve = backend.reserve
        self._lock = lock
        self._leases: list[HardLease] = []
        self.now = now
        self._committed = False
        self._ingest: Ingest | None = None  # whose blobs have their names already
        self._on_demand = False
        self._unflushed = False  # index.json has its name, which a power cut may still take
        self._late = late if late is not None else []
        self.warnings: list[str] = []
        self.is_unfinished = False  # after the commit: there are doomed blobs still

    def __enter__(self) -> Self:
        hard: dict[Digest, list[str]] = {}
        try:
            leases = self._leases = self._backend.hard_leases(to_change=True)
        except BaseException:
            self._lock.release()
            raise
        for lease in leases:
            for image in lease.images:
                hard.setdefault(image, []).append(lease.name)
        self.index = self._backend.edits(self.now, hard)
        try:
            self.index.begin()
            self._recover()
        except BaseException:
            self._abandon()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._abandon()
        warn(self.warnings)

    def _abandon(self) -> None:
        if not self._lock.is_mine:  # in a forked child: the change is the parent's
            return
        try:
            if not self._committed:
                self.index.rollback()
                self._take_back()
        except CasstoreError:
            pass  # the transaction dies with the connection
        finally:
            self._reserve.restore()
            self._lock.release()
        try:
            self._flush()
        except StorageError as error:
            self._late.append(f"{error}; the next change will")
            warn(self._late[-1:])

    def _flush(self) -> None:
        """Make durable that index.json is published."""
        unflushed, self._unflushed = self._unflushed, False
        if unflushed:
            self._published.flush()

    def _take_back(self) -> None:
        """Remove the blobs that got their names for nothing: a full disk needs the space."""
        if self._ingest is not None:
            named = self._ingest.named
            self._backend.blobs.discard(d for d in named if self.index.blob_size(d) is None)

    def _recover(self) -> None:
        """Finish what a crash interrupted, as part of this change."""
        generation = self.index.meta(GENERATION)
        if not isinstance(generation, int):
            raise Damaged("the index says no generation; run: casstore fsck --rebuild")
        self._on_demand = self.index.meta(SETTING + PUBLISH) == ON_DEMAND
        stale = self._published.generation() != generation
        if stale and self._on_demand:
            stale = not self._published.is_withdrawn()
        doomed = self.index.has_doomed()
        if stale or doomed:
            # Who committed it may have died before it was on the disk: nothing follows from a
            # commit that a power cut can still take back.
            self._backend.make_durable()
        if stale:
            # First of all: until it is published anew, index.json may name doomed blobs.
            self._publish((), (), generation)
        if doomed:
            self._flush()
            gone, _ = self._unlink_some(self._backend.blobs)
            self.index.forget_doomed(gone[-1])
        self._backend.clear_leftovers()

    def publish_blobs(self, ingest: Ingest) -> None:
        """Give the blobs of an ingest their names, before the transaction that refers to them."""
        self._ingest = ingest
        ingest.publish(self.index.known_among)

    def _publish(self, edits: Edits, added: Sequence[Published], generation: int) -> None:
        """Bring index.json from the generation before to this one."""
        published, reserve = self._published, self._reserve
        self._unflushed = not self._on_demand
        try:
            if self._on_demand:
                published.withdraw()
            elif not (edits or added) or not published.splice(edits, added, generation):
                published.write(self.index.all_published(), generation)
        except StorageError as error:
            if not error.full or not reserve.give_up():
                raise
            if self._on_demand:
                published.withdraw()
            else:
                published.write(self.index.all_published(), generation)

    def publish(self, *, anew: bool = False) -> None:
        """Publish index.json whole as it stands, in a store that does so on demand, too.

        Of a change that makes nothing that index.json shows: it may come before the commit.
        `anew` replaces one that says it is of this generation, and is not what was published.
        """
        generation = self.index.meta(GENERATION)
        if anew or self._published.generation() != generation:
            self._published.write(self.index.all_published(), generation)
            self._published.flush()
        if self.index.meta(SETTING + PUBLISH) != ON_DEMAND:
            self._published.forget_last()

    def commit(self) -> None:
        """Make the change durable, publish it, and discard what it doomed."""
        changes = self.index.changes()
        edits, added = changes or ((), ())
        visible = changes is None or bool(edits or added)
        generation = self.index.meta(GENERATION)
        if visible:
            generation += 1
            self.index.set_meta(GENERATION, generation)
        # Few changes doom a blob; of one that does this is imported now, as above.
        blobs = self._backend.blobs if self.index.has_doomed() else None
        if blobs is not None or changes is None or edits:
            with self._backend.door(self._lock.timeout, shared=False):
                self._look_at_leases()
                self.index.commit()
        else:
            self.index.commit()
        self._committed = True
        alone = self.index.unwritten_events()
        if alone:
            self._backend.events.note(alone)
        # Where it cannot be published, the old index.json still names the doomed blobs: they stay
        # until the next change has published a new one.
        doing = "publish index.json"
        try:
            if visible:
                self._publish(edits, added, generation)
                if self._on_demand:
                    self._published.note(generation)
            gone: Sequence[Digest] = ()
            if blobs is not None:
                self._flush()
                doing = "remove the blobs that nothing needs any more"
                gone, self.is_unfinished = self._unlink_some(blobs)
        except StorageError as error:
            self._leave_to_next(error)
        except CasstoreError as error:
            self._leave_to_next(StorageError(f"cannot {doing}: {error}"))
        else:
            if gone and (self.is_unfinished or not self.warnings):
                self._forget_doomed(gone[-1])

    def _look_at_leases(self) -> None:
        """Raises LeasedMeanwhile if there are new ones on images that go: they take no lock."""
        for lease in self._backend.hard_leases(to_change=True):
            if lease in self._leases:
                continue
            for image in lease.images:
                if not self.index.has_image(image):
                    raise LeasedMeanwhile(
                        f"image {image.short} is held by hard lease {lease.name}", forceable=False
                    )

    def _unlink_some(self, blobs: Blobs) -> tuple[Sequence[Digest], bool]:
        """Unlink doomed blobs, for a while: those it has come to, and whether there may be more."""
        from itertools import islice  # built in: after a commit no file may have to be opened

        some = list(islice(self.index.doomed(), AT_ONCE))
        count, problems = blobs.discard_some(some, UNLINKING)
        if self._committed:
            self.warnings += problems
        return some[:count], count < len(some) or count == AT_ONCE

    def _leave_to_next(self, error: StorageError) -> None:
        """The change is durable: what fails after that is a warning."""
        self.warnings.append(f"{error}; the next change will")

    def _forget_doomed(self, last: Digest) -> None:
        """Do what else the next change does, which would flush first what is flushed already.

        It need not last: what is forgotten in vain is looked for again.
        """
        try:
            self.index.forget_unlinked(last)
        except CasstoreError:
            self.index.rollback()
