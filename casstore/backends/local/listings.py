"""What a view tells of whole tables, of blobs and of layers: all that everyday commands do not ask.

A `LocalView` has these methods too. They stand in a module of their own because rmi, tag, images
and inspect have no use for them, nor for the records that they make (startup/parts.py).
"""

from __future__ import annotations

from casstore.backends.local.imagerows import AND_PARENT, FACTS, facts
from casstore.backends.local.statements import (
    STATES,
    TOP,
    digests_from,
    fields,
    places,
    stored_digest,
)
from casstore.backends.local.view import blob_state, descriptor
from casstore.model.kept import ImageFacts, LayerRecord
from casstore.model.reference import Reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from casstore.backends.local.schema import Connection
    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.model.kept import LabelRoom
    from casstore.model.state import BlobState

_TAR = "application/vnd.oci.image.layer.v1.tar"
_BLOB, _MEDIA_TYPE, _DIFF_ID = places(LayerRecord, "digest", "media_type", "diff_id")

# ruff: noqa: S608 - all parts are constants
LAYER = fields(
    LayerRecord, "layer", digest="blob.digest", size="blob.size", media_type="layer.compression"
)
_UNLABELLED = fields(ImageFacts, "image", id="image.digest", parent="parent.digest", labels="NULL")
_LAYER = f"SELECT {LAYER} FROM {{}}"

BLOBS_AT_ONCE = 500  # that one statement looks up
_AMONG = "SELECT digest FROM blob WHERE digest IN ({})"
_CHILDREN = (
    "FROM edge JOIN blob AS document ON document.id = edge.parent JOIN blob ON blob.id = edge.child"
)

LOOK_UPS = {
    "known_among": _AMONG.format(",".join("?" * BLOBS_AT_ONCE)),
    "needs_and_layers_of": _LAYER.format(
        "blob AS document JOIN edge ON edge.parent = document.id JOIN blob ON blob.id = edge.child"
        " LEFT JOIN layer ON layer.blob = blob.id WHERE document.digest = ? ORDER BY edge.position"
    ),
    "layer": _LAYER.format("blob JOIN layer ON layer.blob = blob.id WHERE blob.digest = ?"),
    "layer_with_diff_id": _LAYER.format(
        "layer JOIN blob ON blob.id = layer.blob WHERE diff_id = ? AND state = 1"
        " ORDER BY blob.size LIMIT 1"
    ),
    "holders_of": "SELECT image.digest FROM holding JOIN blob ON blob.id = holding.manifest"
    " JOIN image ON image.id = holding.image WHERE blob.digest = ? ORDER BY image.id",
    "needed_by": "SELECT document.digest FROM blob JOIN edge ON edge.child = blob.id"
    " JOIN blob AS document ON document.id = edge.parent WHERE blob.digest = ?"
    " ORDER BY document.id",
    "facts_of": f"SELECT {FACTS} {AND_PARENT} WHERE image.digest = ?",
    "blobs_with_prefix": "SELECT digest FROM blob WHERE digest BETWEEN ? AND ? LIMIT 2",
    "trash_of": "SELECT trash_image.digest, trash.id, trash.expires FROM blob"
    " JOIN trash_holding ON trash_holding.manifest = blob.id"
    " JOIN trash_image ON trash_image.id = trash_holding.image"
    " JOIN trash ON trash.id = trash_image.trash WHERE blob.digest = ? ORDER BY trash.id",
    "blob_state": STATES.format("blob", "blob.digest = ?"),
}
# Statements that read whole tables on purpose: listings and checks.
LISTINGS = {
    "all_images": f"SELECT {FACTS} {AND_PARENT}",
    "all_images_without_labels": f"SELECT {_UNLABELLED} {AND_PARENT}",
    "all_references": "SELECT image.digest, reference.name FROM reference"
    " JOIN image ON image.id = reference.image ORDER BY reference.id",
    "all_parents": "SELECT DISTINCT parent.digest FROM image"
    " JOIN image AS parent ON parent.id = image.parent",
    "all_tops": f"SELECT image.digest, {TOP} FROM holding"
    " JOIN image ON image.id = holding.image JOIN blob ON blob.id = holding.manifest"
    " ORDER BY image.id, blob.id",
    "count_blobs": "SELECT count(*) FROM blob",
    # Bytes, whatever there is: a digest that is none has a file that is not known.
    "digests": "SELECT CAST(digest AS BLOB) FROM blob",  # from the index of that column alone
    "all_blobs": STATES.format("blob", "1 ORDER BY blob.id"),
    "all_pins": "SELECT image.digest FROM pin JOIN image ON image.id = pin.image",
    "all_edges": f"SELECT document.digest, blob.digest {_CHILDREN}"
    " ORDER BY edge.parent, edge.position",
    "all_needs": f"SELECT document.digest, blob.digest, blob.kind, {LAYER} {_CHILDREN}"
    " LEFT JOIN layer ON layer.blob = blob.id ORDER BY edge.parent, edge.position",
    "all_layers": _LAYER.format("layer JOIN blob ON blob.id = layer.blob ORDER BY blob.id"),
    "unsettled_layers": _LAYER.format(
        "layer JOIN blob ON blob.id = layer.blob WHERE layer.state != 1 ORDER BY blob.id"
    ),
    "all_leases": "SELECT lease.name, image.digest, lease.expires FROM lease"
    " JOIN image ON image.id = lease.image ORDER BY lease.name",
    "all_referrers": "SELECT image.digest FROM subject JOIN blob ON blob.digest = subject.digest"
    " JOIN holding ON holding.manifest = subject.manifest JOIN image ON image.id = holding.image",
    "stored_bytes": "SELECT coalesce(sum(size), 0) FROM blob",
}


