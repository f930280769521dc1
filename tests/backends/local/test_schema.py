"""casstore.db: no statement of the hot path reads a whole table; what is not ours is refused."""

from __future__ import annotations

import gc
import re
import sqlite3
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from casstore.backends.local import schema
from casstore.backends.local.edits import EDITS
from casstore.backends.local.removals import LEAVING
from casstore.backends.local.tables import STATEMENTS
from casstore.backends.local.trash import TRASH
from casstore.errors import Damaged, NotAStore, StorageError

# The whole of a table that holds only what one change touches, or the leases.
SMALL = {"forget_doomed", "any_doomed", "drop_expired"}


@pytest.mark.parametrize("name", sorted((STATEMENTS | EDITS | LEAVING | TRASH).keys() - SMALL))
def test_no_statement_reads_a_whole_table(name: str) -> None:
    statement = (STATEMENTS | EDITS | LEAVING | TRASH)[name]
    with closing(schema.memory()) as connection:
        plan = connection.execute(
            f"EXPLAIN QUERY PLAN {statement}", [None] * statement.count("?")
        ).fetchall()

    steps = [step[3] for step in plan]
    assert not [step for step in steps if re.match("SCAN (?!CONSTANT)", step)]


def test_a_new_database_is_opened_for_writing(tmp_path: Path) -> None:
    path = str(tmp_path / "casstore.db")
    schema.create(path)

    with closing(schema.connect(path, writable=True)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "casstore.db")
    schema.create(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {schema.FORMAT_VERSION + 1}")

    with pytest.raises(NotAStore, match="use a newer casstore"):
        schema.connect(path, writable=True)


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000])
def test_what_is_no_database_of_ours_is_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "casstore.db"
    path.write_bytes(content)

    with pytest.raises(Damaged):
        schema.connect(str(path), writable=True)


def test_a_count_follows_what_the_trash_holds() -> None:
    with closing(schema.memory()) as connection:
        connection.execute("INSERT INTO blob (id, digest, size, kind) VALUES (1, x'01', 1, 1)")
        connection.execute("INSERT INTO trash_holding VALUES (5, 1, 'x'), (6, 1, 'x')")
        connection.execute("DELETE FROM trash_holding WHERE image = 5")

        assert connection.execute("SELECT refcount FROM blob").fetchone()[0] == 1


def test_a_count_follows_its_edges() -> None:
    with closing(schema.memory()) as connection:
        connection.execute("INSERT INTO blob (id, digest, size, kind) VALUES (1, x'01', 1, 3)")
        connection.execute("INSERT INTO edge VALUES (2, 0, 1), (2, 1, 1)")
        connection.execute("INSERT INTO holding VALUES (5, 1, 'x')")
        connection.execute("DELETE FROM edge WHERE position = 0")

        assert connection.execute("SELECT refcount FROM blob").fetchone()[0] == 2


def test_a_connection_that_nobody_holds_any_more_was_closed() -> None:
    # a plain one warns of itself, from Python 3.13 on
    closed = []

    class Told(schema.Connection):
        def close(self) -> None:
            closed.append(True)
            super().close()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        connection = sqlite3.connect(":memory:", factory=Told)
        connection.execute("SELECT 1")
        del connection
        gc.collect()

    assert closed == [True]


def test_a_connection_that_could_not_be_opened_ends_without_a_word(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StorageError):
        schema.connect(str(tmp_path / "none" / "casstore.db"), writable=True)
    gc.collect()

    assert capfd.readouterr().err == ""


def test_damage_that_sqlite_cannot_quote_as_text_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "casstore.db"
    schema.create(str(path))
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE blob", b"CREATE\xc0TABLE blob", 1))

    with pytest.raises(Damaged, match="is damaged"):
        schema.connect(str(path), writable=True)


def rows_beyond_a_damaged_page(path: str) -> schema.Connection:
    """A connection to a database of which SQLite reads the first rows, and then no more."""
    schema.create(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("CREATE TABLE row (text)")
        connection.executemany("INSERT INTO row VALUES (?)", [("x" * 1000,)] * 50)
        connection.commit()
    with open(path, "r+b") as file:
        file.seek(-2 * 4096, 2)
        file.write(b"\xff" * 4096)
    return schema.connect(path, writable=False)


@pytest.mark.parametrize(
    "read",
    [
        lambda rows: rows.fetchall(),
        lambda rows: rows.fetchmany(50),
        lambda rows: [rows.fetchone() for _ in range(50)],
        list,
        lambda rows: list(map(str, rows)),
    ],
)
def test_damage_that_sqlite_meets_between_two_rows_is_told_as_damage(
    tmp_path: Path, read: Callable[[sqlite3.Cursor], object]
) -> None:
    with closing(rows_beyond_a_damaged_page(str(tmp_path / "casstore.db"))) as connection:
        rows = connection.execute("SELECT text FROM row")

        with pytest.raises(Damaged, match="fsck --rebuild"):
            read(rows)


def test_a_cursor_of_its_own_tells_damage_too(tmp_path: Path) -> None:
    database = rows_beyond_a_damaged_page(str(tmp_path / "casstore.db"))
    with closing(database) as connection, pytest.raises(Damaged):
        connection.cursor().execute("SELECT sum(length(text)) FROM row")


def test_a_cursor_gives_its_rows_in_order_however_it_is_asked() -> None:
    with closing(schema.in_memory()) as connection:
        rows = connection.execute("VALUES (1), (2), (3), (4)")

        assert rows.fetchone() == (1,)
        assert rows.fetchmany(2) == [(2,), (3,)]
        assert list(rows) == [(4,)]
        assert rows.fetchone() is None
