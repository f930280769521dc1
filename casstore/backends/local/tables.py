"""The tables of casstore.db, each column declared once, and the look-ups that follow from them.

FORMAT.md explains each column. The rest goes by name: a table is made as it is declared here, and
an older database is given what it lacks (migrations.py); a query selects the fields of its record,
in their order (`fields`); a row that is written, or copied into the trash, has the columns that are
declared (`Rows`, `copy`). A field has the name of its column.

To add a column: a line in TABLES, its name in LATER under the next version, which is then
FORMAT_VERSION in schema.py, and a field of that name in the records that are to have it.
"""

from __future__ import annotations

from casstore.errors import Damaged
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest
from casstore.model.state import BlobState, ImageFacts, LayerRecord, StoredImage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, TypeVar

    from casstore.startup.value import Value

    Record = TypeVar("Record", bound=Value)

# What a blob is to the image that holds it; the order is the number in blob.kind.
KINDS = ("index", "manifest", "config", "layer", "other")
# Before a name, as a key of meta: how another tool wrote it, where that is not its familiar form.
WRITTEN = "written."
LABEL_SEPARATOR = "\x00"  # between keys and values of image.labels


def _kept(table: dict[str, str], **otherwise: str) -> dict[str, str]:
    """A table's columns as the trash has them: not the key, and some declared otherwise."""
    return {name: otherwise.get(name, as_) for name, as_ in table.items() if name != "id"}


_IMAGE = {
    "id": "INTEGER PRIMARY KEY",
    "digest": "BLOB NOT NULL UNIQUE",
    "parent": "INTEGER",
    "created": "INTEGER",
    "size": "INTEGER NOT NULL",
    "os": "TEXT NOT NULL",
    "architecture": "TEXT NOT NULL",
    "variant": "TEXT NOT NULL",
    "labels": "TEXT",
    "arrived": "INTEGER",
}
_HOLDING = {
    "image": "INTEGER NOT NULL",
    "manifest": "INTEGER NOT NULL",
    "media_type": "TEXT NOT NULL",
}
_REFERENCE = {
    "id": "INTEGER PRIMARY KEY AUTOINCREMENT",
    "name": "TEXT NOT NULL UNIQUE",
    "image": "INTEGER NOT NULL",
    "manifest": "INTEGER NOT NULL",
    "tagged": "INTEGER NOT NULL",
}
# Digests are 32-byte blobs behind integer ids: half the file and twice the speed of hex text at a
# million blobs. The counts are kept by triggers (migrations.py).
TABLES = {
    "meta": {"key": "TEXT PRIMARY KEY", "value": ""},
    "blob": {
        "id": "INTEGER PRIMARY KEY",
        "digest": "BLOB NOT NULL UNIQUE",
        "size": "INTEGER NOT NULL",
        "kind": "INTEGER NOT NULL",
        "refcount": "INTEGER NOT NULL DEFAULT 0",
    },
    "edge": {
        "parent": "INTEGER NOT NULL",
        "position": "INTEGER NOT NULL",
        "child": "INTEGER NOT NULL",
    },
    "layer": {
        "blob": "INTEGER PRIMARY KEY",
        "compression": "TEXT NOT NULL",
        "diff_id": "BLOB NOT NULL",
        "diff_size": "INTEGER NOT NULL",
        "file_bytes": "INTEGER NOT NULL",
        "state": "INTEGER NOT NULL DEFAULT 1",
    },
    "image": _IMAGE,
    "holding": _HOLDING,
    "reference": _REFERENCE,
    "lease": {"name": "TEXT PRIMARY KEY", "image": "INTEGER NOT NULL", "expires": "INTEGER"},
    "doomed": {"digest": "BLOB PRIMARY KEY"},
    "pin": {"image": "INTEGER PRIMARY KEY"},
    "subject": {"manifest": "INTEGER NOT NULL", "digest": "BLOB NOT NULL"},
    "trash": {
        "id": "INTEGER PRIMARY KEY AUTOINCREMENT",
        "removed": "INTEGER NOT NULL",
        "expires": "INTEGER NOT NULL",
    },
    "trash_image": {
        "id": "INTEGER PRIMARY KEY",
        "trash": "INTEGER NOT NULL",
        **_kept(_IMAGE, digest="BLOB NOT NULL", parent="BLOB"),
        "pinned": "INTEGER NOT NULL",
    },
    "trash_holding": _kept(_HOLDING),
    "trash_name": {
        "image": "INTEGER NOT NULL",
        "position": "INTEGER NOT NULL",
        **_kept(_REFERENCE, name="TEXT NOT NULL"),
    },
    "uncounted": {"layer": "INTEGER PRIMARY KEY"},
}
# What each version has that the one before it had not: tables, and columns of tables that it had.
LATER = {
    2: ("pin", "subject", "trash", "trash_image", "trash_holding", "trash_name"),
    3: ("uncounted",),
    4: ("image.arrived",),
    5: ("layer.state",),
}
# What the trash keeps of a table, in one of its own: a column of the one is a column of the other.
KEPT = {"image": "trash_image", "holding": "trash_holding", "reference": "trash_name"}


