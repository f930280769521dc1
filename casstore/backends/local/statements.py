"""The look-ups of everyday commands, each served by an index of its table; and how all are made.

A query selects the fields of its record, in their order (`fields`). What other commands ask is in
listings.py, which an everyday command does not load.
"""

from __future__ import annotations

from casstore.errors import Damaged
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest
from casstore.model.state import BlobState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeVar

    from casstore.startup.value import Value

    Record = TypeVar("Record", bound=Value)

# What a blob is to the image that holds it; the order is the number in blob.kind.
KINDS = ("index", "manifest", "config", "layer", "other")
# Before a name, as a key of meta: how another tool wrote it, where that is not its familiar form.
WRITTEN = "written."


def fields(record: type[Value], table: str, **instead: str) -> str:
    """What a query selects of a record: columns of the table, or the terms given instead."""
    return ", ".join([instead.get(name) or f"{table}.{name}" for name in record._fields])


def places(record: type[Value], *names: str) -> tuple[int, ...]:
    """Where in such a row some of the fields are."""
    return tuple([record._fields.index(name) for name in names])


def read(record: type[Record], row: Sequence[Any], **decoded: Callable[[Any], Any]) -> Record:
    """The record of such a row, some of its fields decoded.

    What comes by the million is read with `places`, which costs half.
    """
    told = dict(zip(record._fields, row, strict=True))
    for name, decode in decoded.items():
        told[name] = decode(told[name])
    return record._make(told.values())


def stored_digest(raw: Any) -> Digest:
    """A digest from its column. Raises Damaged."""
    try:
        return Digest.of_bytes(raw)
    except AttributeError:
        raise damaged("something else in the place of a digest") from None


def digests_from(prefix: str) -> tuple[bytes, bytes]:
    """The lowest and the highest digest whose hex digits start so; of other text, none between."""
    try:
        return bytes.fromhex(prefix.ljust(64, "0")), bytes.fromhex(prefix.ljust(64, "f"))
    except ValueError:
        return b"\1", b"\0"


def damaged(what: str) -> Damaged:
    """An error of an index that has something in it that no casstore writes."""
    return Damaged(f"casstore.db has {what}; run: casstore fsck --rebuild")


# ruff: noqa: S608 - all parts are constants
# What is selected of the records that are read here and there.
STATE = fields(
    BlobState, "blob", file_bytes="ifnull(layer.file_bytes, 0)", state="ifnull(layer.state, 1)"
)
TOP = fields(Descriptor, "blob", media_type="holding.media_type")
STATES = f"SELECT {STATE} FROM {{}} LEFT JOIN layer ON layer.blob = blob.id WHERE {{}}"

# Every statement by its name, so that a test can show the plan of each.
STATEMENTS = {
    "image_named": "SELECT image.digest FROM reference JOIN image ON image.id = reference.image"
    " WHERE reference.name = ?",
    "has_image": "SELECT 1 FROM image WHERE digest = ?",
    "images_with_prefix": "SELECT digest FROM image WHERE digest BETWEEN ? AND ? LIMIT 2",
    "references_of": "SELECT reference.name, blob.digest FROM image"
    " JOIN reference ON reference.image = image.id JOIN blob ON blob.id = reference.manifest"
    " WHERE image.digest = ? ORDER BY reference.id",
    "parent_of": "SELECT parent.digest FROM image JOIN image AS parent ON parent.id = image.parent"
    " WHERE image.digest = ?",
    "children_of": "SELECT child.digest FROM image JOIN image AS child ON child.parent = image.id"
    " WHERE image.digest = ? ORDER BY child.id",
    "leases_on": "SELECT lease.name FROM image JOIN lease ON lease.image = image.id"
    " WHERE image.digest = ? AND (expires IS NULL OR expires > ?) ORDER BY lease.name",
    "manifests_of": STATES.format(
        "image JOIN holding ON holding.image = image.id JOIN blob ON blob.id = holding.manifest",
        "image.digest = ?",
    ),
    "needs_of": STATES.format(
        "blob AS document JOIN edge ON edge.parent = document.id JOIN blob ON blob.id = edge.child",
        "document.digest = ? ORDER BY edge.position",
    ),
    "blob_size": "SELECT size FROM blob WHERE digest = ?",
    "tops_of": f"SELECT {TOP} FROM image"
    " JOIN holding ON holding.image = image.id JOIN blob ON blob.id = holding.manifest"
    " WHERE image.digest = ? ORDER BY blob.id",
    "top_named": f"SELECT {TOP} FROM reference"
    " JOIN blob ON blob.id = reference.manifest"
    " JOIN holding ON holding.image = reference.image AND holding.manifest = reference.manifest"
    " WHERE reference.name = ?",
    "last_tagged": "SELECT max(reference.tagged) FROM image"
    " JOIN reference ON reference.image = image.id WHERE image.digest = ?",
    "referrers_of": "SELECT image.digest FROM subject"
    " JOIN holding ON holding.manifest = subject.manifest JOIN image ON image.id = holding.image"
    " WHERE subject.digest = ? ORDER BY image.id",
    "subjects_of": "SELECT blob.digest FROM image JOIN holding ON holding.image = image.id"
    " JOIN subject ON subject.manifest = holding.manifest"
    " JOIN blob ON blob.digest = subject.digest WHERE image.digest = ? ORDER BY blob.id",
    "meta": "SELECT value FROM meta WHERE key = ?",
    "names_between": "SELECT name FROM reference WHERE name >= ? AND name < ? ORDER BY name",
    "is_pinned": "SELECT 1 FROM image JOIN pin ON pin.image = image.id WHERE image.digest = ?",
    # A whole table, which is nearly always empty.
    "doomed": "SELECT digest FROM doomed ORDER BY digest",
}
