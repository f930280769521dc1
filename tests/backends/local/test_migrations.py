"""A database of any version becomes the same as a new one, or stays what it was."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from casstore.backends.local import migrations, schema, tables
from casstore.backends.local.imagerows import STORED
from casstore.backends.local.listings import LISTINGS, LOOK_UPS
from casstore.backends.local.removals import LEAVING
from casstore.backends.local.schema import FORMAT_VERSION
from casstore.backends.local.statements import STATEMENTS
from casstore.backends.local.trash import TRASH
from casstore.errors import Damaged
from casstore.model.kept import StoredImage
from tests.store.olderstores import VERSIONS, recorded, shape

EVERY_VERSION = pytest.mark.parametrize("version", VERSIONS)
NEXT = FORMAT_VERSION + 1


@pytest.fixture
def old(version: int, tmp_path: Path) -> str:
    return str(recorded(version, tmp_path) / "casstore.db")


def upgrade(path: str) -> None:
    schema.connect(path, writable=True, upgrade=True).close()


def version_of(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def shape_of_new() -> dict[str, Any]:
    with closing(schema.memory()) as connection:
        return shape(connection)


def content(connection: sqlite3.Connection) -> dict[str, list[dict[str, Any]]]:
    """The rows of every table, by the names of the columns."""
    found = {}
    names = connection.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table'")
    for (table,) in names.fetchall():
        rows = connection.execute(f"SELECT * FROM main.{table}")  # noqa: S608
        keys = [column[0] for column in rows.description]
        found[table] = [dict(zip(keys, row, strict=True)) for row in rows]
    return found


def content_of(path: str) -> dict[str, list[dict[str, Any]]]:
    with closing(sqlite3.connect(path)) as connection:
        return content(connection)


@EVERY_VERSION
def test_an_upgraded_database_is_the_same_as_a_new_one(old: str) -> None:
    upgrade(old)

    with closing(sqlite3.connect(old)) as connection:
        assert shape(connection) == shape_of_new()
        assert version_of(connection) == FORMAT_VERSION
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@EVERY_VERSION
def test_an_upgrade_keeps_every_row(old: str) -> None:
    before = content_of(old)

    upgrade(old)

    after = content_of(old)
    for table, rows in before.items():
        known = rows[0].keys() if rows else ()
        kept = [{key: row[key] for key in known} for row in after[table]]
        if table != "sqlite_sequence":  # it gains a line with the table for the trash
            assert kept == rows, table


@EVERY_VERSION
def test_an_upgrade_that_fails_leaves_the_old_database(
    old: str, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    with closing(sqlite3.connect(old)) as connection:
        before = shape(connection), content(connection)
    monkeypatch.setitem(migrations.STEPS, NEXT, "no SQL;")

    with pytest.raises(Damaged):
        upgrade_to_next(old, monkeypatch)

    with closing(sqlite3.connect(old)) as connection:
        assert (shape(connection), content(connection)) == before
        assert version_of(connection) == version


def test_the_version_that_is_opened_is_the_last_one_declared() -> None:
    assert max(tables.LATER) == FORMAT_VERSION


@pytest.mark.parametrize("version", [one for one in VERSIONS if one < FORMAT_VERSION])
def test_a_reader_sees_an_old_database_as_a_new_one_and_writes_nothing(old: str) -> None:
    before = Path(old).read_bytes()

    with closing(schema.connect(old, writable=False)) as connection:
        assert not schema.is_current(connection)
        for statement in (*(STATEMENTS | LOOK_UPS | LISTINGS | TRASH).values(), STORED):
            if statement.startswith("SELECT"):
                connection.execute(statement, [0] * statement.count("?")).fetchall()
        for table, columns in tables.TABLES.items():
            rows = connection.execute(f"SELECT {', '.join(columns)} FROM {table}")  # noqa: S608
            assert len(rows.fetchall()) == len(content_of(old).get(table, ())), table
    assert Path(old).read_bytes() == before


@EVERY_VERSION
def test_a_private_copy_of_an_old_database_is_the_same_as_a_new_one(old: str) -> None:
    from casstore.backends.local.snapshot import private_copy

    with closing(schema.connect(old, writable=False)) as connection:
        copy = private_copy(connection)
    with closing(copy):
        assert shape(copy) == shape_of_new()


# What a later version may add


def upgrade_to_next(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tables.LATER, NEXT, tables.LATER.get(NEXT, ()))
    monkeypatch.setattr(schema, "FORMAT_VERSION", NEXT)
    upgrade(path)


@pytest.fixture
def a_column_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images, and those in the trash, have a column `seen`, and names a column `times`."""
    for table, column, declared in (
        ("image", "seen", "INTEGER"),
        ("trash_image", "seen", "INTEGER"),
        ("reference", "times", "INTEGER NOT NULL DEFAULT 7"),
        ("trash_name", "times", "INTEGER NOT NULL DEFAULT 7"),
    ):
        monkeypatch.setitem(tables.TABLES, table, _with(tables.TABLES[table], column, declared))
    monkeypatch.setitem(tables.LATER, NEXT, ("image.seen", "reference.times"))
    monkeypatch.setattr(schema, "FORMAT_VERSION", NEXT)


