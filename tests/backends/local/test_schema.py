"""casstore.db: no statement of the hot path reads a whole table; what is not ours is refused."""

from __future__ import annotations

import gc
import os
import re
import sqlite3
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from casstore.backends.local import schema
from casstore.backends.local.admission import ADMISSION
from casstore.backends.local.edits import EDITS
from casstore.backends.local.imagerows import STORED
from casstore.backends.local.listings import LOOK_UPS
from casstore.backends.local.removals import LEAVING
from casstore.backends.local.statements import STATEMENTS
from casstore.backends.local.trash import TRASH
from casstore.errors import CasstoreError, Damaged, NotAStore, StorageError
from tests.store.olderstores import recorded

# The whole of a table that holds only what one change touches, or the leases.
SMALL = {"forget_doomed", "any_doomed", "drop_expired", "doomed"}
# Where index.json is written whole.
WHOLE = {"all_published_names", "all_published_nameless"}
ALL = STATEMENTS | LOOK_UPS | {"stored_image": STORED} | EDITS | ADMISSION | LEAVING | TRASH


@pytest.mark.parametrize("name", sorted(ALL.keys() - SMALL - WHOLE))
def test_no_statement_reads_a_whole_table(name: str) -> None:
    statement = ALL[name]
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


@pytest.fixture
def path(tmp_path: Path) -> str:
    """An empty database of ours."""
    path = str(tmp_path / "casstore.db")
    schema.create(path)
    return path