def columns(table: str) -> tuple[str, ...]:
    """The columns of a table, less the number of a row, which SQLite gives it."""
    return tuple([name for name in TABLES[table] if name != "id"])


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


class Rows:
    """How records of one kind are written as rows of a table.

    Some columns are given for each row, because the record has them in another form or not at all;
    the others are its fields.
    """

    __slots__ = ("_at", "statement")

    def __init__(self, table: str, record: type[Value], *given: str, **terms: str) -> None:
        """Say how.

        Args:
            given: columns, in the order in which `row` gets their values.
            terms: what is written of a value, where it is not the value itself.
        """
        fields = record._fields
        others = [name for name in columns(table) if name in fields and name not in given]
        self._at = [fields.index(name) for name in others]
        values = ", ".join([terms.get(name, "?") for name in (*given, *others)])
        names = ", ".join((*given, *others))
        self.statement = f"INSERT INTO {table} ({names}) VALUES ({values})"

    def row(self, record: tuple[Any, ...], *given: Any) -> tuple[Any, ...]:
        """What `statement` writes of a record."""
        return (*given, *map(record.__getitem__, self._at))


def copy(table: str, source: str, **instead: str) -> str:
    """What copies rows of one table into another that has its columns, but for the terms given."""
    names = columns(table)
    terms = ", ".join([instead.get(name) or f"{source}.{name}" for name in names])
    return f"INSERT INTO {table} ({', '.join(names)}) SELECT {terms}"


def unless_there(statement: str) -> str:
    """The same, where a row with that key may be there: then that one stays."""
    return statement.replace("INSERT", "INSERT OR IGNORE", 1)


def encode_labels(labels: Iterable[tuple[str, str]]) -> str | bytes | None:
    """Labels as a column has them: one text, or a blob of JSON where a NUL is in one of them."""
    parts = [part for pair in labels for part in pair]
    if LABEL_SEPARATOR not in "".join(parts):
        return LABEL_SEPARATOR.join(parts) if parts else None
    import json

    return json.dumps(parts).encode()


def decode_labels(value: str | bytes | None) -> tuple[tuple[str, str], ...]:
    """Labels from such a column. Raises Damaged."""
    try:
        if isinstance(value, bytes):
            import json

            parts = iter(json.loads(value))
        else:
            parts = iter(value.split(LABEL_SEPARATOR) if value is not None else ())
    except (ValueError, TypeError, AttributeError):
        raise damaged("labels that cannot be read") from None
    return tuple(zip(parts, parts, strict=False))


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
FACTS = fields(ImageFacts, "image", id="image.digest", parent="parent.digest")
LAYER = fields(
    LayerRecord, "layer", digest="blob.digest", size="blob.size", media_type="layer.compression"
)
STATE = fields(
    BlobState, "blob", file_bytes="ifnull(layer.file_bytes, 0)", state="ifnull(layer.state, 1)"
)
TOP = fields(Descriptor, "blob", media_type="holding.media_type")

_UNLABELLED = fields(ImageFacts, "image", id="image.digest", parent="parent.digest", labels="NULL")
_STORED = fields(StoredImage, "image", id="image.digest", parent="parent.digest")
_AND_PARENT = "FROM image LEFT JOIN image AS parent ON parent.id = image.parent"
_LAYER = f"SELECT {LAYER} FROM {{}}"
_STATE = f"SELECT {STATE} FROM {{}} LEFT JOIN layer ON layer.blob = blob.id WHERE {{}}"

# Records of index.json: name, media type, digest, size, parent, id of the reference, pinned.
PUBLISHED_NAMES = (
    "SELECT reference.name, holding.media_type, blob.digest, blob.size, parent.digest, reference.id"
    f", image.id IN pin, (SELECT value FROM meta WHERE key = '{WRITTEN}' || reference.name)"
    " FROM reference JOIN image ON image.id = reference.image"
    " JOIN holding ON holding.image = image.id AND holding.manifest = reference.manifest"
    " JOIN blob ON blob.id = reference.manifest"
    " LEFT JOIN image AS parent ON parent.id = image.parent {} ORDER BY reference.id"
)
PUBLISHED_NAMELESS = (
    "SELECT NULL, holding.media_type, blob.digest, blob.size, parent.digest, 0, image.id IN pin"
    ", NULL FROM image JOIN holding ON holding.image = image.id"
    " JOIN blob ON blob.id = holding.manifest LEFT JOIN image AS parent ON parent.id = image.parent"
    " WHERE {} NOT EXISTS (SELECT 1 FROM reference WHERE reference.image = image.id"
    " AND reference.manifest = blob.id) ORDER BY image.id, blob.id"
)

BLOBS_AT_ONCE = 500  # that one statement looks up
_AMONG = "SELECT digest FROM blob WHERE digest IN ({})"

_CHILDREN = (
    "FROM edge JOIN blob AS document ON document.id = edge.parent JOIN blob ON blob.id = edge.child"
)

