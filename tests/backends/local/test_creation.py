"""Making a store: what is on the disk before what, and what is put aside for it."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from casstore.backends.local import creation, schema
from casstore.backends.local.creation import (
    MAX_PATH,
    check_length,
    create,
    finish,
    install_database,
    make_database,
    separate_database,
    staging_database,
)
from casstore.backends.local.directory import LocalStore
from casstore.errors import Damaged, NotAStore, StorageError
from casstore.files import durable


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path / "store"))


def failing(error: Exception) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


# The directory


def test_every_directory_that_is_made_has_its_name_for_good(
    tmp_path: Path, flushed: list[str]
) -> None:
    root = tmp_path / "some" / "where" / "store"

    create(LocalStore(str(root)))

    made = [root.parent.parent, root.parent, root, root / "blobs", root / "blobs" / "sha256",
            root / "ingest"]  # fmt: skip
    assert {str(path.parent) for path in made} == set(flushed)
    assert all(path.is_dir() for path in made)
    assert root.stat().st_mode & 0o777 == 0o700
    flushed.clear()
    create(LocalStore(str(root)))
    assert flushed == []


def test_an_empty_directory_is_somebodys_and_keeps_its_mode(
    store: LocalStore, tmp_path: Path, flushed: list[str]
) -> None:
    (tmp_path / "store").mkdir(mode=0o755)

    create(store)

    assert str(tmp_path) not in flushed
    assert (tmp_path / "store").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    "name", ["casstore.db", "casstore.db-wal", "index.json", "lost+found", "blobs"]
)
def test_what_a_store_or_a_system_leaves_does_not_keep_one_from_being_made(
    store: LocalStore, tmp_path: Path, name: str
) -> None:
    (tmp_path / "store" / name).mkdir(parents=True)

    create(store)

    assert os.path.isdir(store.ingest)


def test_a_layout_of_another_version_is_left_alone(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "oci-layout").write_text('{"imageLayoutVersion":"2.0.0"}')

    with pytest.raises(NotAStore, match="is not an OCI image layout"):
        create(store)
    assert os.listdir(store.root) == ["oci-layout"]


def test_where_no_directory_can_be_made_that_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StorageError, match="cannot make a store at"):
        create(LocalStore(str(tmp_path / "file" / "store")))


def test_a_path_may_be_as_long_as_sqlite_can_open_the_longest_file_below() -> None:
    longest = MAX_PATH - len("/ingest/casstore.db-journal")

    check_length("/" + "x" * (longest - 1))
    with pytest.raises(StorageError, match=f"has {longest + 1} bytes, and at most {longest}"):
        check_length("/" + "x" * longest)


# The database


def test_a_new_database_is_on_the_disk_before_it_has_its_name(
    store: LocalStore, flushed: list[str]
) -> None:
    create(store)
    flushed.clear()
    before = open_files()

    make_database(store)

    assert flushed == [staging_database(store, clear=False), store.root]
    assert os.path.isfile(store.database) and open_files() == before
    assert os.listdir(store.ingest) == []


def test_what_a_crash_left_of_a_database_that_was_being_made_is_in_nobodys_way(
    store: LocalStore,
) -> None:
    create(store)
    for end in ("", "-wal", "-shm", "-journal"):
        Path(store.ingest, f"casstore.db{end}").write_bytes(b"half a database")

    make_database(store)

    assert os.listdir(store.ingest) == []
    with closing(store.connect(writable=True)) as connection:
        assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (sqlite3.OperationalError("x"), "is damaged"),
        (OSError(errno.ENOSPC, "No space"), "cannot make casstore.db: no space left on device"),
    ],
)
def test_a_database_that_cannot_be_made_is_told(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    create(store)
    monkeypatch.setattr(schema, "create", failing(error))

    with pytest.raises((Damaged, StorageError)) as caught:
        make_database(store)
    assert told in str(caught.value)


@pytest.mark.parametrize("log", [b"", b"what no checkpoint has seen"])
def test_a_database_that_gives_way_is_kept_with_what_its_log_says(
    store: LocalStore, log: bytes
) -> None:
    create(store)
    for end, data in (("", b"no database"), ("-wal", log), ("-shm", b"an index of the log")):
        Path(store.database + end).write_bytes(data)
    before = open_files()

    make_database(store)

    asides = {
        path.name.rpartition("-")[2] if path.name.endswith(("-wal", "-shm")) else "":
        path.read_bytes() for path in Path(store.root).glob("casstore.db.damaged-*")
    }  # fmt: skip
    assert asides == ({"": b"no database", "wal": log} if log else {"": b"no database"})
    assert open_files() == before


def test_nobody_else_brings_a_log_into_a_database_that_is_put_aside(store: LocalStore) -> None:
    """The last to close a database removes its log by name, which is the new one's by then."""
    create(store)
    make_database(store)
    old = store.connect(writable=True)
    old.execute("INSERT INTO meta VALUES ('old', 1)")
    schema.create(staging_database(store))

    install_database(store, staging_database(store, clear=False))

    new = store.connect(writable=True)
    new.execute("INSERT INTO meta VALUES ('new', 1)")
    old.close()
    assert os.path.exists(store.database + "-wal")
    assert new.execute("SELECT key FROM meta WHERE key IN ('old', 'new')").fetchall() == [("new",)]
    new.close()


