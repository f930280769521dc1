"""The tag index as rules see it: look-ups only, each served by an index of its table.

One SQLite snapshot: a reader begins a read transaction, a writer looks through its own changes.
"""

from __future__ import annotations

from casstore.backends.local.schema import Connection
from casstore.backends.local.statements import (
    KINDS,
    STATEMENTS,
    damaged,
    digests_from,
    places,
    stored_digest,
)
from casstore.errors import NotFound
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest
from casstore.model.reference import Reference
from casstore.model.state import Attached, BlobState, LeaseOn, Naming
from casstore.startup.parts import completed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from casstore.backends.local.listings import Listings
    from casstore.backends.local.trash import TrashTables
    from casstore.model.kept import LabelRoom, Listed, StoredImage
    from casstore.model.snapshot import Snapshot
else:
    Listings = object

_KINDS = dict(enumerate(KINDS))
_DIGEST, _KIND, _BYTES = places(BlobState, "digest", "kind", "size")
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


class LocalView(Listings):
    """Look-ups in an open casstore.db; the rules' `StoreView` and a little more."""

    if not TYPE_CHECKING:
        __getattr__ = completed(
            "backends.local.listings.Listings",
            "facts_of blobs_with_prefix blob_state needs_and_layers_of layer layer_with_diff_id "
            "holders_of needed_by images_needing trash_of all_pins all_images all_references "
            "all_names all_parents all_referrers digests all_blobs all_tops stored_bytes "
            "all_edges all_layers unsettled_layers all_leases known_among",
        )

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

    # The same, of statements that other modules have.

    def _all_of(self, statement: str, *values: Any) -> list[Any]:
        rows: list[Any] = self.connection.execute(statement, values).fetchall()
        return rows

    def _one_of(self, statement: str, *values: Any) -> Any:
        return self.connection.execute(statement, values).fetchone()

    def _of_image(self, statement: str, image: Digest) -> Any:
        """The row of an image. Raises NotFound, as another process may have removed it."""
        row = self._one_of(statement, image.raw)
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

    def stored_image(self, image: Digest) -> StoredImage:
        from casstore.backends.local.imagerows import STORED, stored_image

        return stored_image(self._of_image(STORED, image))

    def names_between(self, low: str, high: str, most: int) -> list[Reference]:
        """References from `low` on and before `high`, the first `most`, sorted."""
        rows = self.connection.execute(STATEMENTS["names_between"], (low, high)).fetchmany(most)
        return [Reference(row[0]) for row in rows]

    def blob_size(self, blob: Digest) -> int | None:
        """Bytes as stored, or None for a blob that the index does not know."""
        row = self._one("blob_size", blob.raw)
        return row[0] if row else None

    def tops_of(self, image: Digest) -> list[Descriptor]:
        """Descriptors of the manifests (or the index) that the image holds, oldest first."""
        return [descriptor(row) for row in self._rows("tops_of", image.raw)]

    def top_named(self, name: Reference) -> Descriptor | None:
        row = self._one("top_named", name)
        return descriptor(row) if row else None

    def last_tagged(self, image: Digest) -> int | None:
        value: int | None = self._one("last_tagged", image.raw)[0]
        return value

    def is_pinned(self, image: Digest) -> bool:
        return self._one("is_pinned", image.raw) is not None

    def meta(self, key: str) -> Any:
        """A value of the meta table, None where it is not set."""
        row = self._one("meta", key)
        return row[0] if row else None

    def doomed(self) -> Iterator[Digest]:
        return (stored_digest(row[0]) for row in self.connection.execute(STATEMENTS["doomed"]))


def blob_state(row: Sequence[Any]) -> BlobState:
    """A blob from its row. Raises Damaged."""
    values = [*row]
    try:
        values[_KIND] = _KINDS[values[_KIND]]
    except KeyError:
        raise damaged("a blob of no known kind") from None
    if not isinstance(values[_BYTES], int):
        raise damaged("a blob whose size is not a number")
    values[_DIGEST] = stored_digest(values[_DIGEST])
    return BlobState._make(values)


def descriptor(row: Sequence[Any]) -> Descriptor:
    """A manifest or an index, from its row."""
    values = [*row]
    values[_TOP] = stored_digest(values[_TOP])
    return Descriptor._make(values)
