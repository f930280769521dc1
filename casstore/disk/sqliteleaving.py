"""The tag index as removals see and change it: cheap for one, and for a hundred thousand in a row.

A removal is planned on what the last one left, so its names, images and edges go at once: then the
counts are right. The rows of blobs that nothing needs any more go together, in the order of
their digests: one by one and at random they would cost more than all the rest. Until then they are
in nobody's way, for nothing leads to them; a look-up that could still meet them lets them go first.
"""

from __future__ import annotations

from casstore.disk.sqliteview import SqliteView
from casstore.errors import Damaged
from casstore.model.digest import Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from casstore.rules.view import LeaseOn

LEAVING = {
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
# KiB of pages that a change of many rows keeps in memory. With SQLite's own 2 MB each edit of an
# index of a million random keys writes a page to the log and reads the next.
_PAGES = 96 << 10
_FEW_PAGES = 2000  # KiB, SQLite's own choice


class RemovalIndex(SqliteView):
    """The view, and what is going from it."""

    def __init__(
        self, connection: sqlite3.Connection, *, now: int, hard: Mapping[Digest, Sequence[str]]
    ) -> None:
        super().__init__(connection, now=now, hard=hard)
        self.freed = 0  # blobs that this change has let go of
        self._waits = False  # rows wait for others
        self._blobs: list[tuple[bytes]] = []
        self._images: list[tuple[int]] = []
        self._empty: frozenset[str] = frozenset()

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
        self.freed += len(rows)
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
        blob = Digest.of_bytes((needed or digests)[0][0])
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
