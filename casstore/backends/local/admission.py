"""Edits that everyday commands do not make: what comes in, pins, leases and settings.

`LocalEdits` has these methods too. They stand in a module of their own because rmi and tag have no
use for them (startup/parts.py).
"""

from __future__ import annotations

from casstore.backends.local.imagerows import encode_labels
from casstore.backends.local.statements import KINDS, WRITTEN
from casstore.backends.local.tables import Rows
from casstore.errors import UsageError
from casstore.model.descriptor import LAYER
from casstore.model.kept import LayerRecord, StoredImage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from typing import Any

    from casstore.backends.local.removals import RemovalIndex
    from casstore.model.digest import Digest
    from casstore.model.record import ImageRecord
    from casstore.model.reference import Reference
else:
    RemovalIndex = object

NEW_LAYER = Rows("layer", LayerRecord, "blob", "compression", "diff_id")
NEW_IMAGE = Rows("image", StoredImage, "digest", "parent", "labels")

ADMISSION = {
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
    "add_pin": "INSERT OR IGNORE INTO pin (image) VALUES (?)",
    "drop_edges": "DELETE FROM edge WHERE parent = ?",
    "pardon": "DELETE FROM doomed WHERE digest = ?",
    "set_parent": "UPDATE image SET parent = (SELECT id FROM image WHERE digest = ?)"
    " WHERE digest = ?",
    "drop_meta": "DELETE FROM meta WHERE key = ?",
    "set_lease": "INSERT OR REPLACE INTO lease (name, image, expires)"
    " SELECT ?, id, ? FROM image WHERE digest = ?",
    "drop_lease": "DELETE FROM lease WHERE name = ?",
}


class Admission(RemovalIndex):
    """The part of `LocalEdits` that is imported when one of these methods is first asked for."""

    def _edit(self, edit: str, *values: Any) -> Any:
        return self.connection.execute(ADMISSION[edit], values)

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
                known = self._edit(
                    "add_blob", blob.digest.raw, blob.size, KINDS.index(blob.kind)
                ).lastrowid
                self._edit("pardon", blob.digest.raw)
                fuller.append((blob.digest, blob.children))
            elif blob.children:
                had = [state.digest for state in self.needs_of(blob.digest)]
                there = set(had)
                new = [child for child in blob.children if child not in there]
                if new:  # an index that came without some of its platforms before
                    self._edit("drop_edges", known)
                    whole = there.issubset(blob.children)
                    fuller.append((blob.digest, blob.children if whole else had + new))
            ids[blob.digest] = known
            if blob.kind == LAYER and blob.digest in layers:
                added = self._edit("add_layer", *layer_row(known, layers[blob.digest]))
                if was_there and added.rowcount:
                    settled.add(blob.digest)
                self._admitted[blob.digest] = known
        for digest, children in fuller:
            self.connection.executemany(
                ADMISSION["add_edge"],
                [(ids[digest], at, self._row_of(child, ids)) for at, child in enumerate(children)],
            )
        own = self._id("id_of_image", image.id)
        if own is None:
            own = self._edit("add_image", *image_row(image)).lastrowid
        elif fuller:
            self._edit("grow_image", image.size, own)
        self._edit("add_holding", own, ids[image.top.digest], image.top.media_type)
        if image.subject is not None:
            self._do("add_subject", ids[image.top.digest], image.subject.raw)
        self.resize_images(settled)

    def record_layers(self, found: Iterable[LayerRecord]) -> None:
        """Write what reading layers has found, where nothing better is known of them."""
        self.resize_images(
            [
                layer.digest
                for layer in found
                if self._edit("record_layer", layer.diff_id.raw, layer.diff_size, layer.file_bytes,
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
            self._edit("resize_image", size, image.raw)
        for size, image in trashed:
            self._edit("resize_trashed", size, image.raw)

    def _row_of(self, blob: Digest, ids: Mapping[Digest, int]) -> int | None:
        return ids[blob] if blob in ids else self._id("id_of_blob", blob)

    def write_as(self, name: Reference, text: str) -> None:
        """Publish a name that was just attached as another tool has written it."""
        self._do("set_meta", WRITTEN + name, text)

    def link_parent(self, child: Digest, parent: Digest) -> None:
        """Record the parent of an image; both are in the store."""
        if self.parent_of(child) != parent:
            self._touch(child)
            self._edit("set_parent", parent.raw, child.raw)

    def set_pin(self, image: Digest, *, pinned: bool) -> None:
        if self.is_pinned(image) is not pinned:
            self._touch(image)
            own = self._id("id_of_image", image)
            if pinned:
                self._edit("add_pin", own)
            else:
                self._do("drop_pin", own)

    def set_lease(self, name: str, image: Digest, expires: int | None) -> None:
        self._edit("set_lease", name, expires, image.raw)

    def drop_lease(self, name: str) -> bool:
        try:
            return bool(self._edit("drop_lease", name).rowcount)
        except UsageError:  # no name that could be there
            return False

    def drop_meta(self, key: str) -> None:
        self._edit("drop_meta", key)


def layer_row(blob: int, layer: LayerRecord) -> tuple[Any, ...]:
    """The row of a layer that is new; `blob` is the id of its blob."""
    _, _, compression = layer.media_type.rpartition(".tar")
    return NEW_LAYER.row(layer, blob, compression.lstrip("+."), layer.diff_id.raw)


def image_row(image: ImageRecord) -> tuple[Any, ...]:
    """The row of an image that is new; parents are linked when all images are in."""
    return NEW_IMAGE.row(image.stored(), image.id.raw, None, encode_labels(image.labels))
