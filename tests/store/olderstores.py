"""Stores of older format versions: recorded ones, and any store as that version would have it.

fixtures/stores/ has a store of each version, written by the casstore of its time.
"""

from __future__ import annotations

import os
import re
import sqlite3
import tarfile
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from casstore.backends.local import schema
from casstore.backends.local.schema import FORMAT_VERSION

if TYPE_CHECKING:
    from casstore import Store

STORES = Path(__file__).parents[2] / "fixtures" / "stores"
VERSIONS = (1, 2, 3, 4)
OLDER = tuple(version for version in VERSIONS if version < FORMAT_VERSION)


def recorded(version: int, folder: Path) -> Path:
    """A recorded store, unpacked into a folder."""
    with tarfile.open(STORES / f"version-{version}.tar.gz") as tar:
        # as an attribute, which Python 3.11.3 and older do not look at, where an argument fails
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(folder)  # noqa: S202 - an archive of our own
    return folder / "store"


@cache
def schema_of(version: int) -> tuple[tuple[str, str, str], ...]:
    """Type, name and SQL of all that a database of that version has."""
    with tempfile.TemporaryDirectory() as folder:
        path = recorded(version, Path(folder)) / "casstore.db"
        with closing(sqlite3.connect(path)) as connection:
            rows = connection.execute(
                "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND"
                " name != 'sqlite_sequence' ORDER BY type != 'table', type != 'index', name"
            )
            return tuple(rows.fetchall())


def shape(connection: sqlite3.Connection) -> dict[str, Any]:
    """The schema as SQLite understands it, and as SQL but for blanks and quotation marks."""
    found: dict[str, Any] = {}
    for kind, name, sql in connection.execute("SELECT type, name, sql FROM main.sqlite_schema"):
        text = re.sub(r"\s*([(),;])\s*", r"\1", re.sub(r"\s+", " ", sql or "")).replace('"', "")
        info = "table_xinfo" if kind == "table" else "index_xinfo"
        rows = connection.execute(f"PRAGMA main.{info}({name})").fetchall()
        found[f"{kind} {name}"] = text, rows
    return found


@cache
def shape_of(version: int) -> dict[str, Any]:
    """The shape of a database of that version."""
    with closing(schema.memory()) as connection:
        if version < FORMAT_VERSION:
            with tempfile.TemporaryDirectory() as folder:
                path = recorded(version, Path(folder)) / "casstore.db"
                with closing(sqlite3.connect(path)) as older:
                    return shape(older)
        return shape(connection)


def half_upgraded(connection: sqlite3.Connection) -> str:
    """What a database has that its version has not; nothing if it is whole of one version."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in (*VERSIONS, FORMAT_VERSION):
        return ""  # not made yet, or no database of ours
    here, there = shape(connection), shape_of(version)
    differing = [name for name in here.keys() | there.keys() if here.get(name) != there.get(name)]
    return f"not of version {version}: {', '.join(sorted(differing))}" if differing else ""


def make_older(store: Store, version: int = 1) -> None:
    """Give a store the database that a casstore of that version would have left."""
    store.close()
    path = os.path.join(store.path, "casstore.db")
    older = path + "-older"
    with closing(sqlite3.connect(older, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("ATTACH ? AS today", (path,))
        (application,) = connection.execute("PRAGMA today.application_id").fetchone()
        connection.execute(f"PRAGMA application_id = {application}")
        connection.execute(f"PRAGMA user_version = {version}")
        for kind, name, sql in schema_of(version):
            connection.execute(sql)
            if kind == "table":
                columns = ", ".join(
                    row[1] for row in connection.execute(f"PRAGMA main.table_info({name})")
                )
                connection.execute(
                    f"INSERT INTO main.{name} ({columns}) SELECT {columns} FROM today.{name}"  # noqa: S608
                )
        connection.execute("DELETE FROM main.sqlite_sequence")
        connection.execute(
            "INSERT INTO main.sqlite_sequence SELECT name, seq FROM today.sqlite_sequence"
            " WHERE name IN (SELECT name FROM main.sqlite_schema)"
        )
    for extra in ("-wal", "-shm"):
        Path(path + extra).unlink(missing_ok=True)
    os.replace(older, path)
