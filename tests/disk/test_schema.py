"""casstore.db: no statement of the hot path reads a whole table; what is not ours is refused."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from casstore.disk import schema
from casstore.disk.sqliteindex import EDITS
from casstore.disk.sqliteview import STATEMENTS
from casstore.errors import Damaged, NotAStore

# The whole of a table that holds only what one change touches, or the leases.
SMALL = {"forget_doomed", "drop_expired"}


@pytest.mark.parametrize("name", sorted((STATEMENTS | EDITS).keys() - SMALL))
def test_no_statement_reads_a_whole_table(name: str) -> None:
    statement = (STATEMENTS | EDITS)[name]
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


def test_a_count_follows_its_edges() -> None:
    with closing(schema.memory()) as connection:
        connection.execute("INSERT INTO blob (id, digest, size, kind) VALUES (1, x'01', 1, 3)")
        connection.execute("INSERT INTO edge VALUES (2, 0, 1), (2, 1, 1)")
        connection.execute("INSERT INTO holding VALUES (5, 1, 'x')")
        connection.execute("DELETE FROM edge WHERE position = 0")

        assert connection.execute("SELECT refcount FROM blob").fetchone()[0] == 2
