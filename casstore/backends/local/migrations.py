"""How casstore.db is made, and how one of an older version becomes one of this.

A new database is made as tables.py declares it. An older one gets what LATER says that it lacks,
tables as they are declared and columns with their default; then what each version after its own
does beyond that (STEPS), in their order; then the indexes that are missing, and all triggers. This
is one transaction, so that a database has one version or the other, and afterwards the upgraded
one is the same as a new one.

A step may be any SQL. It runs without triggers, for what it copies is counted already. SQLite can
add a column but not declare one otherwise, NULL where it was NOT NULL, say: that takes a new table
with the old rows (`made_again`).

A reader may write nothing. It has what an older database lacks in temporary tables, which are
empty, and temporary views, in which a new column has its default; SQLite looks there first.
"""

from __future__ import annotations

from casstore.backends.local.tables import KEPT, LATER, TABLES, WHEN_NEEDED

# ruff: noqa: S608 - all parts are constants

_DEFAULT = " DEFAULT "
_INTEGER_KEY = "INTEGER PRIMARY KEY"

# Keys of several columns. A table that has no integer key is kept in the order of its key.
KEYS = {
    "edge": "PRIMARY KEY (parent, position)",
    "holding": "PRIMARY KEY (image, manifest)",
    "subject": "PRIMARY KEY (manifest, digest)",
    "trash_holding": "PRIMARY KEY (image, manifest)",
    "trash_name": "PRIMARY KEY (image, position)",
}
INDEXES = {
    "edge_child": "edge (child)",
    "layer_diff_id": "layer (diff_id)",
    "layer_unsettled": "layer (blob) WHERE state != 1",
    "image_parent": "image (parent) WHERE parent IS NOT NULL",
    "holding_manifest": "holding (manifest)",
    "reference_image": "reference (image)",
    "lease_image": "lease (image)",
    "subject_digest": "subject (digest)",
    "trash_expires": "trash (expires)",
    "trash_image_trash": "trash_image (trash)",
    "trash_image_digest": "trash_image (digest)",
    "trash_holding_manifest": "trash_holding (manifest)",
    "trash_name_name": "trash_name (name)",
}
# No statement can change an edge without changing the count.
TRIGGERS = {
    "edge_made": "AFTER INSERT ON edge BEGIN"
    " UPDATE blob SET refcount = refcount + 1 WHERE id = new.child; END",
    "edge_gone": "AFTER DELETE ON edge BEGIN"
    " UPDATE blob SET refcount = refcount - 1 WHERE id = old.child; END",
    "holding_made": "AFTER INSERT ON holding BEGIN"
    " UPDATE blob SET refcount = refcount + 1 WHERE id = new.manifest; END",
    "holding_gone": "AFTER DELETE ON holding BEGIN"
    " UPDATE blob SET refcount = refcount - 1 WHERE id = old.manifest; END",
    "trash_holding_made": "AFTER INSERT ON trash_holding BEGIN"
    " UPDATE blob SET refcount = refcount + 1 WHERE id = new.manifest; END",
    "trash_holding_gone": "AFTER DELETE ON trash_holding BEGIN"
    " UPDATE blob SET refcount = refcount - 1 WHERE id = old.manifest; END",
    "layer_gone": "AFTER DELETE ON layer BEGIN DELETE FROM uncounted WHERE layer = old.blob; END",
}
STEPS = {
    # Layers counted without the targets of their symbolic links (backends/local/care/recount.py).
    3: "INSERT INTO uncounted SELECT blob FROM layer;",
}


def new_database() -> str:
    """What makes an empty database one of casstore's, of this version."""
    first = "INSERT INTO meta (key, value) VALUES ('generation', 0);\n"
    return "".join(map(_table, TABLES)) + _indexes_and_triggers() + first + _version()


