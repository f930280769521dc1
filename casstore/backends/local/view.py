"""The tag index as rules see it: look-ups only, each served by an index of its table.

One SQLite snapshot: a reader begins a read transaction, a writer looks through its own changes.
"""

from __future__ import annotations

from casstore.backends.local.schema import Connection
from casstore.backends.local.tables import (
    BLOBS_AT_ONCE,
    KINDS,
    LISTINGS,
    STATEMENTS,
    damaged,
    decode_labels,
    digests_from,
    places,
    read,
    stored_digest,
)
from casstore.errors import NotFound
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest
from casstore.model.reference import Reference
from casstore.model.state import (
    Attached,
    BlobState,
    ImageFacts,
    LayerRecord,
    LeaseOn,
    Naming,
    StoredImage,
    wanted_labels,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from casstore.backends.local.trash import TrashTables
    from casstore.model.snapshot import Snapshot
    from casstore.model.state import LabelRoom, Listed

_TAR = "application/vnd.oci.image.layer.v1.tar"
_KINDS = dict(enumerate(KINDS))
_ID, _PARENT, _LABELS = places(ImageFacts, "id", "parent", "labels")
_SIZE, _CREATED = places(ImageFacts, "size", "created")
_DIGEST, _KIND, _BYTES = places(BlobState, "digest", "kind", "size")
_LAYER, _MEDIA_TYPE, _DIFF_ID = places(LayerRecord, "digest", "media_type", "diff_id")
(_TOP,) = places(Descriptor, "digest")


class _Snapshot:
    """A read transaction, unless there is one already."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ours = False

    def __enter__(self) -> None:
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN")
            self._ours = True

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        if self._ours and self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


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


class LocalView:
    """Look-ups in an open casstore.db; the rules' `StoreView` and a little more."""

    def __init__(
        self, connection: Connection, *, now: int, hard: Mapping[Digest, Sequence[str]]
    ) -> None:
        """`now` (ns) decides which soft leases live; `hard` names the live hard ones by image."""
        self.connection = connection
        self.now = now
        self._hard = hard

    def _rows(self, name: str, *values: Any) -> list[Any]:
        rows: list[Any] = self.connection.execute(STATEMENTS[name], values).fetchall()
        return rows

    def _one(self, name: str, *values: Any) -> Any:
        return self.connection.execute(STATEMENTS[name], values).fetchone()

    def _of_image(self, name: str, image: Digest) -> Any:
        """The row of an image. Raises NotFound, as another process may have removed it."""
        row = self._one(name, image.raw)
        if row is None:
            raise NotFound(f"image {image.short} is not in the store")
        return row

    def snapshot(self) -> _Snapshot:
        return _Snapshot(self.connection)

    @property
    def trash(self) -> TrashTables:
        from casstore.backends.local.trash import TrashTables

        return TrashTables(self)

    def listed_images(self) -> Iterator[Listed]:
        from casstore.backends.local.imagelist import listed_images

        return listed_images(self)

    def refers(self, image: Digest) -> bool:
        from casstore.backends.local.imagelist import refers

        return refers(self, image)

    def with_hard_leases(self, hard: Mapping[Digest, Sequence[str]]) -> LocalView:
        return LocalView(self.connection, now=self.now, hard=hard)

    def whole(
        self,
        hard: Mapping[Digest, Sequence[str]],
        now: int,
        room: LabelRoom | None = None,
    ) -> Snapshot:
        from casstore.backends.local.wholeindex import read_snapshot

        return read_snapshot(self, hard, now, room)

    def image_named(self, name: Reference) -> Digest | None:
        row = self._one("image_named", name)
        return stored_digest(row[0]) if row else None

    def has_image(self, image: Digest) -> bool:
        return self._one("has_image", image.raw) is not None

    def images_with_prefix(self, prefix: str) -> Sequence[Digest]:
        rows = self._rows("images_with_prefix", *digests_from(prefix))
        return [stored_digest(row[0]) for row in rows]

    def references_of(self, image: Digest) -> Sequence[Attached]:
        rows = self._rows("references_of", image.raw)
        return [Attached(Reference(name), stored_digest(raw)) for name, raw in rows]

    def naming_of(self, image: Digest) -> Naming:
        return Naming(self.references_of(image))

    def parent_of(self, image: Digest) -> Digest | None:
        row = self._one("parent_of", image.raw)
        return stored_digest(row[0]) if row else None

    def children_of(self, image: Digest) -> Iterator[Digest]:
        rows = self.connection.execute(STATEMENTS["children_of"], (image.raw,))
        return (stored_digest(row[0]) for row in rows)  # a base may have thousands

    def referrers_of(self, manifest: Digest) -> Sequence[Digest]:
        rows = self._rows("referrers_of", manifest.raw)
        return list(dict.fromkeys(stored_digest(row[0]) for row in rows))

    def subjects_of(self, image: Digest) -> Sequence[Digest]:
        rows = self._rows("subjects_of", image.raw)
        return list(dict.fromkeys(stored_digest(row[0]) for row in rows))

    def leases_on(self, image: Digest) -> Sequence[LeaseOn]:
        soft = self._rows("leases_on", image.raw, self.now)
        hard = [LeaseOn(name, hard=True) for name in self._hard.get(image, ())]
        return hard + [LeaseOn(row[0], hard=False) for row in soft]

    def manifests_of(self, image: Digest) -> Sequence[BlobState]:
        return [blob_state(row) for row in self._rows("manifests_of", image.raw)]

    def needs_of(self, blob: Digest) -> Sequence[BlobState]:
        return [blob_state(row) for row in self._rows("needs_of", blob.raw)]

    def needs_and_layers_of(self, blob: Digest) -> list[tuple[Digest, LayerRecord | None]]:
        """What a document needs in document order, each with the layer that it is, if it is one."""
        rows = self._rows("needs_and_layers_of", blob.raw)
        return [
            (stored_digest(row[_LAYER]), _layer(row) if row[_MEDIA_TYPE] is not None else None)
            for row in rows
        ]

    def facts_of(self, image: Digest) -> ImageFacts:
        return facts(self._of_image("facts_of", image))

    def names_between(self, low: str, high: str, most: int) -> list[Reference]:
        """References from `low` on and before `high`, the first `most`, sorted."""
        rows = self.connection.execute(STATEMENTS["names_between"], (low, high)).fetchmany(most)
        return [Reference(row[0]) for row in rows]

    def blobs_with_prefix(self, prefix: str) -> Sequence[Digest]:
        """Up to two blobs whose digest's hex digits start with `prefix`."""
        rows = self._rows("blobs_with_prefix", *digests_from(prefix))
        return [stored_digest(row[0]) for row in rows]

    def blob_state(self, blob: Digest) -> BlobState | None:
        """A blob as the index counts it, or None for one that it does not know."""
        row = self._one("blob_state", blob.raw)
        return blob_state(row) if row else None

    def stored_image(self, image: Digest) -> StoredImage:
        return stored_image(self._of_image("stored_image", image))

    def blob_size(self, blob: Digest) -> int | None:
        """Bytes as stored, or None for a blob that the index does not know."""
        row = self._one("blob_size", blob.raw)
        return row[0] if row else None

    def layer(self, blob: Digest) -> LayerRecord | None:
        """The layer with this blob digest."""
        return _layer(self._one("layer", blob.raw))

    def layer_with_diff_id(self, diff_id: Digest) -> LayerRecord | None:
        """A layer with this diff ID; the smallest where several compressions are stored."""
        return _layer(self._one("layer_with_diff_id", diff_id.raw))

    def tops_of(self, image: Digest) -> list[Descriptor]:
        """Descriptors of the manifests (or the index) that the image holds, oldest first."""
        return [descriptor(row) for row in self._rows("tops_of", image.raw)]

    def top_named(self, name: Reference) -> Descriptor | None:
        row = self._one("top_named", name)
        return descriptor(row) if row else None

    def last_tagged(self, image: Digest) -> int | None:
        value: int | None = self._one("last_tagged", image.raw)[0]
        return value

    def holders_of(self, manifest: Digest) -> list[Digest]:
        return [stored_digest(row[0]) for row in self._rows("holders_of", manifest.raw)]

    def needed_by(self, blob: Digest) -> list[Digest]:
        return [stored_digest(row[0]) for row in self._rows("needed_by", blob.raw)]

    def images_needing(self, blob: Digest) -> list[Digest]:
        found: dict[Digest, None] = dict.fromkeys(self.holders_of(blob))
        for document in dict.fromkeys(self.needed_by(blob)):
            found.update(dict.fromkeys(self.images_needing(document)))
        return list(found)

    def trash_of(self, manifest: Digest) -> list[tuple[Digest, int, int]]:
        rows = self._rows("trash_of", manifest.raw)
        return [(stored_digest(raw), entry, expires) for raw, entry, expires in rows]

    def is_pinned(self, image: Digest) -> bool:
        return self._one("is_pinned", image.raw) is not None

    def all_pins(self) -> set[Digest]:
        return {stored_digest(row[0]) for row in self.connection.execute(LISTINGS["all_pins"])}

    def meta(self, key: str) -> Any:
        """A value of the meta table, None where it is not set."""
        row = self._one("meta", key)
        return row[0] if row else None

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
            known.update(stored_digest(row[0]) for row in self._rows("known_among", *raw))
        return known

    def doomed(self) -> Iterator[Digest]:
        return (stored_digest(row[0]) for row in self.connection.execute(LISTINGS["doomed"]))


def _newest_first(image: ImageFacts) -> tuple[int, Digest]:
    # Docker compares whole seconds; an image without a date is the oldest there is.
    return (-(image.created // 1_000_000_000) if image.created is not None else 1 << 62, image.id)


def blob_state(row: Sequence[Any]) -> BlobState:
    """A blob from its row. Raises Damaged."""
    values = [*row]
    try:
        values[_KIND] = _KINDS[values[_KIND]]
    except KeyError:
        raise damaged("a blob of no known kind") from None
    if not isinstance(values[_BYTES], int):
        raise damaged("a blob whose size is no number")
    values[_DIGEST] = stored_digest(values[_DIGEST])
    return BlobState._make(values)


def facts(row: Sequence[Any], room: LabelRoom | None = None) -> ImageFacts:
    """An image from its row. Raises Damaged."""
    values = [*row]
    if not isinstance(values[_SIZE], int) or isinstance(values[_CREATED], str):
        raise damaged("an image with a size or a date that is no number")
    values[_ID] = stored_digest(values[_ID])
    if values[_PARENT] is not None:
        values[_PARENT] = stored_digest(values[_PARENT])
    values[_LABELS] = wanted_labels(decode_labels(values[_LABELS]), room)
    return ImageFacts._make(values)


def stored_image(row: Sequence[Any]) -> StoredImage:
    """All that is kept of an image, from its row."""
    return read(StoredImage, row, id=stored_digest, parent=_digest_or_none, labels=decode_labels)


def _digest_or_none(value: bytes | None) -> Digest | None:
    return stored_digest(value) if value is not None else None


def descriptor(row: Sequence[Any]) -> Descriptor:
    """A manifest or an index, from its row."""
    values = [*row]
    values[_TOP] = stored_digest(values[_TOP])
    return Descriptor._make(values)


def _layer(row: Sequence[Any] | None) -> LayerRecord | None:
    return _layer_of(row) if row is not None else None


def _layer_of(row: Sequence[Any]) -> LayerRecord:
    values = [*row]
    values[_LAYER] = stored_digest(values[_LAYER])
    values[_DIFF_ID] = stored_digest(values[_DIFF_ID])
    compression = values[_MEDIA_TYPE]
    values[_MEDIA_TYPE] = f"{_TAR}+{compression}" if compression else _TAR
    return LayerRecord._make(values)
