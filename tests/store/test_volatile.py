"""A volatile store flushes nothing, and is like any other in all else."""

from __future__ import annotations

import copy
import io
import os
import pickle
from pathlib import Path

import pytest

from casstore import Store
from casstore.backends.local.log import Log
from casstore.files import durable
from tests.backends.local.behind import view_of
from tests.transfer.building import docker_archive, layer

ARCHIVE = docker_archive({"layers": [layer("a")], "tags": ["a:1", "b:1"]})


@pytest.fixture
def flushes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What casstore flushes, by path; SQLite's own flushes are not among it."""
    found: list[str] = []
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda one: found.append(os.readlink(f"/proc/self/fd/{one}")))
    monkeypatch.setattr(durable, "_volatile", set())
    return found


def work(store: Store) -> None:
    """Everything that flushes in an ordinary store."""
    store.load(io.BytesIO(ARCHIVE))
    store.tag("a:1", "c:1")
    store.leases.add("nightly", "a:1")
    store.remove(["b:1"])
    store.settings.set("trash.keep", "1h")
    store.remove(["c:1"])
    store.gc()
    store.publish(on_demand=True)
    store.tag("a:1", "d:1")
    store.publish(on_demand=False)
    assert store.check(repair=True).clean


def what_sqlite_flushes(store: Store) -> int:
    found: tuple[int] = view_of(store).connection.execute("PRAGMA synchronous").fetchone()
    return found[0]


def test_nothing_is_flushed(tmp_path: Path, flushes: list[str]) -> None:
    with Store(tmp_path / "store", volatile=True) as store:
        work(store)

        assert what_sqlite_flushes(store) == 0
    assert flushes == []


def test_another_store_in_the_same_process_flushes(tmp_path: Path, flushes: list[str]) -> None:
    Store(tmp_path / "store", volatile=True)
    with Store(tmp_path / "store-2") as other:
        work(other)

        assert what_sqlite_flushes(other) == 2
        assert Log(view_of(other).connection).is_lasting()
    inside = {str(Path(path).relative_to(tmp_path)).split(" ")[0] for path in flushes if path}
    assert {"store-2", "store-2/blobs/sha256", "store-2/casstore.db-wal"} <= inside


def test_what_is_outside_is_flushed(tmp_path: Path, flushes: list[str]) -> None:
    with Store(tmp_path / "store", volatile=True) as store:
        store.load(io.BytesIO(ARCHIVE))
        store.save(["a:1"], tmp_path / "a.tar")

    assert str(tmp_path) in flushes
    assert not [path for path in flushes if path.startswith(f"{tmp_path}/store")]


def test_a_copy_of_the_object_is_of_a_volatile_store_too(
    tmp_path: Path, flushes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store", volatile=True)
    pickled = pickle.dumps(store)
    monkeypatch.setattr(durable, "_volatile", set())  # as in another process
    with pickle.loads(pickled) as other:  # noqa: S301 - ours
        work(other)
        with copy.copy(other) as third:
            third.tag("a:1", "e:1")
        other.session.another().view()

    assert flushes == []


def test_a_volatile_store_is_read_by_others_as_any(tmp_path: Path) -> None:
    with Store(tmp_path / "store", volatile=True) as store:
        work(store)
        with Store(tmp_path / "store") as other:
            assert other.get("d:1") == store.get("a:1")
        assert store.check().findings == ()
