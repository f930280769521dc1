"""The trash in casstore.db: removals that can be undone, each with all that it took.

An entry holds the manifests of what went, as an image holds its own, and the same triggers count
it: no blob below a kept manifest can be freed, at no cost but its space. Keeping, restoring and
emptying cost what the entry touches, whatever else is in the store.
"""

from __future__ import annotations

from casstore.backends.local.schema import decode_labels, encode_labels
from casstore.model.descriptor import MANIFEST, Descriptor
from casstore.model.digest import Digest
from casstore.model.labels import Labels
from casstore.model.record import BlobRecord, ImageRecord
from casstore.model.reference import Reference
from casstore.model.trashed import KeptEntry, KeptImage, KeptName

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casstore.backends.local.leaving import RemovalIndex
    from casstore.backends.local.view import SqliteView
    from casstore.model.removal import RemovalPlan
    from casstore.model.state import BlobState

TRASH = {
    "add_entry": "INSERT INTO trash (removed, expires) VALUES (?, ?)",
    "put_entry": "INSERT INTO trash (id, removed, expires) VALUES (?, ?, ?)",
    "put_image": "INSERT INTO trash_image (trash, digest, parent, created, size, os, architecture,"
    " variant, labels, pinned) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "put_name": "INSERT INTO trash_name (image, position, name, manifest, tagged)"
    " SELECT ?, ?, ?, id, ? FROM blob WHERE digest = ?",
    "put_holding": "INSERT OR IGNORE INTO trash_holding (image, manifest, media_type)"
    " SELECT ?, id, ? FROM blob WHERE digest = ?",
    "keep_image": "INSERT INTO trash_image (trash, digest, parent, created, size, os, architecture,"
    " variant, labels, pinned) SELECT ?, image.digest,"
    " (SELECT digest FROM image AS parent WHERE parent.id = image.parent), created, size, os,"
    " architecture, variant, labels, EXISTS (SELECT 1 FROM pin WHERE pin.image = image.id)"
    " FROM image WHERE image.digest = ?",
    "keep_name": "INSERT INTO trash_name (image, position, name, manifest, tagged)"
    " SELECT ?, id, name, manifest, tagged FROM reference WHERE name = ?",
    "keep_named": "INSERT OR IGNORE INTO trash_holding (image, manifest, media_type)"
    " SELECT ?, holding.manifest, media_type FROM reference JOIN holding"
    " ON holding.image = reference.image AND holding.manifest = reference.manifest WHERE name = ?",
    "keep_manifests": "INSERT OR IGNORE INTO trash_holding (image, manifest, media_type)"
    " SELECT ?, manifest, media_type FROM holding"
    " WHERE image = (SELECT id FROM image WHERE digest = ?)",
    "entry": "SELECT removed, expires FROM trash WHERE id = ?",
    "entry_of_name": "SELECT max(trash_image.trash) FROM trash_name"
    " JOIN trash_image ON trash_image.id = trash_name.image WHERE trash_name.name = ?",
    "entry_of_image": "SELECT max(trash) FROM trash_image WHERE digest BETWEEN ? AND ?",
    "images_of_entry": "SELECT id, digest, parent, created, size, os, architecture, variant,"
    " labels, pinned FROM trash_image WHERE trash = ? ORDER BY id",
    "names_of_kept": "SELECT name, blob.digest, tagged FROM trash_name"
    " JOIN blob ON blob.id = trash_name.manifest WHERE image = ? ORDER BY position",
    "tops_of_kept": "SELECT media_type, blob.digest, blob.size FROM trash_holding"
    " JOIN blob ON blob.id = trash_holding.manifest WHERE image = ? ORDER BY blob.id",
    "held_by_kept": "SELECT blob.digest, blob.kind, blob.size, layer.file_bytes, blob.refcount"
    " FROM trash_image JOIN trash_holding ON trash_holding.image = trash_image.id"
    " JOIN blob ON blob.id = trash_holding.manifest LEFT JOIN layer ON layer.blob = blob.id"
    " WHERE trash_image.trash = ?",
    "drop_kept_holdings": "DELETE FROM trash_holding WHERE image = ?",
    "drop_kept_names": "DELETE FROM trash_name WHERE image = ?",
    "drop_kept_images": "DELETE FROM trash_image WHERE trash = ?",
    "drop_entry": "DELETE FROM trash WHERE id = ?",
    "expired": "SELECT id FROM trash WHERE expires <= ? ORDER BY expires, id LIMIT ?",
    "oldest": "SELECT min(id) FROM trash",
    "add_pin": "INSERT OR IGNORE INTO pin (image) SELECT id FROM image WHERE digest = ?",
}
TRASH_LISTING = "SELECT id FROM trash ORDER BY id DESC"
_ALL = 1 << 62