# A database of its own


@pytest.fixture
def shared(store: LocalStore) -> LocalStore:
    """A store whose database has a second name, with a value in it and one in its log."""
    create(store)
    make_database(store)
    with closing(store.connect(writable=True)) as connection:
        connection.execute("INSERT INTO meta VALUES ('first', 1)")
    writer = store.connect(writable=True)
    writer.execute("INSERT INTO meta VALUES ('second', 2)")
    log = Path(store.database + "-wal").read_bytes()
    database = Path(store.database).read_bytes()
    writer.close()
    Path(store.database).write_bytes(database)
    Path(store.database + "-wal").write_bytes(log)
    Path(store.database + "-shm").write_bytes(b"of the other store")
    for end in ("", "-wal", "-shm"):
        os.link(store.database + end, f"{store.root}/../other{end}")
    return store


def test_a_shared_database_is_left_to_the_other_and_copied_with_its_log(
    shared: LocalStore, tmp_path: Path, flushed: list[str]
) -> None:
    others = {path.name: path.read_bytes() for path in tmp_path.glob("other*")}
    staging = staging_database(shared)
    before = open_files()

    separate_database(shared)

    assert not shared.is_shared() and open_files() == before
    assert flushed == [staging, shared.root, shared.root]
    assert [path.name for path in Path(shared.root).glob("casstore.db*")] == ["casstore.db"]
    with closing(shared.connect(writable=True)) as connection:
        rows = connection.execute("SELECT key FROM meta WHERE key LIKE '%s%'").fetchall()
        assert {("first",), ("second",)} <= set(rows)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("other*")} == others


def test_a_copy_of_a_group_is_the_groups(shared: LocalStore) -> None:
    Path(shared.root).chmod(0o2770)

    separate_database(shared)

    assert os.stat(shared.database).st_mode & 0o060 == 0o060


@pytest.mark.parametrize("where", ["staging_database", "_forget"])
def test_a_database_that_cannot_be_copied_is_told(
    shared: LocalStore, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    real = getattr(creation, where)

    def fail(_: object) -> None:
        monkeypatch.setattr(creation, where, real)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(creation, where, fail)

    with pytest.raises(StorageError, match=r"cannot copy casstore\.db: input/output error"):
        separate_database(shared)


def test_what_sqlite_says_of_a_copy_is_told_of_the_database(
    shared: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = "SQLITE_NOMEM"
    monkeypatch.setattr("casstore.backends.local.snapshot.copy_to", failing(error))

    with pytest.raises(StorageError, match="cannot use the index: out of memory"):
        separate_database(shared)


# The end


def test_the_file_that_says_it_is_a_store_comes_last(
    store: LocalStore, flushed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    create(store)
    rename = os.rename

    def note(source: str, target: str) -> None:
        flushed.append(f"-> {os.path.basename(target)}")
        rename(source, target)

    monkeypatch.setattr(os, "rename", note)
    flushed.clear()
    finish(store)

    at = flushed.index("-> oci-layout")
    assert flushed.index("-> index.json") < flushed.index(store.root) < at
    assert {os.path.dirname(store.root), os.path.dirname(store.blobs.directory)} <= set(
        flushed[:at]
    )
    assert store.layout.generation() == 0
    flushed.clear()
    finish(store)
    assert flushed == []


def test_an_index_json_that_is_there_stays_as_it_is(store: LocalStore) -> None:
    create(store)
    Path(store.layout.path).write_bytes(b"another tool's")

    finish(store)

    assert Path(store.layout.path).read_bytes() == b"another tool's"
    assert store.exists() and durable.is_volatile(store.root) is False
