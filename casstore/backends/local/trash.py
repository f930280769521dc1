"""The trash in casstore.db: removals that can be undone, each with all that it took.

An entry holds the manifests of what went, as an image holds its own, and the same triggers count
it: no blob below a kept manifest can be freed, at no cost but its space. Keeping, restoring and
emptying cost what the entry touches, whatever else is in the store.
"""

from __future__ import annotations

from casstore.backends.local.imagerows import encode_labels, stored_image
from casstore.backends.local.statements import STATE, digests_from, fields, read, stored_digest
from casstore.backends.local.tables import Rows, copy, unless_there
from casstore.backends.local.view import blob_state, descriptor
from casstore.model.descriptor import Descriptor
from casstore.model.kept import StoredImage
from casstore.model.reference import Reference
from casstore.model.trashed import KeptEntry, KeptImage, KeptName, form_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casstore.backends.local.removals import RemovalIndex
    from casstore.backends.local.view import LocalView
    from casstore.model.digest import Digest
    from casstore.model.removal import RemovalPlan
    from casstore.model.state import BlobState

# ruff: noqa: S608 - all parts are constants
_BLOB = "(SELECT id FROM blob WHERE digest = ?)"
KEPT_IMAGE = Rows("trash_image", StoredImage, "trash", "digest", "parent", "labels", "pinned")
KEPT_HOLDING = Rows("trash_holding", Descriptor, "image", "manifest", manifest=_BLOB)
KEPT_NAME = Rows("trash_name", KeptName, "image", "position", "manifest", manifest=_BLOB)
_KEEP_HOLDING = unless_there(copy("trash_holding", "holding", image="?"))

TRASH = {
    "add_entry": "INSERT INTO trash (removed, expires) VALUES (?, ?)",
    "put_entry": "INSERT INTO trash (id, removed, expires) VALUES (?, ?, ?)",
    "put_image": KEPT_IMAGE.statement,
    "put_name": unless_there(KEPT_NAME.statement),
    "put_holding": unless_there(KEPT_HOLDING.statement),
    "keep_image": copy(
        "trash_image",
        "image",
        trash="?",
        parent="(SELECT digest FROM image AS parent WHERE parent.id = image.parent)",
        pinned="EXISTS (SELECT 1 FROM pin WHERE pin.image = image.id)",
    )
    + " FROM image WHERE image.digest = ?",
    "keep_name": copy("trash_name", "reference", image="?", position="reference.id")
    + " FROM reference WHERE name = ?",
    "keep_named": f"{_KEEP_HOLDING} FROM reference JOIN holding"
    " ON holding.image = reference.image AND holding.manifest = reference.manifest WHERE name = ?",
    "keep_manifests": f"{_KEEP_HOLDING} FROM holding"
    " WHERE image = (SELECT id FROM image WHERE digest = ?)",
    "entry": "SELECT removed, expires FROM trash WHERE id = ?",
    "entry_of_name": "SELECT max(trash_image.trash) FROM trash_name"
    " JOIN trash_image ON trash_image.id = trash_name.image WHERE trash_name.name = ?",
    "entry_of_image": "SELECT max(trash) FROM trash_image WHERE digest BETWEEN ? AND ?",
    "images_of_entry": f"SELECT id, pinned, {fields(StoredImage, 'trash_image', id='digest')}"
    " FROM trash_image WHERE trash = ? ORDER BY id",
    "names_of_kept": f"SELECT {fields(KeptName, 'trash_name', manifest='blob.digest')}"
    " FROM trash_name JOIN blob ON blob.id = trash_name.manifest"
    " WHERE image = ? ORDER BY position",
    "tops_of_kept": f"SELECT {fields(Descriptor, 'blob', media_type='trash_holding.media_type')}"
    " FROM trash_holding JOIN blob ON blob.id = trash_holding.manifest"
    " WHERE image = ? ORDER BY blob.id",
    "held_by_kept": f"SELECT {STATE}"
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

    def __init__(self, view: LocalView, index: RemovalIndex | None = None) -> None:
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
        own, pinned, *told = row
        image = stored_image(told)
        records = [form_of(image, descriptor(top)) for top in self._do("tops_of_kept", own)]
        names = [
            read(KeptName, name, name=Reference, manifest=stored_digest)
            for name in self._do("names_of_kept", own)
        ]
        return KeptImage(image.id, tuple(records), image.parent, bool(pinned), tuple(names))

    def find_name(self, name: Reference) -> int | None:
        """The newest entry with this reference."""
        found: int | None = self._do("entry_of_name", name).fetchone()[0]
        return found

    def find_image(self, prefix: str) -> int | None:
        """The newest entry with an image whose ID starts with these hex digits."""
        found: int | None = self._do("entry_of_image", *digests_from(prefix)).fetchone()[0]
        return found

    def held_by(self, number: int) -> list[BlobState]:
        """The manifests that an entry holds, each as often as it holds it."""
        return [blob_state(row) for row in self._do("held_by_kept", number)]

    # Changing

    def put(self, entry: KeptEntry) -> None:
        """Write an entry as it is given; the trees of its manifests are in the index."""
        self._do("put_entry", entry.id, entry.removed, entry.expires)
        for image in entry.images:
            kept = image.records[0].stored()
            parent, labels = image.parent and image.parent.raw, encode_labels(kept.labels)
            row = KEPT_IMAGE.row(kept, entry.id, image.id.raw, parent, labels, image.pinned)
            own = self._do("put_image", *row).lastrowid
            for record in image.records:
                row = KEPT_HOLDING.row(record.top, own, record.top.digest.raw)
                self._do("put_holding", *row)
            for position, name in enumerate(image.names):
                row = KEPT_NAME.row(name, own, position, name.manifest.raw)
                self._do("put_name", *row)

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
