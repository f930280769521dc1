"""A copy of a database in memory is what SQLite would see: the file, and the log beside it."""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from casstore.backends.local.snapshot import open_snapshot
from casstore.errors import Damaged, StorageError


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A database in WAL mode as a killed process leaves it: with its log, without the -shm."""
    live, left = tmp_path / "live.db", tmp_path / "left.db"
    connection = sqlite3.connect(live, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("CREATE TABLE t (x, filler)")
    connection.executemany("INSERT INTO t VALUES (?, zeroblob(900))", [(n,) for n in range(100)])
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    for n in range(100, 110):
        connection.execute("INSERT INTO t VALUES (?, zeroblob(900))", (n,))
    connection.execute("DELETE FROM t WHERE x < 5")
    for extra in ("", "-wal"):
        shutil.copy(f"{live}{extra}", f"{left}{extra}")
    connection.close()
    return left


def numbers(path: Path) -> list[int]:
    with closing(open_snapshot(str(path))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [row[0] for row in connection.execute("SELECT x FROM t ORDER BY x")]


def test_committed_transactions_in_the_log_are_seen(left: Path) -> None:
    assert numbers(left) == list(range(5, 110))


def test_a_database_without_a_log_is_what_the_file_says(left: Path) -> None:
    Path(f"{left}-wal").unlink()

    assert numbers(left) == list(range(100))


def test_nothing_is_written(left: Path) -> None:
    before = {p.name: p.read_bytes() for p in left.parent.iterdir()}
    numbers(left)

    assert {p.name: p.read_bytes() for p in left.parent.iterdir()} == before


@pytest.mark.parametrize("cut", [0, 10, 32, 4000, 20_000, 41_000])
def test_a_log_cut_anywhere_gives_what_sqlite_recovers_from_it(left: Path, cut: int) -> None:
    log = Path(f"{left}-wal")
    log.write_bytes(log.read_bytes()[:cut])
    ours = numbers(left)

    with closing(sqlite3.connect(left)) as connection:
        assert ours == [row[0] for row in connection.execute("SELECT x FROM t ORDER BY x")]


@pytest.mark.parametrize("at", [0, 8, 16, 24, 32, 40, 48, 5000, 30_000])
def test_a_flipped_bit_in_the_log_ends_it_where_sqlite_ends_it(left: Path, at: int) -> None:
    log = Path(f"{left}-wal")
    data = bytearray(log.read_bytes())
    data[at] ^= 1
    log.write_bytes(data)
    ours = numbers(left)

    with closing(sqlite3.connect(left)) as connection:
        assert ours == [row[0] for row in connection.execute("SELECT x FROM t ORDER BY x")]


def test_a_database_that_shrank_in_the_log_has_its_new_length(left: Path) -> None:
    with closing(sqlite3.connect(left, isolation_level=None)) as live:
        live.execute("PRAGMA wal_autocheckpoint = 0")
        live.execute("DELETE FROM t WHERE x > 7")
        live.execute("VACUUM")
        copy = left.parent / "copy.db"
        for extra in ("", "-wal"):
            shutil.copy(f"{left}{extra}", f"{copy}{extra}")

    assert numbers(copy) == [5, 6, 7]


def test_a_missing_database_is_called_missing(tmp_path: Path) -> None:
    with pytest.raises(Damaged, match="missing"):
        open_snapshot(str(tmp_path / "nosuch.db"))


def test_a_file_that_never_rests_is_given_up(left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("casstore.backends.local.snapshot._SETTLE", 0)
    real = os.lstat
    times = itertools.count()

    def lstat(path: str) -> os.stat_result:
        os.utime(left, ns=(0, next(times)))
        return real(path)

    monkeypatch.setattr("casstore.backends.local.snapshot.os.lstat", lstat)
    with pytest.raises(StorageError, match="changed all the time"):
        open_snapshot(str(left))
