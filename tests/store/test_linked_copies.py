"""A copy of a store by hard links (`cp -al`): what is done in one copy is not done in the other."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from casstore.backends.local.directory import LocalStore
from casstore.backends.local.locks import StoreLock
from casstore.backends.local.reserve import Reserve
from casstore.errors import Damaged, Locked, StorageError
from casstore.model.findings import Finding
from casstore.results.leases import LeaseInfo
from casstore.store import Store
from tests.store.test_readonly import tag_and_die
from tests.transfer.building import docker_archive, layer

IMAGES = [{"layers": [layer("base"), layer(f"own {n}")], "tags": [f"a:{n}"]} for n in range(3)]
CHANGES: dict[str, Callable[[Store], object]] = {
    "rmi": lambda store: store.remove(["a:1"]),
    "prune": lambda store: store.prune(all=True),
    "load": lambda store: store.load(
        io.BytesIO(docker_archive({"layers": [layer("new")], "tags": ["new:1"]}))
    ),
    "tag": lambda store: store.tag("a:1", "b:1"),
    "gc": lambda store: store.gc(),
    "lease": lambda store: store.leases.add("night", "a:1"),
    "fsck --rebuild": lambda store: store.check(rebuild=True),
}


def linked(root: Path) -> Path:
    copy = root.with_name("copy")
    subprocess.run(["cp", "-al", root, copy], check=True)
    return copy


class State(NamedTuple):
    names: list[str]
    leases: list[LeaseInfo]
    findings: tuple[Finding, ...]


def state(root: Path) -> State:
    with Store(str(root)) as store:
        names = sorted(name.familiar for one in store.images(all=True) for name in one.names)
        return State(names, store.leases.list(), store.check().findings)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(docker_archive(*IMAGES)))
    return tmp_path / "store"


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("where", ["store", "copy"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_in_one_leaves_the_other_as_it_was(
    root: Path, change: str, where: str, *, log: bool
) -> None:
    if log:
        tag_and_die(str(root))
    copies = {"store": root, "copy": linked(root)}
    changed, other = copies.pop(where), next(iter(copies.values()))
    with Store(str(changed)) as store:
        CHANGES[change](store)
        store.remove(["a:2"])
    with Store(str(other)) as store:
        store.gc()

    names, leases, findings = state(other)
    expected = ["a:0", "a:1", "a:2", *(["late:1"] if log else [])]
    assert names == expected
    assert (leases, findings) == ([], ())
    assert state(changed)[2] == ()


def test_a_store_that_was_open_when_it_was_copied_leaves_the_copy_alone(root: Path) -> None:
    with Store(str(root)) as store:
        store.tag("a:1", "open:1")
        copy = linked(root)
        store.remove(["a:2", "a:0"])
        store.tag("a:1", "later:1")

        assert sorted(n.familiar for i in store.images() for n in i.names) == [
            "a:1", "later:1", "open:1",
        ]  # fmt: skip
    names, _, findings = state(copy)
    assert names == [
        "a:0", "a:1", "a:2", "open:1",
    ]  # fmt: skip
    assert findings == ()


def test_the_files_that_are_written_in_place_are_the_store_s_own_after_a_change(root: Path) -> None:
    with Store(str(root)) as store:
        store.gc()  # which notes an event
    copy = linked(root)
    with Store(str(copy)) as store:
        store.tag("a:1", "b:1")
        store.gc()
        parts = ("casstore.db", "casstore.lock", "casstore.uses", "casstore.events")
        for name in (*parts, "casstore.reserve/space"):
            assert os.stat(copy / name).st_nlink == 1
            assert os.stat(root / name).st_nlink == 1


def test_a_stop_between_the_new_database_and_the_end_of_the_old_log_loses_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from casstore.backends.local import creation as making

    tag_and_die(str(root))
    copy = linked(root)
    unlink = making._forget

    def stop(path: str) -> None:
        if path.endswith("-wal"):
            raise KeyboardInterrupt
        unlink(path)

    with monkeypatch.context() as patched:
        patched.setattr(making, "_forget", stop)
        with Store(str(copy)) as store, pytest.raises(KeyboardInterrupt):
            store.remove(["a:0"])
    assert os.stat(copy / "casstore.db").st_nlink == 1
    assert os.stat(copy / "casstore.db-wal").st_nlink == 2

    with Store(str(copy)) as store:
        store.remove(["a:0"])
    kept = ["a:1", "a:2", "late:1"]
    for one, expected in ((copy, kept), (root, ["a:0", *kept])):
        names, _, findings = state(one)
        assert names == expected
        assert findings == ()


def test_who_waits_for_the_lock_that_was_shared_gets_the_store_s_own(root: Path) -> None:
    copy = linked(root)
    waiting = os.open(copy / "casstore.lock", os.O_RDWR)
    with StoreLock(str(copy / "casstore.lock"), 1.0), StoreLock(str(root / "casstore.lock"), 1.0):
        for place in (copy, root):
            with pytest.raises(Locked):
                StoreLock(str(place / "casstore.lock"), 0.05).acquire()
    os.close(waiting)


@pytest.mark.parametrize("name", ["connect_as_is", "connect"])
@pytest.mark.parametrize("error", [StorageError("cannot read it"), Damaged("cannot read it")])
@pytest.mark.parametrize("opened", [False, True])
def test_what_cannot_be_read_once_is_not_changed_in_the_copy(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: Exception, *, opened: bool
) -> None:
    real = getattr(LocalStore, name)
    errors = [error]

    def once(store: LocalStore, **how: bool) -> object:
        if errors:
            raise errors.pop()
        return real(store, **how)

    with Store(str(root)) as store:
        store.leases.add("night", "a:2")
        if not opened:
            store.close()
        copy = linked(root)
        before = state(copy)
        with monkeypatch.context() as patched:
            patched.setattr(LocalStore, name, once)
            try:
                store.remove(["a:1"])
            except StorageError:
                assert isinstance(error, StorageError)
            assert errors == []

        assert state(copy) == before
        assert [lease.name for lease in store.leases.list()] == ["night"]
        store.remove(["a:0"])
    assert state(copy) == before


def test_a_database_that_is_damaged_is_made_anew_and_stays_as_it_is_in_the_copy(root: Path) -> None:
    damaged = b"this is no database" * 500
    (root / "casstore.db").write_bytes(damaged)
    copy = linked(root)

    with Store(str(root)) as store:
        store.remove(["a:1"])
        assert len(store.images()) == 2

    assert (copy / "casstore.db").read_bytes() == damaged


def test_a_reserve_that_cannot_be_removed_is_not_made_larger_in_the_copy(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = linked(root)
    before = os.stat(copy / "casstore.reserve/space").st_size
    os.truncate(root / "casstore.reserve/space", before // 2)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", refuse)
        Reserve(str(root), ()).restore()

    assert os.stat(copy / "casstore.reserve/space").st_size == before // 2