def _with(declared: dict[str, str], column: str, as_: str) -> dict[str, str]:
    """A table with a column that is declared in the midst of the others, as in a copy."""
    first, *others = declared.items()
    return dict([first, (column, as_), *others])


@EVERY_VERSION
@pytest.mark.usefixtures("a_column_more")
def test_a_column_that_is_declared_is_in_a_new_database_and_in_an_upgraded_one(old: str) -> None:
    upgrade(old)

    with closing(sqlite3.connect(old)) as connection:
        assert shape(connection) == shape_of_new()
        assert "seen" in shape_of_new()["table trash_image"][0]
        assert set(connection.execute("SELECT seen FROM image")) == {(None,)}
        assert set(connection.execute("SELECT times FROM reference")) == {(7,)}


@EVERY_VERSION
@pytest.mark.usefixtures("a_column_more")
def test_a_reader_of_an_older_version_sees_a_new_column_with_its_default(old: str) -> None:
    images = len(content_of(old)["image"])

    with closing(schema.connect(old, writable=False)) as connection:
        assert connection.execute("SELECT seen FROM image").fetchall() == [(None,)] * images
        assert set(connection.execute("SELECT times FROM reference")) == {(7,)}
        kept = connection.execute(
            "SELECT seen, times FROM trash_image AS kept JOIN trash_name ON image = kept.id"
        )
        assert set(kept) <= {(None, 7)}


@EVERY_VERSION
@pytest.mark.usefixtures("a_column_more")
def test_a_reader_of_an_older_version_reads_no_whole_table_either(old: str) -> None:
    with closing(schema.connect(old, writable=False)) as connection:
        for name, statement in (STATEMENTS | LOOK_UPS | LEAVING | TRASH).items():
            if statement.startswith("SELECT") and name not in ("any_doomed", "doomed"):
                plan = connection.execute(
                    f"EXPLAIN QUERY PLAN {statement}", [None] * statement.count("?")
                ).fetchall()
                assert not [step[3] for step in plan if step[3].startswith("SCAN ")], name


@EVERY_VERSION
def test_a_step_can_declare_a_column_otherwise(old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        tables.TABLES, "layer", tables.TABLES["layer"] | {"diff_id": "BLOB", "diff_size": "INTEGER"}
    )
    monkeypatch.setitem(tables.TABLES, "blob", tables.TABLES["blob"] | {"size": "INTEGER"})
    step = migrations.made_again("layer") + migrations.made_again("blob")
    monkeypatch.setitem(migrations.STEPS, NEXT, step)
    before = content_of(old)

    upgrade_to_next(old, monkeypatch)

    with closing(sqlite3.connect(old)) as connection:
        assert shape(connection) == shape_of_new()
        after = content(connection)
        came_later = {name: 1 for name in ("state",) if name not in before["layer"][0]}
        layers = [row | came_later for row in before["layer"]]
        assert (after["layer"], after["blob"]) == (layers, before["blob"])
        connection.execute("UPDATE layer SET diff_id = NULL, diff_size = NULL")
        connection.execute("INSERT OR IGNORE INTO uncounted SELECT blob FROM layer")
        connection.execute("DELETE FROM layer")
        assert connection.execute("SELECT count(*) FROM uncounted").fetchone() == (0,)


@pytest.mark.parametrize("version", [3])
def test_a_number_that_is_never_used_again_is_not_after_a_table_was_made_again(
    old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(migrations.STEPS, NEXT, migrations.made_again("trash"))
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("DELETE FROM trash WHERE id = (SELECT max(id) FROM trash)")
        connection.commit()

    upgrade_to_next(old, monkeypatch)

    with closing(sqlite3.connect(old)) as connection:
        new = connection.execute("INSERT INTO trash (removed, expires) VALUES (0, 0)").lastrowid
        assert new == 3


# What follows from a declaration


def test_the_record_of_an_image_has_the_columns_of_its_table() -> None:
    as_fields = {"digest": "id"}
    declared = {as_fields.get(name, name) for name in tables.columns("image")}

    assert set(StoredImage._fields) == declared


@pytest.mark.parametrize("copied", tables.KEPT)
def test_the_trash_has_every_column_of_what_it_keeps(copied: str) -> None:
    kept = tables.KEPT[copied]

    assert set(tables.columns(copied)) <= set(tables.columns(kept))


@pytest.mark.parametrize(
    "name", ["keep_image", "keep_name", "keep_named", "put_image", "put_name", "put_holding"]
)
def test_what_is_written_into_the_trash_has_all_its_columns(name: str) -> None:
    into = re.search(r"INTO (\w+) \(([^)]*)\)", TRASH[name])

    assert into is not None
    assert set(into[2].split(", ")) == set(tables.columns(into[1]))


def test_a_version_adds_what_is_declared() -> None:
    for name in [name for names in tables.LATER.values() for name in names]:
        table, _, column = name.partition(".")
        assert not column or column in tables.TABLES[table]