def upgrade_from(version: int) -> str:
    """What makes a database of an older version one of this."""
    tables, added = _lacking(version)
    return "".join(
        (
            *(f"DROP TRIGGER IF EXISTS {trigger};\n" for trigger in TRIGGERS),
            *map(_table, tables),
            *map(made_when_needed, WHEN_NEEDED),
            *(
                f"ALTER TABLE {table} ADD COLUMN {column} {TABLES[table][column]};\n"
                for table, columns in added.items()
                for column in columns
            ),
            *(f"{step}\n" for later, step in sorted(STEPS.items()) if later > version),
            _indexes_and_triggers(),
            _version(),
        )
    )


def overlay_for(version: int) -> str:
    """What gives a reader of an older version all that this one has, for itself and in memory."""
    tables, added = _lacking(version)
    return "".join(
        (
            "PRAGMA temp_store = MEMORY;\n",
            *(_table(table, "TEMP TABLE") for table in (*tables, *WHEN_NEEDED)),
            *(
                f"CREATE INDEX temp.{index} ON {on};\n"
                for index, on in INDEXES.items()
                if on.partition(" ")[0] in tables
            ),
            *(_view(table, columns) for table, columns in added.items()),
        )
    )


def made_when_needed(table: str) -> str:
    """What makes a table of WHEN_NEEDED where it is missing."""
    return _table(table, "TABLE IF NOT EXISTS")


def made_again(table: str) -> str:
    """For a step: a table that was declared otherwise before, as it is declared now."""
    columns = ", ".join(TABLES[table])
    return (
        f"ALTER TABLE {table} RENAME TO {table}_before;\n{_table(table)}"
        f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {table}_before;\n"
        # a key that is never used again goes on where it was
        f"DELETE FROM sqlite_sequence WHERE name = '{table}';\n"
        f"UPDATE sqlite_sequence SET name = '{table}' WHERE name = '{table}_before';\n"
        f"DROP TABLE {table}_before;\n"
    )


def _since(version: int) -> dict[str, int]:
    """The tables and columns that came after a version, each with the version of its own."""
    found: dict[str, int] = {}
    for later, names in LATER.items():
        for name in names if later > version else ():
            table, _, column = name.partition(".")
            found[name] = later
            if column and table in KEPT:
                found[f"{KEPT[table]}.{column}"] = later
    return found


def _lacking(version: int) -> tuple[list[str], dict[str, list[str]]]:
    """The tables that a version lacks, and the columns that it lacks in tables that it has."""
    names = _since(version)
    added: dict[str, list[str]] = {}
    for name in names:
        table, _, column = name.partition(".")
        if table not in names:
            added.setdefault(table, []).append(column)
    return [name for name in names if "." not in name], added


def _table(table: str, kind: str = "TABLE") -> str:
    declared, came = TABLES[table], _since(1)
    # SQLite adds a column behind all that are there
    columns = sorted(declared, key=lambda column: came.get(f"{table}.{column}", 0))
    lines = [f"{column} {declared[column]}".rstrip() for column in columns]
    if table in KEYS:
        lines.append(KEYS[table])
    has_key = any(as_.startswith(_INTEGER_KEY) for as_ in declared.values())
    text = ",\n    ".join(lines)
    return f"CREATE {kind} {table} (\n    {text}\n){'' if has_key else ' WITHOUT ROWID'};\n"


def _view(table: str, added: list[str]) -> str:
    terms = [
        f"{as_.partition(_DEFAULT)[2] or 'NULL'} AS {column}" if column in added else column
        for column, as_ in TABLES[table].items()
    ]
    return f"CREATE TEMP VIEW {table} AS SELECT {', '.join(terms)} FROM main.{table};\n"


def _indexes_and_triggers() -> str:
    indexes = [f"CREATE INDEX IF NOT EXISTS {name} ON {on};\n" for name, on in INDEXES.items()]
    triggers = [f"CREATE TRIGGER {name} {what};\n" for name, what in TRIGGERS.items()]
    return "".join(indexes + triggers)


def _version() -> str:
    return f"PRAGMA user_version = {max(LATER)};\n"
