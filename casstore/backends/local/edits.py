"""The tag index as a change sees it: every edit of casstore.db, inside one transaction.

Edits cost what they touch. Refcounts are kept by triggers (migrations.py); deleting a blob whose
count is not zero is refused here, whatever a plan says.
"""

from __future__ import annotations

from casstore.backends.local.log import Log
from casstore.backends.local.removals import LEAVING, RemovalIndex
from casstore.backends.local.schema import forget_commit
from casstore.backends.local.tables import (
    KINDS,
    LISTINGS,
    PUBLISHED_NAMELESS,
    PUBLISHED_NAMES,
    WRITTEN,
    Rows,
    damaged,
    encode_labels,
    stored_digest,
)
from casstore.errors import CasstoreError, NotFound, UsageError
from casstore.model.descriptor import LAYER, Descriptor
from casstore.model.published import Published
from casstore.model.reference import Reference, subject_of
from casstore.model.state import LayerRecord, StoredImage
from casstore.startup.parts import cached_property

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from casstore.model.digest import Digest
    from casstore.model.record import ImageRecord


NEW_LAYER = Rows("layer", LayerRecord, "blob", "compression", "diff_id")
NEW_IMAGE = Rows("image", StoredImage, "digest", "parent", "labels")

EDITS = {
    **LEAVING,
    "ages": "SELECT (SELECT min(id) FROM reference), (SELECT max(id) FROM reference)",
    "published_names": PUBLISHED_NAMES.format("WHERE image.digest = ?"),
    "published_nameless": PUBLISHED_NAMELESS.format("image.digest = ? AND"),
    "id_of_blob": "SELECT id FROM blob WHERE digest = ?",
    "add_blob": "INSERT INTO blob (digest, size, kind) VALUES (?, ?, ?)",
    "add_edge": "INSERT INTO edge (parent, position, child) VALUES (?, ?, ?)",
    # What is known already stays, unless it is a promise and this is more.
    "add_layer": f"{NEW_LAYER.statement} ON CONFLICT (blob) DO UPDATE SET diff_id ="
    " excluded.diff_id, diff_size = excluded.diff_size, file_bytes = excluded.file_bytes,"
    " state = excluded.state WHERE state != 1 AND excluded.state = 1",
    "record_layer": "UPDATE layer SET diff_id = ?, diff_size = ?, file_bytes = ?, state = ?"
    " WHERE blob = (SELECT id FROM blob WHERE digest = ?) AND state != 1",
    "resize_image": "UPDATE image SET size = ? WHERE digest = ?",
    "resize_trashed": "UPDATE trash_image SET size = ? WHERE digest = ?",
    "add_image": NEW_IMAGE.statement,
    "grow_image": "UPDATE image SET size = max(size, ?) WHERE id = ?",
    "add_holding": "INSERT OR IGNORE INTO holding (image, manifest, media_type) VALUES (?, ?, ?)",
    "is_held": "SELECT 1 FROM holding WHERE image = (SELECT id FROM image WHERE digest = ?)"
    " AND manifest = (SELECT id FROM blob WHERE digest = ?)",
    "add_reference": "INSERT INTO reference (name, image, manifest, tagged) VALUES (?, ?, ?, ?)",
    "set_manifest": "UPDATE reference SET manifest = ? WHERE id = ?",
    "add_pin": "INSERT OR IGNORE INTO pin (image) VALUES (?)",
    "drop_edges": "DELETE FROM edge WHERE parent = ?",
    "pardon": "DELETE FROM doomed WHERE digest = ?",
    "set_parent": "UPDATE image SET parent = (SELECT id FROM image WHERE digest = ?)"
    " WHERE digest = ?",
    "add_subject": "INSERT OR IGNORE INTO subject (manifest, digest) VALUES (?, ?)",
    "set_meta": "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)",
    "drop_meta": "DELETE FROM meta WHERE key = ?",
    "set_lease": "INSERT OR REPLACE INTO lease (name, image, expires)"
    " SELECT ?, id, ? FROM image WHERE digest = ?",
    "drop_lease": "DELETE FROM lease WHERE name = ?",
    "drop_expired": "DELETE FROM lease WHERE expires <= ?",
}

