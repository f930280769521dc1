"""A change flushes SQLite's log itself; what cannot be flushed is taken back, and leaves no gap."""

from __future__ import annotations

import errno
import io
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from casstore import Store
from casstore.backends.local import edits, schema, snapshot
from casstore.backends.local.edits import LocalEdits
from casstore.backends.local.log import Log
from casstore.backends.local.snapshot import open_snapshot, undo_last
from casstore.errors import CasstoreError, StorageError
from casstore.files import durable
from tests.backends.local.behind import view_of
from tests.transfer.building import docker_archive, layer

ARCHIVE = docker_archive({"layers": [layer("a")], "tags": ["a:1"]})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store whose log has been there for long."""
    with Store(tmp_path / "store") as store:
        store.load(io.BytesIO(ARCHIVE))
        store.tag("a:1", "b:1")
        yield store


def names(store: Store) -> list[str]:
    return sorted(name.familiar for image in store.images() for name in image.names)


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that casstore's own flushes are of, by name."""
    found: list[str] = []
    real = durable.sync_data

    def note(descriptor: int) -> None:
        found.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        real(descriptor)

    monkeypatch.setattr(durable, "sync_data", note)
    return found


def test_a_commit_flushes_the_log_once(store: Store, flushed: list[str]) -> None:
    store.tag("a:1", "c:1")

    assert flushed == ["casstore.db-wal"]


def test_a_commit_of_nothing_flushes_nothing(store: Store, flushed: list[str]) -> None:
    store.tag("a:1", "b:1")
    store.remove(["nosuch:1"], force=True)

    assert flushed == []


def test_a_transaction_that_another_has_begun_is_flushed_too(
    store: Store, flushed: list[str]
) -> None:
    with store.session.change() as change:
        again = LocalEdits(view_of(store).connection, now=0, hard={})
        change.index.set_meta("one", 1)
        again.begin()
        again.commit()

    assert flushed == ["casstore.db-wal"]


FULL, NORMAL = 2, 1


def flushing(connection: schema.Connection) -> tuple[int, int | None]:
    """What SQLite flushes, and whether casstore flushes instead."""
    return connection.execute("PRAGMA synchronous").fetchone()[0], connection.unflushed_from


def test_sqlite_flushes_again_after_a_change_however_it_ended(store: Store) -> None:
    with store.session.change() as change:
        connection = view_of(store).connection
        assert isinstance(change.index, LocalEdits) and change.index.connection is connection
        assert flushing(connection)[0] == NORMAL
    assert flushing(connection) == (FULL, None)

    store.tag("a:1", "c:1")
    assert flushing(connection) == (FULL, None)
    store.remove(["a:1", "b:1", "c:1"])
    assert flushing(connection) == (FULL, None)
    assert list(view_of(store).doomed()) == []
    assert not connection.in_transaction


def test_nothing_stays_open_after_a_change(store: Store) -> None:
    before = len(os.listdir("/proc/self/fd"))

    store.tag("a:1", "c:1")

    assert len(os.listdir("/proc/self/fd")) == before


def test_a_log_whose_descriptor_is_0_is_flushed_too(store: Store, flushed: list[str]) -> None:
    connection = view_of(store).connection
    edits = LocalEdits(connection, now=0, hard={})
    edits.begin()
    edits.set_meta("one", 1)
    standard_input = os.dup(0)
    os.close(0)
    try:
        edits.commit()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(0)
    finally:
        os.dup2(standard_input, 0)
        os.close(standard_input)

    assert flushed == ["casstore.db-wal"]


