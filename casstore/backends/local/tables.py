"""The tables of casstore.db, each column declared once, and how rows of them are written.

FORMAT.md explains each column. The rest goes by name: a table is made as it is declared here, and
an older database is given what it lacks (migrations.py); a query selects the fields of its record
(statements.py); a row that is written, or copied into the trash, has the columns that are declared
(`Rows`, `copy`). A field has the name of its column.

To add a column: a line in TABLES, its name in LATER under the next version, which is then
FORMAT_VERSION in schema.py, and a field of that name in the records that are to have it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casstore.startup.value import Value


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
    "event": {
        "id": "INTEGER PRIMARY KEY",
        "generation": "INTEGER NOT NULL",
        "time": "INTEGER NOT NULL",
        "action": "TEXT NOT NULL",
        "image": "BLOB",
        "name": "TEXT",
        "attributes": "TEXT NOT NULL",
    },
}
# What each version has that the one before it had not: tables, and columns of tables that it had.
LATER = {
    2: ("pin", "subject", "trash", "trash_image", "trash_holding", "trash_name"),
    3: ("uncounted",),
    4: ("image.arrived",),
    5: ("layer.state",),
}
# Tables that a database of any version may lack, and which are made when something is first written
# to them. An older casstore goes on without: nothing that it does depends on them.
WHEN_NEEDED = ("event",)
# What the trash keeps of a table, in one of its own: a column of the one is a column of the other.
KEPT = {"image": "trash_image", "holding": "trash_holding", "reference": "trash_name"}


def columns(table: str) -> tuple[str, ...]:
    """The columns of a table, less the number of a row, which SQLite gives it."""
    return tuple([name for name in TABLES[table] if name != "id"])


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
        self.statement = f"INSERT INTO {table} ({names}) VALUES ({values})"  # noqa: S608

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
