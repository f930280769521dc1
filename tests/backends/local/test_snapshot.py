"""A copy of a database in memory is what SQLite would see: the file, and the log beside it."""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
import struct
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from casstore.backends.local import schema
from casstore.backends.local.snapshot import copy_to, open_snapshot, private_copy
from casstore.errors import CasstoreError, Damaged, StorageError


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A database in WAL mode as a killed process leaves it: with its log, without the -shm."""
    return left_in(tmp_path)


def left_in(folder: Path, page_size: int = 4096) -> Path:
    live, left = folder / "live.db", folder / "left.db"
    connection = sqlite3.connect(live, isolation_level=None)
    connection.execute(f"PRAGMA page_size = {page_size}")
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
    with closing(open_snapshot(str(copy))) as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        assert len(connection.serialize()) == pages * 4096


def test_a_missing_database_is_called_missing(tmp_path: Path) -> None:
    with pytest.raises(Damaged, match="missing"):
        open_snapshot(str(tmp_path / "nosuch.db"))


def test_a_file_that_never_rests_is_given_up(left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    real = os.lstat
    times = itertools.count()

    def lstat(path: str) -> os.stat_result:
        os.utime(left, ns=(0, next(times)))
        return real(path)

    monkeypatch.setattr("casstore.backends.local.snapshot.os.lstat", lstat)
    with pytest.raises(StorageError, match="changed all the time"):
        open_snapshot(str(left))
    assert slept == [0.02] * 49


def test_a_file_that_rests_is_read_at_once(left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it slept"))

    assert numbers(left) == list(range(5, 110))


def test_a_file_that_is_changed_while_it_is_read_is_read_again(
    left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_meanwhile(path: str, flags: int, *mode: int) -> int:
        monkeypatch.undo()
        with closing(sqlite3.connect(left)) as live, live:
            live.execute("INSERT INTO t VALUES (200, NULL)")
        return os.open(path, flags, *mode)

    monkeypatch.setattr("casstore.backends.local.snapshot.os.open", write_meanwhile)

    assert numbers(left) == [*range(5, 110), 200]


def test_what_cannot_be_read_is_told_with_the_reason(left: Path) -> None:
    moved = left.rename(left.with_name("moved"))
    left.symlink_to(moved)

    with pytest.raises(
        StorageError, match=r"^cannot read the index .*: too many levels of symbolic links$"
    ):
        open_snapshot(str(left))


def test_nobody_waits_for_a_fifo_in_the_place_of_a_database(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "casstore.db")

    with closing(open_snapshot(str(tmp_path / "casstore.db"))) as connection:
        assert connection.execute("SELECT * FROM sqlite_schema").fetchall() == []


@pytest.mark.parametrize("size", [512, 1024, 65536])
def test_a_log_has_pages_of_any_size_that_sqlite_has(tmp_path: Path, size: int) -> None:
    assert numbers(left_in(tmp_path, size)) == list(range(5, 110))


Frame = tuple[int, int, bytes]  # number of the page, pages after the commit, the page


def frames_of(log: bytes) -> list[Frame]:
    return [
        (*struct.unpack_from(">II", log, at), log[at + 24 : at + 24 + 4096])
        for at in range(32, len(log), 24 + 4096)
    ]


def log_of(frames: Iterable[Frame], *, magic: int = 0x377F0682, page_size: int = 4096) -> bytes:
    """A log as sqlite.org/fileformat2.html has it, whose check sums are right."""
    order = ">" if magic & 1 else "<"
    sums = (0, 0)

    def summed(data: bytes) -> bytes:
        nonlocal sums
        for one, two in struct.iter_unpack(f"{order}II", data):
            first = (sums[0] + one + sums[1]) & 0xFFFFFFFF
            sums = first, (sums[1] + two + first) & 0xFFFFFFFF
        return struct.pack(">II", *sums)

    head = struct.pack(">IIII", magic, 3007000, page_size, 0) + b"saltsalt"
    log = head + summed(head)
    for number, size, page in frames:
        head = struct.pack(">II", number, size)
        summed(head)
        log += head + b"saltsalt" + summed(page) + page
    return log


def as_sqlite_sees_it(path: Path) -> list[int]:
    """What SQLite recovers, from a copy."""
    copy = path.with_name("copy.db")
    for extra in ("", "-wal"):
        shutil.copy(f"{path}{extra}", f"{copy}{extra}")
    with closing(sqlite3.connect(copy)) as connection:
        return [row[0] for row in connection.execute("SELECT x FROM t ORDER BY x")]


@pytest.mark.parametrize("magic", [0x377F0682, 0x377F0683])
def test_a_log_has_either_order_of_bytes(left: Path, magic: int) -> None:
    log = Path(f"{left}-wal")
    log.write_bytes(log_of(frames_of(log.read_bytes()), magic=magic))

    assert numbers(left) == as_sqlite_sees_it(left) == list(range(5, 110))


@pytest.mark.parametrize(
    ("magic", "page_size"),
    [(0x377F0684, 4096), (0x377F0682, 1000), (0x377F0682, 256), (0x377F0682, 131072)],
)
def test_a_log_that_sqlite_does_not_take_for_one_is_none(
    left: Path, magic: int, page_size: int
) -> None:
    pages = [(1, 1, bytes(page_size))]
    if page_size == 4096:
        pages = frames_of(Path(f"{left}-wal").read_bytes())
    Path(f"{left}-wal").write_bytes(log_of(pages, magic=magic, page_size=page_size))

    assert numbers(left) == as_sqlite_sees_it(left) == list(range(100))


def test_a_log_ends_where_a_page_has_no_number(left: Path) -> None:
    log = Path(f"{left}-wal")
    frames = frames_of(log.read_bytes())
    frames.insert(-1, (0, frames[-1][1], bytes(4096)))
    log.write_bytes(log_of(frames))

    assert numbers(left) == as_sqlite_sees_it(left)


def test_a_database_that_grew_by_pages_that_nobody_wrote_has_its_new_length(left: Path) -> None:
    log = Path(f"{left}-wal")
    *frames, (number, size, page) = frames_of(log.read_bytes())
    log.write_bytes(log_of([*frames, (number, size + 3, page)]))

    with closing(open_snapshot(str(left))) as connection:
        assert len(connection.serialize()) == (size + 3) * 4096


def test_a_private_copy_tells_errors_as_what_it_is_a_copy_of(tmp_path: Path) -> None:
    path = str(tmp_path / "casstore.db")
    schema.create(path)
    with closing(schema.connect(path, writable=True)) as connection:
        copy = private_copy(connection)
        with pytest.raises(CasstoreError):
            copy.execute("SELECT nothing")


def test_a_copy_in_a_file_is_in_that_file_alone(tmp_path: Path) -> None:
    with closing(schema.memory()) as connection:
        connection.execute("INSERT INTO meta VALUES ('one', 1)")
        copy_to(connection, str(tmp_path / "copy.db"))

    assert os.listdir(tmp_path) == ["copy.db"]
    with closing(schema.connect(str(tmp_path / "copy.db"), writable=True)) as copy:
        assert copy.execute("SELECT value FROM meta WHERE key = 'one'").fetchall() == [(1,)]
        assert copy.execute("PRAGMA journal_mode").fetchone() == ("wal",)