class TrashedRemovals:
    """The removals of one command on their way into the trash, those of one image together."""

    def __init__(self, index: RemovalIndex, *, removed: int, expires: int) -> None:
        """Times in ns."""
        self._index = index
        self._times = removed, expires
        self._entries: dict[Digest, int] = {}  # by the image removed
        self._kept: dict[tuple[int, Digest], int] = {}  # ids in trash_image

    def keep(self, plan: RemovalPlan) -> int | None:
        """Keep all that a plan is about to remove; it frees no blobs.

        Returns:
            The number of the entry; None where the plan removes nothing.
        """
        images = [image for image in map(self._index.image_named, plan.untag) if image is not None]
        images += plan.delete
        if not images:
            return None
        entry = self._entries.get(images[0])
        if entry is None:
            entry = self._entries[images[0]] = self._do("add_entry", *self._times).lastrowid
        for name, image in zip(plan.untag, images, strict=False):
            own = self._image(entry, image)
            self._do("keep_name", own, name)
            self._do("keep_named", own, name)
        for image in plan.delete:
            self._do("keep_manifests", self._image(entry, image), image.raw)
        return entry

    def _image(self, entry: int, image: Digest) -> int:
        own = self._kept.get((entry, image))
        if own is None:
            own = self._do("keep_image", entry, image.raw).lastrowid
            self._kept[entry, image] = own
        return own

    def _do(self, statement: str, *values: Any) -> Any:
        return self._index.connection.execute(TRASH[statement], values)


class TrashTables:
    """The trash as a view or a change sees it."""

    def __init__(self, view: SqliteView, index: RemovalIndex | None = None) -> None:
        self._view, self._index = view, index

    def _do(self, statement: str, *values: Any) -> Any:
        return self._view.connection.execute(TRASH[statement], values)

    # Looking

    def ids(self) -> list[int]:
        """Every entry, newest first."""
        return [row[0] for row in self._view.connection.execute(TRASH_LISTING)]

    def entry(self, number: int) -> KeptEntry | None:
        """An entry with all that is in it."""
        row = self._do("entry", number).fetchone()
        if row is None:
            return None
        images = tuple(map(self._image, self._do("images_of_entry", number).fetchall()))
        return KeptEntry(number, row[0], row[1], images)

    def _image(self, row: Any) -> KeptImage:
        own, raw, parent, created, size, system, architecture, variant, labels, pinned = row
        names = [
            KeptName(Reference(name), Digest.of_bytes(manifest), tagged)
            for name, manifest, tagged in self._do("names_of_kept", own)
        ]
        records = [
            ImageRecord(
                Digest.of_bytes(raw), top, (BlobRecord(top.digest, top.size, MANIFEST, ()),), (),
                created, Labels(decode_labels(labels)), system, architecture, variant, size,
            )
            for media_type, digest, bytes_ in self._do("tops_of_kept", own)
            for top in [Descriptor(media_type, Digest.of_bytes(digest), bytes_)]
        ]  # fmt: skip
        origin = Digest.of_bytes(parent) if parent is not None else None
        return KeptImage(Digest.of_bytes(raw), tuple(records), origin, bool(pinned), tuple(names))

    def find_name(self, name: Reference) -> int | None:
        """The newest entry with this reference."""
        found: int | None = self._do("entry_of_name", name).fetchone()[0]
        return found

    def find_image(self, prefix: str) -> int | None:
        """The newest entry with an image whose ID starts with these hex digits."""
        low, high = bytes.fromhex(prefix.ljust(64, "0")), bytes.fromhex(prefix.ljust(64, "f"))
        found: int | None = self._do("entry_of_image", low, high).fetchone()[0]
        return found

    def held_by(self, number: int) -> list[BlobState]:
        """The manifests that an entry holds, each as often as it holds it."""
        from casstore.backends.local.view import blob_state

        return [blob_state(row) for row in self._do("held_by_kept", number)]

    # Changing

    def put(self, entry: KeptEntry) -> None:
        """Write an entry as it is given; the trees of its manifests are in the index."""
        self._do("put_entry", entry.id, entry.removed, entry.expires)
        for image in entry.images:
            first = image.records[0]
            own = self._do(
                "put_image", entry.id, image.id.raw, image.parent and image.parent.raw,
                first.created, first.size, first.os, first.architecture, first.variant,
                encode_labels(first.labels), image.pinned,
            ).lastrowid  # fmt: skip
            for record in image.records:
                self._do("put_holding", own, record.top.media_type, record.top.digest.raw)
            for position, name in enumerate(image.names):
                self._do("put_name", own, position, name.name, name.tagged, name.manifest.raw)

    def drop(self, number: int) -> int:
        """Remove an entry, and every blob that nothing else needs.

        Returns:
            Bytes that this frees on the disk.
        """
        holders = self.held_by(number)
        for row in self._do("images_of_entry", number).fetchall():
            self._do("drop_kept_holdings", row[0])
            self._do("drop_kept_names", row[0])
        self._do("drop_kept_images", number)
        self._do("drop_entry", number)
        assert self._index is not None, "only a change can drop entries"
        return self._index.free_unneeded(dict.fromkeys(state.digest for state in holders))

    def drop_expired(self, now: int, *, most: int | None = None) -> int:
        """Remove up to `most` entries whose time is over; returns how many."""
        numbers = [
            row[0] for row in self._do("expired", now, _ALL if most is None else most).fetchall()
        ]
        for number in numbers:
            self.drop(number)
        return len(numbers)

    def oldest(self) -> int | None:
        """The number of the oldest entry."""
        number: int | None = self._do("oldest").fetchone()[0]
        return number

    def pin(self, image: Digest) -> None:
        """Put back the pin of an image that has come back."""
        self._do("add_pin", image.raw)