def test_a_commit_that_fails_is_taken_back_and_written_over(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Path(f"{store.path}/casstore.db-wal")
    size = log.stat().st_size
    execute = schema.Connection.execute
    errors = [StorageError("cannot use the index: input/output error")]

    def fail(self: schema.Connection, sql: str, parameters: Any = ()) -> Any:
        if sql == "COMMIT" and errors:
            raise errors.pop()
        return execute(self, sql, parameters)

    monkeypatch.setattr(schema.Connection, "execute", fail)
    with pytest.raises(StorageError, match="cannot use the index: input/output error"):
        store.tag("a:1", "c:1")

    assert names(store) == ["a:1", "b:1"]
    assert log.stat().st_size > size  # another commit, of nothing
    assert flushing(view_of(store).connection) == (FULL, None)
    store.tag("a:1", "d:1")
    assert names(store) == ["a:1", "b:1", "d:1"]


def test_a_log_that_is_new_is_left_to_sqlite(store: Store, flushed: list[str]) -> None:
    store.close()
    store.tag("a:1", "c:1")

    assert flushed == []


def test_a_log_with_nothing_but_a_head_has_no_name_for_good(tmp_path: Path) -> None:
    connection = schema.in_memory()
    connection.path = str(tmp_path / "db")
    log = Log(connection)
    for size, lasting in ((0, False), (32, False), (33, True)):
        (tmp_path / "db-wal").write_bytes(bytes(size))
        assert log.is_lasting() is lasting
    (tmp_path / "db-wal").unlink()
    assert log.size() == 0
    assert not log.is_lasting()


def sqlite_flushes(store: Store) -> int:
    """What SQLite itself flushes: 1 is a log that it empties, 2 is every commit."""
    found: int = view_of(store).connection.execute("PRAGMA synchronous").fetchone()[0]
    return found


def test_sqlite_flushes_no_commit_of_a_change_and_every_other(store: Store) -> None:
    with store.session.change() as change:
        assert sqlite_flushes(store) == 1
        change.index.set_meta("one", 1)
        change.commit()
        assert sqlite_flushes(store) == 2
    with store.session.change():
        pass  # and rolled back
    assert sqlite_flushes(store) == 2


def test_a_log_that_was_emptied_is_left_to_sqlite_like_a_new_one(
    store: Store, flushed: list[str]
) -> None:
    store.tag("a:1", "c:1")
    LocalEdits(view_of(store).connection, now=0, hard={}).compact()
    flushed.clear()
    store.tag("a:1", "d:1")

    assert flushed == []


def test_that_unlinked_blobs_are_forgotten_is_not_flushed(store: Store, flushed: list[str]) -> None:
    done: list[str] = []
    connection = view_of(store).connection
    connection.set_trace_callback(done.append)
    store.remove(["a:1", "b:1"])
    connection.set_trace_callback(None)

    told = ("PRAGMA synchronous", "BEGIN IMMEDIATE", "DELETE FROM doomed WHERE", "COMMIT")
    assert [one.partition(" WHERE ")[0] for one in done if one.startswith(told)][-5:] == [
        "PRAGMA synchronous = NORMAL", "BEGIN IMMEDIATE", "DELETE FROM doomed", "COMMIT",
        "PRAGMA synchronous = FULL",
    ]  # fmt: skip
    assert sqlite_flushes(store) == 2
    assert flushed == ["casstore.db-wal"]
    assert list(view_of(store).doomed()) == []


def test_a_commit_that_fails_is_rolled_back_and_written_over(store: Store) -> None:
    done: list[str] = []
    refusals = [sqlite3.SQLITE_DENY]

    def refuse(action: int, name: str | None, *_: str | None) -> int:
        commits = action == sqlite3.SQLITE_TRANSACTION and name == "COMMIT"
        return refusals.pop() if commits and refusals else sqlite3.SQLITE_OK

    connection = view_of(store).connection
    connection.set_authorizer(refuse)
    connection.set_trace_callback(done.append)
    with pytest.raises(CasstoreError):
        store.tag("a:1", "c:1")
    connection.set_trace_callback(None)

    assert names(store) == ["a:1", "b:1"]
    assert done.index("ROLLBACK") < done.index(f"PRAGMA user_version = {schema.FORMAT_VERSION}")
    store.tag("a:1", "c:1")
    assert names(store) == ["a:1", "b:1", "c:1"]


def test_a_log_that_has_grown_long_is_emptied_by_a_commit(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.tag("a:1", "c:1")
    assert os.path.getsize(f"{store.path}/casstore.db-wal") > 0
    monkeypatch.setattr(edits, "LOG_LIMIT", 4096)
    store.tag("a:1", "d:1")

    assert os.path.getsize(f"{store.path}/casstore.db-wal") == 0


def test_changes_leave_no_file_open(store: Store) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(3):
        store.tag("a:1", f"c:{number}")

    assert len(os.listdir("/proc/self/fd")) == before


def test_a_process_without_standard_input_flushes_the_log_as_any_other(
    store: Store, flushed: list[str]
) -> None:
    standard_input = os.dup(0)
    try:
        with store.session.change() as change:
            change.index.set_meta("one", 1)
            os.close(0)  # so that the log is opened there
            change.commit()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(0)
    finally:
        os.dup2(standard_input, 0)
        os.close(standard_input)

    assert flushed == ["casstore.db-wal"]


def failing(monkeypatch: pytest.MonkeyPatch, times: int = 1) -> None:
    """Let so many flushes of the log fail."""
    errors = [OSError(errno.EIO, "broken")] * times
    real = durable.sync_data

    def fail(descriptor: int) -> None:
        if errors:
            raise errors.pop()
        real(descriptor)

    monkeypatch.setattr(durable, "sync_data", fail)


def test_what_cannot_be_flushed_is_taken_back_for_all_who_look(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = Path(store.path, "index.json").read_bytes()
    with Store(store.path) as beside:
        assert names(beside) == ["a:1", "b:1"]
        failing(monkeypatch)
        with pytest.raises(StorageError, match="cannot write the index: input/output error"):
            store.remove(["a:1"])

        assert names(store) == names(beside) == ["a:1", "b:1"]
    assert Path(store.path, "index.json").read_bytes() == published
    assert store.check().findings == ()
    store.tag("a:1", "c:1")
    assert names(store) == ["a:1", "b:1", "c:1"]
    assert store.check().findings == ()


def test_a_log_that_cannot_be_opened_to_be_flushed_is_not_written(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = os.path.getsize(f"{store.path}/casstore.db-wal")
    real = os.open

    def none_left(path: str, flags: int, mode: int = 0o777, **how: Any) -> int:
        if path.endswith("-wal"):
            raise OSError(errno.EMFILE, "Too many open files")
        return real(path, flags, mode, **how)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", none_left)
        with pytest.raises(StorageError, match="too many open files"):
            store.tag("a:1", "c:1")

    assert os.path.getsize(f"{store.path}/casstore.db-wal") == size
    assert names(store) == ["a:1", "b:1"]


def test_the_lock_and_the_next_change_are_free_when_it_was_taken_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch)
    with pytest.raises(StorageError):
        store.pin("a:1")
    with Store(store.path, lock_timeout=0.0) as other:
        other.remove(["b:1"])

    assert names(store) == ["a:1"]
    assert view_of(store).all_pins() == frozenset()


def test_what_could_not_be_flushed_is_written_again_and_leaves_no_gap(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{store.path}/casstore.db-wal"
    before = os.path.getsize(path)
    written: list[tuple[int, int]] = []

    class Watched(io.FileIO):
        def write(self, data: Any) -> int:
            written.append((self.tell(), self.tell() + len(data)))
            return super().write(data)

    def watch(name: str | int, mode: str, **how: Any) -> IO[bytes] | Watched:
        return Watched(path, "r+") if (name, mode) == (path, "r+b") else open(name, mode, **how)

    failing(monkeypatch)
    monkeypatch.setattr(snapshot, "open", watch, raising=False)
    with pytest.raises(StorageError):
        store.tag("a:1", "c:1")

    ((start, stop),) = written
    assert start == before
    assert (stop - before) % 4120 == 0
    assert stop > before


def test_where_it_cannot_be_taken_back_the_next_change_makes_it_durable_first(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patched:
        patched.setattr("casstore.backends.local.snapshot.undo_last", broken)
        failing(patched)
        with pytest.raises(StorageError):
            store.tag("a:1", "c:1")
    flushed: list[list[str]] = []
    monkeypatch.setattr(durable, "sync_files", lambda paths: flushed.append(list(paths)))
    store.tag("a:1", "d:1")

    assert flushed == [[f"{store.path}/casstore.db-wal"]]
    assert names(store) == ["a:1", "b:1", "c:1", "d:1"]
    assert store.check().findings == ()


def test_a_log_without_its_last_transaction_is_what_was_there_before(
    store: Store, tmp_path: Path
) -> None:
    before = shutil.copy(f"{store.path}/casstore.db", tmp_path / "before")
    shutil.copy(f"{store.path}/casstore.db-wal", f"{before}-wal")
    store.tag("a:1", "c:1")
    undo_last(view_of(store).connection)

    after = open_snapshot(f"{store.path}/casstore.db")
    expected = open_snapshot(str(before))
    assert list(after.iterdump()) == list(expected.iterdump())
