"""The tag index as removals see and change it: cheap for one, and for a hundred thousand in a row.

A removal is planned on what the last one left, so its names, images and edges go at once: then the
counts are right. The rows of blobs that nothing needs any more go together, in the order of
their digests: one by one and at random they would cost more than all the rest. Until then they are
in nobody's way, for nothing leads to them; a look-up that could still meet them lets them go first.
"""

from __future__ import annotations

from casstore.backends.local.schema import BUSY_SECONDS
from casstore.backends.local.statements import WRITTEN, stored_digest
from casstore.backends.local.view import LocalView
from casstore.errors import Damaged
from casstore.model.keys import DELETE, UNTAG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from casstore.backends.local.schema import Connection
    from casstore.backends.local.trash import TrashedRemovals, TrashTables
    from casstore.model.digest import Digest
    from casstore.model.reference import Reference
    from casstore.model.removal import RemovalPlan
    from casstore.model.state import LeaseOn, Naming

    Recorded = tuple[str, Digest | None, Reference | None, dict[str, str]]

LEAVING = {
    "size_and_count": "SELECT size, refcount FROM blob WHERE digest = ?",
    "id_of_image": "SELECT id FROM image WHERE digest = ?",
    "reference_of": "SELECT reference.id, image.digest, blob.digest FROM reference"
    " JOIN image ON image.id = reference.image JOIN blob ON blob.id = reference.manifest"
    " WHERE name = ?",
    "drop_reference": "DELETE FROM reference WHERE name = ?",
    "drop_written": "DELETE FROM meta WHERE key = ?",
    "drop_holding": "DELETE FROM holding WHERE image = (SELECT id FROM image WHERE digest = ?)"
    " AND manifest = (SELECT id FROM blob WHERE digest = ?)",
    "drop_holdings": "DELETE FROM holding WHERE image = ?",
    "drop_image": "DELETE FROM image WHERE id = ?",
    "any_doomed": "SELECT 1 FROM doomed LIMIT 1",
    "forget_doomed": "DELETE FROM doomed WHERE digest <= ?",
    "any_expired_trash": "SELECT 1 FROM trash WHERE expires <= ? LIMIT 1",
    "drop_edges_of": "DELETE FROM edge WHERE parent = (SELECT id FROM blob WHERE digest = ?)",
    "drop_layer_of": "DELETE FROM layer WHERE blob = (SELECT id FROM blob WHERE digest = ?)",
    "drop_subjects_of": "DELETE FROM subject"
    " WHERE manifest = (SELECT id FROM blob WHERE digest = ?)",
    "drop_free_blob": "DELETE FROM blob WHERE digest = ? AND refcount = 0",
    "doom": "INSERT OR IGNORE INTO doomed (digest) VALUES (?)",
    "drop_leases": "DELETE FROM lease WHERE image = ?",
    "drop_pin": "DELETE FROM pin WHERE image = ?",
    "orphan_children": "UPDATE image SET parent = NULL WHERE parent = ?",
}
# Each a look at the beginning of a table, or of an index of what the table seldom has.
ANY = {
    "lease": "SELECT 1 FROM lease LIMIT 1",
    "pin": "SELECT 1 FROM pin LIMIT 1",
    "subject": "SELECT 1 FROM subject LIMIT 1",
    "parent": "SELECT 1 FROM image WHERE parent IS NOT NULL LIMIT 1",
}

# What cannot meet a blob that nothing needs, nor a lease of an image that is gone.
_UNAFFECTED = frozenset(
    (
        "image_named", "has_image", "images_with_prefix", "references_of", "parent_of",
        "children_of", "referrers_of", "leases_on", "is_pinned", "manifests_of", "needs_of", "meta",
    )
)  # fmt: skip
_OF_IMAGES = (("drop_leases", "lease"), ("drop_pin", "pin"), ("orphan_children", "parent"))
_AT_ONCE = 50_000  # rows that wait: 10 MB
# So many expired entries of the trash does a change empty that was asked for something else.
EXPIRED_AT_ONCE = 16
EVENTS_KEPT = 5000  # of one change; no more are kept of all (model/event.py)
_FEW_NAMES = 16  # of an image: they are sooner asked for again than kept in mind
_NAMES_KEPT = 100_000  # that are kept in mind: 50 MB
# KiB of pages that a change of many rows keeps in memory. With SQLite's own 2 MB each edit of an
# index of a million random keys writes a page to the log and reads the next.
_PAGES = 96 << 10
_FEW_PAGES = 2000  # KiB, SQLite's own choice


