"""A store in memory, end to end: what works in a directory works there too."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from casstore import Conflict, NotAStore, NotFound, Store, UsageError
from casstore.store import store_of
from casstore.store.session import Session

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "images" / "docker-save"
ARCHIVE = FIXTURES / "commit.tar"


@pytest.fixture
def store() -> Store:
    """A store with what is in the archive."""
    store = Store.in_memory()
    store.load(ARCHIVE)
    return store


def names(store: Store) -> list[str]:
    return sorted(name.familiar for image in store.images() for name in image.names)


def test_a_store_in_memory_is_none_before_something_is_loaded() -> None:
    with pytest.raises(NotAStore):
        Store.in_memory().images()


def test_it_has_what_a_store_in_a_directory_has(store: Store, tmp_path: Path) -> None:
    with Store(tmp_path / "store") as other:
        other.load(ARCHIVE)

        assert store.images(all=True) == other.images(all=True)
        for image in other.images(all=True):
            assert store.history(image.id) == other.history(image.id)
            there = other.get(image.id)
            assert store.get(image.id)._replace(arrived=there.arrived) == there


@pytest.mark.parametrize("form", ["docker", "oci"])
def test_it_saves_the_same_bytes(store: Store, tmp_path: Path, form: str) -> None:
    with Store(tmp_path / "store") as other:
        other.load(ARCHIVE)
        there, here = io.BytesIO(), io.BytesIO()
        other.save(names(other), there, format=form)
        store.save(names(store), here, format=form)

    assert here.getvalue() == there.getvalue()


def test_removing_the_last_name_removes_the_image_and_its_blobs(store: Store) -> None:
    store.remove(names(store))
    store.prune(all=True)

    assert store.images(all=True) == []
    assert list(store.session.backend.blobs.walk()) == []


def test_a_dry_run_changes_nothing(store: Store) -> None:
    before = names(store)

    assert store.remove(before, dry_run=True).freed > 0
    assert names(store) == before


def test_a_lease_holds_an_image(store: Store) -> None:
    image = store.images()[0].id

    with store.leases.hold(image):
        outcome = store.remove([image], force=True).outcomes[0]

    assert isinstance(outcome.error, Conflict)


def test_what_the_trash_keeps_comes_back(store: Store) -> None:
    before = names(store)
    removed = store.remove([before[0]], keep=3600)
    entry = removed.outcomes[0].trash
    assert entry is not None

    store.trash.restore(entry)

    assert names(store) == before
    assert store.trash.list() == []


def test_gc_finds_nothing_to_do(store: Store) -> None:
    result = store.gc()

    assert (result.removed_blobs, result.removed_files) == (0, 0)


def test_it_is_sound(store: Store) -> None:
    assert store.check().findings == ()


def test_a_pushed_image_comes_from_what_was_imported(store: Store) -> None:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("file"))
    tar.seek(0)

    image = store.import_image(tar, "imported:1")

    assert store.get("imported:1").id == image
    with pytest.raises(NotFound):
        store.get("imported:2")


def test_a_twin_begins_with_the_same_and_goes_its_own_way(store: Store) -> None:
    store.leases.add("held", names(store)[0])
    before = names(store)
    twin = store_of(Session.in_memory(like=store.session), Store)

    assert twin.images(all=True) == store.images(all=True)
    assert twin.leases.list() == store.leases.list()

    twin.leases.remove("held")
    twin.remove(before)
    store.tag(before[0], "later:1")

    assert twin.images(all=True) == []
    assert names(store) == sorted([*before, "later:1"])
    assert (store.check().findings, len(store.leases.list())) == ((), 1)


def test_the_twin_of_a_store_that_is_not_there_is_not_there() -> None:
    with pytest.raises(NotAStore):
        store_of(Session.in_memory(like=Store.in_memory().session), Store).images()


def test_a_store_of_files_has_no_twin_in_memory(tmp_path: Path) -> None:
    with Store(tmp_path) as other, pytest.raises(UsageError, match="not a store in memory: /"):
        Session.in_memory(like=other.session)


def test_images_can_be_copied_out_of_it(store: Store, tmp_path: Path) -> None:
    name = names(store)[0]
    store.save([name], tmp_path / "layout", format="oci-dir")

    with Store(tmp_path / "store") as other:
        other.load(tmp_path / "layout")
        assert other.get(name).id == store.get(name).id
