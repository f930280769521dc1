"""Which states of a store a sweep takes for the same, and so looks at once."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from casstore import Store
from tests.crash.scenarios import ARCHIVES
from tests.crash.trees import fingerprint, read_tree, write_tree


def make(path: Path) -> Path:
    with Store(str(path)) as store:
        store.load(str(ARCHIVES / "chain.tar"))
        store.leases.add("held", "app:1")
    return path


def test_a_folder_that_is_put_back_is_the_same(tmp_path: Path) -> None:
    there = make(tmp_path / "there")
    write_tree(read_tree(there), tmp_path / "again")

    assert read_tree(tmp_path / "again") == read_tree(there)
    assert fingerprint(tmp_path / "again") == fingerprint(there)


def test_the_same_command_at_another_time_leaves_the_same_state(tmp_path: Path) -> None:
    first = make(tmp_path / "first")
    time.sleep(0.01)

    assert fingerprint(first) == fingerprint(make(tmp_path / "second"))


def execute(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path / "casstore.db")) as connection:
        connection.execute(statement)
        connection.commit()


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)
    path.chmod(0o444)


CHANGES: dict[str, Callable[[Path], object]] = {
    "a count": lambda path: execute(path, "UPDATE blob SET refcount = 7 WHERE id = 1"),
    "a time by a day": lambda path: execute(path, "UPDATE lease SET expires = expires - 86400e9"),
    "a bit of a blob": lambda path: flip(min((path / "blobs" / "sha256").iterdir())),
    "rights": lambda path: (path / "index.json").chmod(0o600),
    "a file more": lambda path: (path / "ingest" / "part").touch(),
    "a file less": lambda path: (path / "index.json").unlink(),
    "a log that is empty": lambda path: (path / "casstore.db-wal").touch(),
    "a database that is cut": lambda path: (path / "casstore.db").write_bytes(
        (path / "casstore.db").read_bytes()[:-4096]
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_state_that_differs_is_another_one(change: str, tmp_path: Path) -> None:
    path = make(tmp_path / "store")
    before = fingerprint(path)
    CHANGES[change](path)

    assert fingerprint(path) != before