class RemovalIndex(LocalView):
    """The view, and what is going from it."""

    _edits: Mapping[str, str] = LEAVING

    def __init__(
        self, connection: Connection, *, now: int, hard: Mapping[Digest, Sequence[str]]
    ) -> None:
        super().__init__(connection, now=now, hard=hard)
        self._waits = False  # rows wait for others
        self._blobs: list[tuple[bytes]] = []
        self._images: list[tuple[int]] = []
        self._empty: frozenset[str] = frozenset()
        self._admitted: dict[Digest, int] = {}  # ids of layers this change brought; see _leave
        # Manifests, each with its image, that lost a name in this change to another image or
        # manifest: what becomes of them is decided when it has given all names that it gives.
        self._lost_name: dict[tuple[Digest, Digest], None] = {}
        self._events: list[Recorded] = []
        self._naming: dict[Digest, Naming] = {}  # of images with many names
        self._names_kept = 0

    def _do(self, edit: str, *values: Any) -> Any:
        return self.connection.execute(self._edits[edit], values)

    def _id(self, edit: str, digest: Digest) -> int | None:
        row = self._do(edit, digest.raw).fetchone()
        return row[0] if row else None

    def record(
        self, action: str, image: Digest | None = None, name: Reference | None = None, **more: str
    ) -> None:
        """Note what the change does; it is written with the commit (edits.py)."""
        self._events.append((action, image, name, more))
        if len(self._events) > 2 * EVENTS_KEPT:
            del self._events[:-EVENTS_KEPT]

    def _touch(self, image: Digest) -> None:
        """Hear that an image is about to be changed."""

    # What goes

    def apply(self, plan: RemovalPlan) -> None:
        """Carry out a removal plan."""
        for name in plan.untag:
            row = self._do("reference_of", name).fetchone()
            if row is not None:
                image = stored_digest(row[1])
                self._touch(image)
                if image in self._naming:
                    self._naming[image].drop(name)
                self.record(UNTAG, image, name)
            self._do("drop_reference", name)
            self._do("drop_written", WRITTEN + name)
        for image, manifest in plan.detach:
            self._touch(image)
            self._do("drop_holding", image.raw, manifest.raw)
        gone = []
        for image in plan.delete:
            self._touch(image)
            own = self._id("id_of_image", image)
            if own is not None:
                self._do("drop_holdings", own)
                self._do("drop_image", own)
                gone.append(own)
                self.record(DELETE, image)
        self._leave(gone, plan.free)

    def settle(self) -> None:
        """Let go of the manifests whose names have moved, where nothing names them in the end.

        Comes after all that the change gives: a manifest that loses its name to one image may get
        another by the next name, in whatever order they come.
        """
        while self._lost_name:
            from casstore.rules.removal import plan_unnamed

            lost, self._lost_name = self._lost_name, {}
            for image, manifest in lost:
                self.apply(plan_unnamed(self, image, manifest))

    def keep_unnamed(self, image: Digest, manifest: Digest) -> None:
        """A manifest came without a name: one that it had and loses is no reason for it to go."""
        self._lost_name.pop((image, manifest), None)

    def free_unneeded(self, blobs: Iterable[Digest]) -> int:
        """Let go of those blobs that nothing holds, and of all below them that nothing else does.

        Returns:
            Bytes as stored.
        """
        todo, freed = list(blobs), 0
        while todo:
            blob = todo.pop()
            row = self._do("size_and_count", blob.raw).fetchone()
            if row is not None and row[1] == 0:
                needs = [state.digest for state in self.needs_of(blob)]
                self._leave((), (blob,))
                freed += row[0]
                todo += dict.fromkeys(needs)
        return freed

    def drop_expired_trash(self, now: int, *, most: int = EXPIRED_AT_ONCE) -> int:
        """Empty entries of the trash whose time is over, oldest first; returns how many."""
        if self._do("any_expired_trash", now).fetchone() is None:
            return 0
        return self.trash.drop_expired(now, most=most)

    @property
    def trash(self) -> TrashTables:
        """The trash, to be changed."""
        from casstore.backends.local.trash import TrashTables

        return TrashTables(self, self)

    def bin(self, *, removed: int, expires: int) -> TrashedRemovals:
        """What keeps removals in the trash; times in ns."""
        from casstore.backends.local.trash import TrashedRemovals

        return TrashedRemovals(self, removed=removed, expires=expires)

    def compact(self) -> None:
        """Bring the write-ahead log back into the database, for the log only ever grows otherwise.

        Not while somebody reads what is in the log: to wait for a long fsck would keep the lock.
        """
        self.connection.execute("PRAGMA busy_timeout = 0")
        try:
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            self.connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")

    def has_doomed(self) -> bool:
        """Whether there are blobs that left the index and whose files may still be there."""
        self._let_go()
        return self._do("any_doomed").fetchone() is not None

    def forget_doomed(self, last: Digest) -> None:
        """The files of the doomed blobs up to this one, by digest, are gone."""
        self._do("forget_doomed", last.raw)

    # How it goes

    def expect_many(self) -> None:
        """Many removals follow, and until the commit nothing but removals."""
        self._waits = True
        self.connection.execute(f"PRAGMA cache_size = -{_PAGES}")
        self._empty = frozenset(
            table for table, any_ in ANY.items() if self.connection.execute(any_).fetchone() is None
        )

    def _end_of_many(self) -> None:
        """Give the memory back."""
        if self._waits:
            self._waits, self._empty = False, frozenset()
            self.connection.execute(f"PRAGMA cache_size = -{_FEW_PAGES}")
            self.connection.execute("PRAGMA shrink_memory")

    def _many(self, statement: str, rows: Sequence[tuple[object]]) -> int:
        count: int = self.connection.executemany(LEAVING[statement], rows).rowcount
        return count

    def _leave(self, images: Sequence[int], blobs: Iterable[Digest]) -> None:
        """Let go of what belonged to images whose rows are gone, and of blobs that nothing needs.

        Args:
            images: ids of the rows.
            blobs: a document before what it needs.
        """
        rows = [(blob.raw,) for blob in blobs]
        self._admitted.clear()
        self._many("drop_edges_of", rows)
        self._blobs += rows
        self._images += ((image,) for image in images)
        waiting = len(self._blobs) + len(self._images)
        if waiting > _AT_ONCE or not self._waits or "subject" not in self._empty:
            self._let_go()

    def _let_go(self) -> None:
        """Delete the rows that wait."""
        if self._images:
            rows, self._images = self._images, []
            for edit, table in _OF_IMAGES:
                if table not in self._empty:
                    self._many(edit, rows)
        if self._blobs:
            digests, self._blobs = sorted(self._blobs), []
            self._many("drop_layer_of", digests)
            if "subject" not in self._empty:
                self._many("drop_subjects_of", digests)
            if self._many("drop_free_blob", digests) != len(digests):
                self._refuse(digests)
            self._many("doom", digests)

    def _refuse(self, digests: Sequence[tuple[bytes]]) -> None:
        """Raises Damaged for a blob that cannot be deleted."""
        needed = [row for row in digests if self._one("blob_size", *row) is not None]
        blob = stored_digest((needed or digests)[0][0])
        raise Damaged(f"blob {blob} is still needed; run: casstore fsck")

    # The view, with no question whose answer is known, and none too early

    def _rows(self, name: str, *values: Any) -> list[Any]:
        if name not in _UNAFFECTED:
            self._let_go()
        return super()._rows(name, *values)

    def _one(self, name: str, *values: Any) -> Any:
        if name not in _UNAFFECTED:
            self._let_go()
        return super()._one(name, *values)

    def _all_of(self, statement: str, *values: Any) -> list[Any]:
        self._let_go()
        return super()._all_of(statement, *values)

    def _one_of(self, statement: str, *values: Any) -> Any:
        self._let_go()
        return super()._one_of(statement, *values)

    def naming_of(self, image: Digest) -> Naming:
        naming = self._naming.get(image)
        if naming is None:
            naming = super().naming_of(image)
            if len(naming) > _FEW_NAMES:
                if self._names_kept > _NAMES_KEPT:
                    self._naming, self._names_kept = {}, 0
                self._naming[image] = naming
                self._names_kept += len(naming)
        return naming

    def leases_on(self, image: Digest) -> Sequence[LeaseOn]:
        return super().leases_on(image) if "lease" not in self._empty or self._hard else ()

    def is_pinned(self, image: Digest) -> bool:
        return "pin" not in self._empty and super().is_pinned(image)

    def parent_of(self, image: Digest) -> Digest | None:
        return super().parent_of(image) if "parent" not in self._empty else None

    def children_of(self, image: Digest) -> Iterator[Digest]:
        return super().children_of(image) if "parent" not in self._empty else iter(())

    def referrers_of(self, manifest: Digest) -> Sequence[Digest]:
        return super().referrers_of(manifest) if "subject" not in self._empty else ()