class _Digests:
    """The digests of all blobs that the index knows."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __len__(self) -> int:
        return int(self._connection.execute(LISTINGS["count_blobs"]).fetchone()[0])

    def __iter__(self) -> Iterator[bytes]:
        from itertools import chain  # few commands have use for it

        rows = self._connection.execute(LISTINGS["digests"])
        # A call of Python's for each thousand: these may be a million, and small.
        some = iter(lambda: rows.fetchmany(1000), [])
        return chain.from_iterable(chain.from_iterable(some))


class Listings:
    """The part of `LocalView` that is imported when one of these methods is first asked for."""

    if TYPE_CHECKING:
        connection: Connection

        def _all_of(self, statement: str, *values: Any) -> list[Any]: ...

        def _one_of(self, statement: str, *values: Any) -> Any: ...

        def _of_image(self, statement: str, image: Digest) -> Any: ...

    def facts_of(self, image: Digest) -> ImageFacts:
        return facts(self._of_image(LOOK_UPS["facts_of"], image))

    def blobs_with_prefix(self, prefix: str) -> Sequence[Digest]:
        """Up to two blobs whose digest's hex digits start with `prefix`."""
        rows = self._all_of(LOOK_UPS["blobs_with_prefix"], *digests_from(prefix))
        return [stored_digest(row[0]) for row in rows]

    def blob_state(self, blob: Digest) -> BlobState | None:
        """A blob as the index counts it, or None for one that it does not know."""
        row = self._one_of(LOOK_UPS["blob_state"], blob.raw)
        return blob_state(row) if row else None

    def needs_and_layers_of(self, blob: Digest) -> list[tuple[Digest, LayerRecord | None]]:
        """What a document needs in document order, each with the layer that it is, if it is one."""
        rows = self._all_of(LOOK_UPS["needs_and_layers_of"], blob.raw)
        return [
            (
                stored_digest(row[_BLOB]),
                _layer(row) if row[_MEDIA_TYPE] is not None else None,
            )
            for row in rows
        ]

    def layer(self, blob: Digest) -> LayerRecord | None:
        """The layer with this blob digest."""
        return _layer(self._one_of(LOOK_UPS["layer"], blob.raw))

    def layer_with_diff_id(self, diff_id: Digest) -> LayerRecord | None:
        """A layer with this diff ID; the smallest where several compressions are stored."""
        return _layer(self._one_of(LOOK_UPS["layer_with_diff_id"], diff_id.raw))

    def holders_of(self, manifest: Digest) -> list[Digest]:
        rows = self._all_of(LOOK_UPS["holders_of"], manifest.raw)
        return [stored_digest(row[0]) for row in rows]

    def needed_by(self, blob: Digest) -> list[Digest]:
        return [stored_digest(row[0]) for row in self._all_of(LOOK_UPS["needed_by"], blob.raw)]

    def images_needing(self, blob: Digest) -> list[Digest]:
        found: dict[Digest, None] = dict.fromkeys(self.holders_of(blob))
        for document in dict.fromkeys(self.needed_by(blob)):
            found.update(dict.fromkeys(self.images_needing(document)))
        return list(found)

    def trash_of(self, manifest: Digest) -> list[tuple[Digest, int, int]]:
        rows = self._all_of(LOOK_UPS["trash_of"], manifest.raw)
        return [(stored_digest(raw), entry, expires) for raw, entry, expires in rows]

    def all_pins(self) -> set[Digest]:
        return {stored_digest(row[0]) for row in self.connection.execute(LISTINGS["all_pins"])}

    def all_images(self, room: LabelRoom | None = None) -> Sequence[ImageFacts]:
        listing = LISTINGS["all_images" if room != {} else "all_images_without_labels"]
        found = [facts(row, room) for row in self.connection.execute(listing)]
        return sorted(found, key=_newest_first)

    def all_references(self) -> dict[Digest, list[Reference]]:
        names: dict[Digest, list[Reference]] = {}
        for raw, name in self.connection.execute(LISTINGS["all_references"]):
            names.setdefault(stored_digest(raw), []).append(Reference(name))
        return names

    def all_names(self) -> list[Reference]:
        return [Reference(name) for _, name in self.connection.execute(LISTINGS["all_references"])]

    def all_parents(self) -> set[Digest]:
        rows = self.connection.execute(LISTINGS["all_parents"])
        return {stored_digest(row[0]) for row in rows}

    def all_referrers(self) -> set[Digest]:
        rows = self.connection.execute(LISTINGS["all_referrers"])
        return {stored_digest(row[0]) for row in rows}

    def digests(self) -> _Digests:
        return _Digests(self.connection)

    def all_blobs(self) -> Iterator[BlobState]:
        return map(blob_state, self.connection.execute(LISTINGS["all_blobs"]))

    def all_tops(self) -> Iterator[tuple[Digest, Descriptor]]:
        rows = self.connection.execute(LISTINGS["all_tops"])
        return ((stored_digest(row[0]), descriptor(row[1:])) for row in rows)

    def stored_bytes(self) -> int:
        return int(self.connection.execute(LISTINGS["stored_bytes"]).fetchone()[0])

    def all_edges(self) -> Iterator[tuple[Digest, Digest]]:
        rows = self.connection.execute(LISTINGS["all_edges"])
        return ((stored_digest(parent), stored_digest(child)) for parent, child in rows)

    def all_layers(self) -> Iterator[LayerRecord]:
        return map(_layer_of, self.connection.execute(LISTINGS["all_layers"]))

    def unsettled_layers(self) -> Iterator[LayerRecord]:
        return map(_layer_of, self.connection.execute(LISTINGS["unsettled_layers"]))

    def all_leases(self) -> list[tuple[str, Digest, int | None]]:
        rows = self.connection.execute(LISTINGS["all_leases"])
        return [(name, stored_digest(raw), expires) for name, raw, expires in rows]

    def known_among(self, blobs: Sequence[Digest]) -> set[Digest]:
        known: set[Digest] = set()
        for at in range(0, len(blobs), BLOBS_AT_ONCE):
            raw = [blob.raw for blob in blobs[at : at + BLOBS_AT_ONCE]]
            raw += raw[:1] * (BLOBS_AT_ONCE - len(raw))  # one statement, whatever their number
            rows = self._all_of(LOOK_UPS["known_among"], *raw)
            known.update(stored_digest(row[0]) for row in rows)
        return known


def _newest_first(image: ImageFacts) -> tuple[int, Digest]:
    # Docker compares whole seconds; an image without a date is the oldest there is.
    return (-(image.created // 1_000_000_000) if image.created is not None else 1 << 62, image.id)


def _layer(row: Sequence[Any] | None) -> LayerRecord | None:
    return _layer_of(row) if row is not None else None


def _layer_of(row: Sequence[Any]) -> LayerRecord:
    values = [*row]
    values[_BLOB] = stored_digest(values[_BLOB])
    values[_DIFF_ID] = stored_digest(values[_DIFF_ID])
    compression = values[_MEDIA_TYPE]
    values[_MEDIA_TYPE] = f"{_TAR}+{compression}" if compression else _TAR
    return LayerRecord._make(values)
