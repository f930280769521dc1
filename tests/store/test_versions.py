"""A store of another format version: an older one is upgraded, a newer one is left alone."""

from __future__ import annotations

import io
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from casstore.backends.local import schema
from casstore.backends.local.directory import LocalStore
from casstore.errors import NotAStore
from casstore.store import Store
from tests.backends.local.behind import directory_of, view_of
from tests.store.olderstores import OLDER, make_older, recorded
from tests.transfer.building import docker_archive, layer

LAYER = layer("only")
ARCHIVE = docker_archive({"layers": [LAYER], "tags": ["shop/app:1", "shop/app:2"]})

CHANGES: dict[str, Callable[[Store], object]] = {
    "load": lambda store: store.load(io.BytesIO(ARCHIVE)),
    "import": lambda store: store.import_image(io.BytesIO(LAYER), "new:1"),
    "tag": lambda store: store.tag("shop/app:1", "other:1"),
    "rmi": lambda store: store.remove(["shop/app:1"]),
    "prune": lambda store: store.prune(all=True),
    "gc": lambda store: store.gc(),
    "fsck --repair": lambda store: store.check(repair=True),
    "fsck --rebuild": lambda store: store.check(rebuild=True),
    "clone": lambda store: store.clone(store.path + "-copy"),
    "lease add": lambda store: store.leases.add("kept", "shop/app:1"),
    "lease rm": lambda store: store.leases.remove("kept"),
}
LOOKS: dict[str, Callable[[Store], object]] = {
    "images": lambda store: store.images(),
    "inspect": lambda store: store.inspect("shop/app:1"),
    "history": lambda store: store.history("shop/app:1"),
    "df": lambda store: store.df(),
    "fsck": lambda store: store.check(),
    "lease": lambda store: store.leases.hold("shop/app:1").release(),
    "rmi --dry-run": lambda store: store.remove(["shop/app:1"], dry_run=True),
    "prune --dry-run": lambda store: store.prune(all=True, dry_run=True),
    "gc --dry-run": lambda store: store.gc(dry_run=True),
}

EACH_OLDER = pytest.mark.parametrize("version", OLDER)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(ARCHIVE))
        store.leases.add("kept", "shop/app:1")
        yield store


def version_of(store: Store) -> int:
    with closing(sqlite3.connect(directory_of(store).database)) as connection:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def make_newer(store: Store) -> None:
    with closing(sqlite3.connect(directory_of(store).database)) as connection:
        connection.execute(f"PRAGMA user_version = {schema.FORMAT_VERSION + 1}")


def content(store: Store) -> dict[str, bytes]:
    """Every file, but those that come and go with a connection and the lock."""
    root = Path(store.path)
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and path.name not in ("casstore.lock", "casstore.db-shm")
        and not (path.name == "casstore.db-wal" and path.stat().st_size == 0)
    }


@pytest.mark.parametrize("action", CHANGES | LOOKS)
def test_a_newer_store_is_refused_and_nothing_in_it_changes(store: Store, action: str) -> None:
    store.close()
    make_newer(store)
    before = content(store)

    with pytest.raises(NotAStore, match="newer casstore") as caught:
        (CHANGES | LOOKS)[action](store)

    assert caught.value.exit_code == 10
    store.close()
    assert content(store) == before


def test_a_store_that_becomes_newer_under_an_open_one_is_not_changed(store: Store) -> None:
    store.images()
    make_newer(store)

    with pytest.raises(NotAStore, match="newer casstore"):
        store.remove(["shop/app:1"])


@EACH_OLDER
@pytest.mark.parametrize("action", CHANGES)
def test_the_first_change_upgrades_an_older_store(store: Store, action: str, version: int) -> None:
    make_older(store, version)

    CHANGES[action](store)

    assert version_of(store) == schema.FORMAT_VERSION
    assert store.check().clean


@EACH_OLDER
@pytest.mark.parametrize("action", LOOKS)
def test_a_look_does_not_upgrade_an_older_store(store: Store, action: str, version: int) -> None:
    make_older(store, version)

    LOOKS[action](store)

    assert version_of(store) == version


def test_a_store_that_was_looked_at_is_upgraded_by_a_change_through_the_same_object(
    store: Store,
) -> None:
    make_older(store)
    before = store.images()

    store.tag("shop/app:1", "other:1")

    assert version_of(store) == schema.FORMAT_VERSION
    assert len(store.images()[0].names) == len(before[0].names) + 1


def test_a_reader_notices_that_another_process_upgraded(store: Store) -> None:
    make_older(store)
    view = view_of(store)
    with Store(store.path) as other:
        other.gc()
        view_of(other).connection.execute("INSERT INTO pin VALUES (1)")

    assert view.connection.execute("SELECT count(*) FROM pin").fetchone()[0] == 0
    assert view_of(store).connection.execute("SELECT count(*) FROM pin").fetchone()[0] == 1


@EACH_OLDER
def test_an_older_store_that_may_not_be_written_answers(
    store: Store, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    make_older(store, version)
    before = store.images()
    store.close()
    database = Path(directory_of(store).database)
    database.chmod(0o444)
    Path(store.path).chmod(0o555)
    try:
        if os.access(store.path, os.W_OK):
            # Mode bits do not stop this user: say what access(2) says to others.
            monkeypatch.setattr(LocalStore, "is_writable", lambda _: False)
        assert store.images() == before
        assert store.check().clean
    finally:
        store.close()
        Path(store.path).chmod(0o755)
    assert version_of(store) == version


@pytest.mark.parametrize("version", OLDER)
def test_a_rebuild_of_an_older_store_keeps_its_leases(store: Store, version: int) -> None:
    held = [lease.name for lease in store.leases.list()]
    make_older(store, version)

    assert store.check(rebuild=True).clean

    assert held
    assert [lease.name for lease in store.leases.list()] == held


@EACH_OLDER
def test_a_store_that_was_recorded_goes_on(version: int, tmp_path: Path) -> None:
    with Store(recorded(version, tmp_path)) as store:
        before = known(store)
        store.tag("dw/plain:1", "new:1")

        assert version_of(store) == schema.FORMAT_VERSION
        assert store.check().clean
        store.remove(["new:1"], keep=0.0)
        assert known(store) == before
        for entry in store.trash.list():
            assert store.trash.restore(entry.id).names == entry.names
        whole = store.images(all=True)
        assert store.check(rebuild=True).clean
        assert store.images(all=True) == whole


def known(store: Store) -> list[object]:
    """What a store says of its images but for sizes (test_recount.py), its leases, its trash."""
    sizes = {"Size": 0, "VirtualSize": 0}
    images = [store.inspect(image.id) | sizes for image in store.images(all=True)]
    return [*images, store.leases.list(), store.trash.list()]