# Every statement by its name, so that a test can show the plan of each.
STATEMENTS = {
    "known_among": _AMONG.format(",".join("?" * BLOBS_AT_ONCE)),
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
    "manifests_of": _STATE.format(
        "image JOIN holding ON holding.image = image.id JOIN blob ON blob.id = holding.manifest",
        "image.digest = ?",
    ),
    "needs_of": _STATE.format(
        "blob AS document JOIN edge ON edge.parent = document.id JOIN blob ON blob.id = edge.child",
        "document.digest = ? ORDER BY edge.position",
    ),
    "needs_and_layers_of": _LAYER.format(
        "blob AS document JOIN edge ON edge.parent = document.id JOIN blob ON blob.id = edge.child"
        " LEFT JOIN layer ON layer.blob = blob.id WHERE document.digest = ? ORDER BY edge.position"
    ),
    "blob_size": "SELECT size FROM blob WHERE digest = ?",
    "layer": _LAYER.format("blob JOIN layer ON layer.blob = blob.id WHERE blob.digest = ?"),
    "layer_with_diff_id": _LAYER.format(
        "layer JOIN blob ON blob.id = layer.blob WHERE diff_id = ? AND state = 1"
        " ORDER BY blob.size LIMIT 1"
    ),
    "tops_of": f"SELECT {TOP} FROM image"
    " JOIN holding ON holding.image = image.id JOIN blob ON blob.id = holding.manifest"
    " WHERE image.digest = ? ORDER BY blob.id",
    "top_named": f"SELECT {TOP} FROM reference"
    " JOIN blob ON blob.id = reference.manifest"
    " JOIN holding ON holding.image = reference.image AND holding.manifest = reference.manifest"
    " WHERE reference.name = ?",
    "last_tagged": "SELECT max(reference.tagged) FROM image"
    " JOIN reference ON reference.image = image.id WHERE image.digest = ?",
    "holders_of": "SELECT image.digest FROM holding JOIN blob ON blob.id = holding.manifest"
    " JOIN image ON image.id = holding.image WHERE blob.digest = ? ORDER BY image.id",
    "needed_by": "SELECT document.digest FROM blob JOIN edge ON edge.child = blob.id"
    " JOIN blob AS document ON document.id = edge.parent WHERE blob.digest = ?"
    " ORDER BY document.id",
    "facts_of": f"SELECT {FACTS} {_AND_PARENT} WHERE image.digest = ?",
    "stored_image": f"SELECT {_STORED} {_AND_PARENT} WHERE image.digest = ?",
    "referrers_of": "SELECT image.digest FROM subject"
    " JOIN holding ON holding.manifest = subject.manifest JOIN image ON image.id = holding.image"
    " WHERE subject.digest = ? ORDER BY image.id",
    "subjects_of": "SELECT blob.digest FROM image JOIN holding ON holding.image = image.id"
    " JOIN subject ON subject.manifest = holding.manifest"
    " JOIN blob ON blob.digest = subject.digest WHERE image.digest = ? ORDER BY blob.id",
    "meta": "SELECT value FROM meta WHERE key = ?",
    "names_between": "SELECT name FROM reference WHERE name >= ? AND name < ? ORDER BY name",
    "blobs_with_prefix": "SELECT digest FROM blob WHERE digest BETWEEN ? AND ? LIMIT 2",
    "trash_of": "SELECT trash_image.digest, trash.id, trash.expires FROM blob"
    " JOIN trash_holding ON trash_holding.manifest = blob.id"
    " JOIN trash_image ON trash_image.id = trash_holding.image"
    " JOIN trash ON trash.id = trash_image.trash WHERE blob.digest = ? ORDER BY trash.id",
    "is_pinned": "SELECT 1 FROM image JOIN pin ON pin.image = image.id WHERE image.digest = ?",
    "blob_state": _STATE.format("blob", "blob.digest = ?"),
}

# Statements that read whole tables on purpose: listings and checks.
LISTINGS = {
    "all_images": f"SELECT {FACTS} {_AND_PARENT}",
    "all_images_without_labels": f"SELECT {_UNLABELLED} {_AND_PARENT}",
    "all_references": "SELECT image.digest, reference.name FROM reference"
    " JOIN image ON image.id = reference.image ORDER BY reference.id",
    "all_parents": "SELECT DISTINCT parent.digest FROM image"
    " JOIN image AS parent ON parent.id = image.parent",
    "all_tops": f"SELECT image.digest, {TOP} FROM holding"
    " JOIN image ON image.id = holding.image JOIN blob ON blob.id = holding.manifest"
    " ORDER BY image.id, blob.id",
    "all_published_names": PUBLISHED_NAMES.format(""),
    "all_published_nameless": PUBLISHED_NAMELESS.format(""),
    "count_blobs": "SELECT count(*) FROM blob",
    # Bytes, whatever there is: a digest that is none has a file that is not known.
    "digests": "SELECT CAST(digest AS BLOB) FROM blob",  # from the index of that column alone
    "all_blobs": _STATE.format("blob", "1 ORDER BY blob.id"),
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
    "doomed": "SELECT digest FROM doomed ORDER BY digest",
}