# Bytes of SQLite's log from which on a change brings it back into the database. The first process
# that opens the database reads the log whole: this much costs it a millisecond.
LOG_LIMIT = 1 << 20

# Images whose records a change can tell from those before: with more, and 10 MB of them, it is
# cheaper to write index.json whole.
MOST_TOLD = 10_000


class LocalEdits(RemovalIndex):
    """The view, and the edits of one transaction."""

    _touched: dict[Digest, list[Published]]
    _ages: tuple[int, int] | None  # reference.id of the oldest and the newest name
    _too_many: bool  # more images are touched than are told
    _edits = EDITS

    @cached_property
    def _log(self) -> Log:
        return Log(self.connection)

    def begin(self) -> None:
        """Start the write transaction, or go on with the one begun; the store lock is held."""
        if not self.connection.in_transaction:
            if self._log.is_lasting():
                self._log.leave_unflushed()
            self.connection.execute("BEGIN IMMEDIATE")
        self._touched, self._ages, self._too_many = {}, None, False
        self._admitted.clear()

    def commit(self) -> None:
        """Make the transaction durable: the point of no return."""
        self.settle()
        self._let_go()
        self._log.open()
        try:
            self._commit()
        finally:
            self._log.close()
        self._end_of_many()
        self._shorten_log()

    def _commit(self) -> None:
        try:
            self.connection.execute("COMMIT")
        except CasstoreError:
            self.rollback()
            forget_commit(self.connection)
            raise
        self._log.flush()

    def _shorten_log(self) -> None:
        """Bring back a log that has grown long; the commit stands, whatever becomes of this.

        To have it emptied is what counts: how much of a log has been brought back is known to those
        who have the database open, and to nobody after the last of them.
        """
        try:
            if self._log.size() >= LOG_LIMIT:
                self.compact()
        except CasstoreError:
            pass  # the next change tries again

    def rollback(self) -> None:
        """Take everything since `begin` back."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
            self._log.flush_again()

    def forget_unlinked(self, last: Digest) -> None:
        """Take blobs off the list of the doomed, in a transaction that is not flushed."""
        self._log.leave_unflushed()
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            self.forget_doomed(last)
            self.connection.execute("COMMIT")
        finally:
            self._log.flush_again()

    # What other tools see

    def published(self, image: Digest) -> list[Published]:
        """Descriptors of index.json for one image, in order."""
        if self._ages is None:
            self._ages = self._do("ages").fetchone()
        oldest, newest = self._ages
        span = (newest - oldest) if newest is not None else 0
        named = [
            _published(row, place=(row[5] - oldest) / span if span else 1.0)
            for row in self._do("published_names", image.raw)
        ]
        return named + [_published(row) for row in self._do("published_nameless", image.raw)]

    def all_published(self) -> Iterator[Published]:
        """Descriptors of index.json for the whole store: names in attach order, then the rest."""
        for statement in ("all_published_names", "all_published_nameless"):
            yield from map(_published, self.connection.execute(LISTINGS[statement]))

    def _touch(self, image: Digest) -> None:
        """Remember how index.json shows an image, before the first edit of it."""
        if image in self._touched or self._too_many:
            return
        self._touched[image] = self.published(image) if self.has_image(image) else []
        if len(self._touched) > MOST_TOLD:
            self._touched, self._too_many = {}, True

    def changes(self) -> tuple[list[tuple[Published, Published | None]], list[Published]] | None:
        """What this transaction changes in index.json: (old, new or None) pairs, and additions.

        None where that is so much that the whole is sooner written than told.
        """
        self.settle()
        if self._too_many:
            return None
        edits: list[tuple[Published, Published | None]] = []
        added: list[Published] = []
        for image, before in self._touched.items():
            after = self.published(image) if self.has_image(image) else []
            by_key = {_key(row): row for row in after}
            for row in before:
                new = by_key.pop(_key(row), None)
                if new is not None and new.made != row.made:
                    added.append(new)  # it went to another image and came back: it is the newest
                    new = None
                if new != row:
                    edits.append((row, new))
            added += by_key.values()
        added.sort(key=lambda row: (row.name is None, row.made))
        return edits, added

    # Admission

    def admit(self, image: ImageRecord) -> None:
        """Add an image, its manifest and the tree of blobs below; what is there stays as it is."""
        self._touch(image.id)
        layers = {layer.digest: layer for layer in image.layers}
        ids: dict[Digest, int] = {}
        fuller: list[tuple[Digest, Sequence[Digest]]] = []  # documents and what they need
        settled: set[Digest] = set()  # layers that were a promise before
        for blob in image.blobs:
            known = self._admitted.get(blob.digest)
            if known is not None:  # by an image before this one
                ids[blob.digest] = known
                continue
            known = self._id("id_of_blob", blob.digest)
            was_there = known is not None
            if known is None:
                known = self._do(
                    "add_blob", blob.digest.raw, blob.size, KINDS.index(blob.kind)
                ).lastrowid
                self._do("pardon", blob.digest.raw)
                fuller.append((blob.digest, blob.children))
            elif blob.children:
                had = [state.digest for state in self.needs_of(blob.digest)]
                there = set(had)
                new = [child for child in blob.children if child not in there]
                if new:  # an index that came without some of its platforms before
                    self._do("drop_edges", known)
                    whole = there.issubset(blob.children)
                    fuller.append((blob.digest, blob.children if whole else had + new))
            ids[blob.digest] = known
            if blob.kind == LAYER and blob.digest in layers:
                added = self._do("add_layer", *layer_row(known, layers[blob.digest]))
                if was_there and added.rowcount:
                    settled.add(blob.digest)
                self._admitted[blob.digest] = known
        for digest, children in fuller:
            self.connection.executemany(
                EDITS["add_edge"],
                [(ids[digest], at, self._row_of(child, ids)) for at, child in enumerate(children)],
            )
        own = self._id("id_of_image", image.id)
        if own is None:
            own = self._do("add_image", *image_row(image)).lastrowid
        elif fuller:
            self._do("grow_image", image.size, own)
        self._do("add_holding", own, ids[image.top.digest], image.top.media_type)
        if image.subject is not None:
            self._do("add_subject", ids[image.top.digest], image.subject.raw)
        self.resize_images(settled)

    def record_layers(self, found: Iterable[LayerRecord]) -> None:
        """Write what reading layers has found, where nothing better is known of them."""
        self.resize_images(
            [
                layer.digest
                for layer in found
                if self._do(
                    "record_layer", layer.diff_id.raw, layer.diff_size, layer.file_bytes,
                    layer.state, layer.digest.raw,
                ).rowcount
            ]
        )  # fmt: skip

    def resize_images(self, layers: Collection[Digest]) -> None:
        """Give the images with some layers, and those in the trash, the size that follows."""
        if not layers:
            return
        from casstore.backends.imagesizes import sizes_over

        sizes, trashed = sizes_over(self, layers)
        for size, image in sizes:
            self._do("resize_image", size, image.raw)
        for size, image in trashed:
            self._do("resize_trashed", size, image.raw)

    def _row_of(self, blob: Digest, ids: Mapping[Digest, int]) -> int | None:
        return ids[blob] if blob in ids else self._id("id_of_blob", blob)

    def attach(
        self, name: Reference, image: Digest, manifest: Digest, *, tagged: int
    ) -> Digest | None:
        """Let a reference point to an image by one of its manifests.

        Args:
            tagged: when somebody tagged it (ns), 0 for a name that came with its image.

        Returns:
            The image that the name pointed to before, if it was another.

        Raises:
            NotFound: the image does not hold this manifest, or does not any more.
        """
        if self._do("is_held", image.raw, manifest.raw).fetchone() is None:
            raise NotFound(f"image {image.short} has no manifest {manifest.short}")
        self._touch(image)
        self._naming.pop(image, None)
        row = self._do("reference_of", name).fetchone()
        target = self._id("id_of_blob", manifest)
        subject = subject_of(name)
        if subject is not None:
            self._do("add_subject", target, subject.raw)
        moved = None
        if row is not None:
            key, old_image, old_manifest = row[0], stored_digest(row[1]), stored_digest(row[2])
            if old_image == image:
                # Attached again to the same image: nothing moves, but it may name a new manifest.
                if old_manifest != manifest:
                    self._do("set_manifest", target, key)
                    self._lose_name(name, image, old_manifest)
                return None
            self._touch(old_image)
            self._naming.pop(old_image, None)
            self._do("drop_reference", name)
            self._do("drop_written", WRITTEN + name)
            self._lose_name(name, old_image, old_manifest)
            moved = old_image
        self._do("add_reference", name, self._id("id_of_image", image), target, tagged)
        return moved

    def _lose_name(self, name: Reference, image: Digest, manifest: Digest) -> None:
        # What has a tag that refers to this manifest would go with it, as soon as it has come.
        if subject_of(name) != manifest:
            self._lost_name[image, manifest] = None

    def write_as(self, name: Reference, text: str) -> None:
        """Publish a name that was just attached as another tool has written it."""
        self._do("set_meta", WRITTEN + name, text)

    def link_parent(self, child: Digest, parent: Digest) -> None:
        """Record the parent of an image; both are in the store."""
        if self.parent_of(child) != parent:
            self._touch(child)
            self._do("set_parent", parent.raw, child.raw)

    def set_pin(self, image: Digest, *, pinned: bool) -> None:
        if self.is_pinned(image) is not pinned:
            self._touch(image)
            self._do("add_pin" if pinned else "drop_pin", self._id("id_of_image", image))

    # Leases and settings

    def set_lease(self, name: str, image: Digest, expires: int | None) -> None:
        self._do("set_lease", name, expires, image.raw)

    def drop_lease(self, name: str) -> bool:
        try:
            return bool(self._do("drop_lease", name).rowcount)
        except UsageError:  # no name that could be there
            return False

    def drop_expired(self, now: int) -> int:
        dropped: int = self._do("drop_expired", now).rowcount
        return dropped

    def set_meta(self, key: str, value: str | int) -> None:
        self._do("set_meta", key, value)

    def drop_meta(self, key: str) -> None:
        self._do("drop_meta", key)


def layer_row(blob: int, layer: LayerRecord) -> tuple[Any, ...]:
    """The row of a layer that is new; `blob` is the id of its blob."""
    _, _, compression = layer.media_type.rpartition(".tar")
    return NEW_LAYER.row(layer, blob, compression.lstrip("+."), layer.diff_id.raw)


def image_row(image: ImageRecord) -> tuple[Any, ...]:
    """The row of an image that is new; parents are linked when all images are in."""
    return NEW_IMAGE.row(image.stored(), image.id.raw, None, encode_labels(image.labels))


def _published(row: Any, place: float = 1.0) -> Published:
    name, media_type, raw, size, parent, made, pinned, written = row
    if not isinstance(size, int):
        raise damaged("a blob whose size is no number")
    return Published(
        Reference(name) if name is not None else None,
        Descriptor(media_type, stored_digest(raw), size),
        stored_digest(parent) if parent is not None else None,
        bool(pinned),
        place,
        made,
        written,
    )


def _key(row: Published) -> tuple[Reference | None, Digest | None]:
    return (row.name, None if row.name is not None else row.top.digest)