@pytest.mark.parametrize("pragma", ["application_id = 7", "user_version = 0"])
def test_a_database_of_another_program_is_damaged(path: str, pragma: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA {pragma}")

    with pytest.raises(Damaged, match="is not a casstore database"):
        schema.connect(path, writable=True)


@pytest.mark.parametrize(
    "does",
    [
        lambda one: one.execute("SELECT nothing"),
        lambda one: one.executemany("INSERT INTO nothing VALUES (?)", [(1,)]),
        lambda one: one.cursor().executemany("INSERT INTO nothing VALUES (?)", [(1,)]),
    ],
)
@pytest.mark.parametrize(
    "connect", [schema.connect_to_hold, lambda path: schema.connect(path, writable=True)]
)
def test_errors_of_sqlite_are_told_as_casstore_s(
    path: str,
    connect: Callable[[str], schema.Connection],
    does: Callable[[schema.Connection], object],
) -> None:
    with closing(connect(path)) as connection, pytest.raises(CasstoreError):
        does(connection)


def test_a_copy_of_what_is_no_database_is_told_as_damage(tmp_path: Path) -> None:
    (tmp_path / "casstore.db").write_bytes(b"garbage" * 1000)
    connection = schema.connect_alone(str(tmp_path / "casstore.db"))
    connection.path = str(tmp_path / "casstore.db")

    with closing(connection), closing(schema.in_memory()) as copy, pytest.raises(Damaged):
        connection.backup(copy)


def test_an_error_is_told_also_where_its_cause_cannot_be_looked_for(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "casstore.backends.local.blame", None)
    with (
        closing(schema.connect(path, writable=True)) as connection,
        pytest.raises(StorageError, match=r"^cannot use the index .*casstore\.db: near "),
    ):
        connection.execute("SELECT nothing")


@pytest.mark.parametrize(
    "connect",
    [
        lambda path: schema.connect(path, writable=True), schema.connect_alone,
        lambda _: schema.memory(),
    ],
)  # fmt: skip
def test_another_thread_may_use_a_connection(
    path: str, connect: Callable[[str], schema.Connection]
) -> None:
    counts: list[int] = []
    with closing(connect(path)) as connection:
        thread = threading.Thread(
            target=lambda: counts.append(
                connection.execute("SELECT count(*) FROM image").fetchone()[0]
            )
        )
        thread.start()
        thread.join()

    assert counts == [0]


def file_of(connection: schema.Connection) -> str:
    """The file that a connection reads; none that there is for a copy in memory."""
    found: str = connection.execute("PRAGMA database_list").fetchone()[2]
    return found


def test_a_reader_beside_a_writer_sees_what_it_commits(path: str) -> None:
    with (
        closing(schema.connect(path, writable=True)) as writer,
        closing(schema.open_for_reading(path)) as reader,
    ):
        writer.execute("INSERT INTO meta VALUES ('one', 1)")

        assert reader.execute("SELECT value FROM meta WHERE key = 'one'").fetchone() == (1,)
        assert file_of(reader) == path


def test_a_reader_alone_reads_a_copy_and_makes_no_file(path: str, tmp_path: Path) -> None:
    with closing(schema.open_for_reading(path)) as reader:
        assert file_of(reader) != path
        assert os.listdir(tmp_path) == ["casstore.db"]


def test_a_reader_reads_a_copy_where_the_shared_memory_is_another_store_s_too(
    path: str, tmp_path: Path
) -> None:
    with closing(schema.connect(path, writable=True)) as writer:
        writer.execute("INSERT INTO meta VALUES ('one', 1)")
        os.link(f"{path}-shm", tmp_path / "other")
        with closing(schema.open_for_reading(path)) as reader:
            assert file_of(reader) != path
            assert reader.execute("SELECT value FROM meta WHERE key = 'one'").fetchone() == (1,)


def test_a_reader_reads_a_copy_where_the_shared_memory_is_of_no_use(path: str) -> None:
    os.mkdir(f"{path}-shm")
    with closing(schema.open_for_reading(path)) as reader:
        assert file_of(reader) != path


def test_a_database_is_opened_as_it_is_without_a_copy_unless_it_has_a_log(path: str) -> None:
    with closing(schema.connect_as_is(path)) as connection:
        assert file_of(connection) == path
    with closing(schema.connect(path, writable=True)) as writer:
        writer.execute("INSERT INTO meta VALUES ('one', 1)")
        with closing(schema.connect_as_is(path)) as connection:
            query = "SELECT value FROM meta WHERE key = 'one'"
            assert connection.execute(query).fetchone() == (1,)


@pytest.mark.parametrize("connect", [schema.connect_as_is, schema.connect_to_hold])
def test_an_older_database_is_looked_at_and_stays_as_it_is(
    tmp_path: Path, connect: Callable[[str], schema.Connection]
) -> None:
    path = recorded(1, tmp_path) / "casstore.db"
    before = path.read_bytes()
    with closing(connect(str(path))) as connection:
        assert connection.execute("SELECT count(*) FROM pin").fetchone() == (0,)
        assert not schema.is_current(connection)

    assert path.read_bytes() == before


def test_a_commit_that_is_forgotten_is_written_over_by_one_that_changes_nothing(path: str) -> None:
    with closing(schema.connect(path, writable=True)) as connection:
        connection.execute("INSERT INTO meta VALUES ('one', 1)")
        before = os.path.getsize(f"{path}-wal"), list(connection.iterdump())
        done: list[str] = []
        connection.set_trace_callback(done.append)
        schema.forget_commit(connection)
        connection.set_trace_callback(None)

        assert done.index("PRAGMA synchronous = OFF") < done.index("COMMIT")  # it is not flushed
        assert not connection.in_transaction
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert os.path.getsize(f"{path}-wal") == before[0] + 24 + 4096
        assert list(connection.iterdump()) == before[1]


@pytest.mark.parametrize("begun", [False, True])
def test_where_nothing_can_be_written_a_commit_is_left_as_it_is(path: str, *, begun: bool) -> None:
    def refuse(_: int, name: str | None, *__: str | None) -> int:
        return sqlite3.SQLITE_DENY if name == "user_version" else sqlite3.SQLITE_OK

    with closing(schema.connect(path, writable=True)) as connection:
        if begun:
            connection.set_authorizer(refuse)
        else:
            connection.execute("PRAGMA query_only = ON")
        schema.forget_commit(connection)

        assert not connection.in_transaction
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_connection_does_not_note_every_cursor_that_it_ever_had() -> None:
    with closing(schema.in_memory()) as connection:
        connection.execute("CREATE TABLE numbers (number)")
        for _ in range(2000):
            connection.execute("SELECT 1").fetchone()
            connection.executemany("INSERT INTO numbers VALUES (?)", [(1,)])
            connection.cursor()
        noted = [one for one in gc.get_referents(connection) if isinstance(one, list)]

        assert max(map(len, noted)) < 1000
