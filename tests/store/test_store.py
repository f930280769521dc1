"""The Python API: what it says has happened, and frees the bytes that it says."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from casstore.errors import Conflict, NotAStore, NotFound, StorageError, UsageError
from casstore.model.digest import sha256
from casstore.store import Store
from tests.transfer.building import config_of, docker_archive, layer

BASE, TOP, OTHER = layer("base" * 100), layer("top" * 200), layer("other" * 300)
BASE_CONFIG, APP_CONFIG = config_of(BASE), config_of(BASE, TOP)
ARCHIVE = docker_archive(
    {"layers": [BASE], "config": BASE_CONFIG, "tags": ["base:1"]},
    {"layers": [BASE, TOP], "config": APP_CONFIG, "tags": ["app:1", "app:2"],
     "parent": sha256(BASE_CONFIG)},
    {"layers": [OTHER], "tags": ["other:1"]},
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(ARCHIVE))
        yield store


def disk_bytes(store: Store) -> int:
    folder = Path(store.path, "blobs", "sha256")
    return sum(path.stat().st_size for path in folder.iterdir())


def names(store: Store) -> list[str]:
    return sorted(name.familiar for image in store.images(all=True) for name in image.names)


REMOVALS = [["base:1"], ["other:1"], ["app:1"], ["app:1", "app:2"], ["base:1", "app:1", "app:2"],
            ["base:1", "nosuch", "other:1", "app:2", "app:1"]]  # fmt: skip


@pytest.mark.parametrize("arguments", REMOVALS)
@pytest.mark.parametrize("prune", [True, False])
def test_a_dry_run_says_what_a_removal_does_and_changes_nothing(
    store: Store, arguments: list[str], *, prune: bool
) -> None:
    before, had = disk_bytes(store), names(store)
    dry = store.remove(arguments, prune=prune, dry_run=True)
    assert (disk_bytes(store), names(store)) == (before, had)
    real = store.remove(arguments, prune=prune)

    assert [one.lines for one in dry.outcomes] == [one.lines for one in real.outcomes]
    assert dry.freed == real.freed
    assert (dry.exit_code, real.exit_code) == (dry.exit_code,) * 2


@pytest.mark.parametrize("arguments", REMOVALS)
def test_the_bytes_that_a_removal_frees_are_gone_from_the_disk(
    store: Store, arguments: list[str]
) -> None:
    before = disk_bytes(store)

    assert store.remove(arguments).freed == before - disk_bytes(store)


def test_prune_of_everything_empties_the_store_and_tells_the_bytes(store: Store) -> None:
    before = disk_bytes(store)
    dry = store.prune(all=True, dry_run=True)
    real = store.prune(all=True)

    assert dry.removed == real.removed
    assert dry.freed == real.freed == before
    assert store.images(all=True) == []


def test_a_name_that_is_tagged_anew_moves(store: Store) -> None:
    store.tag("other:1", "app:1")

    assert names(store) == ["app:1", "app:2", "base:1", "other:1"]
    assert store.get("app:1").id == store.get("other:1").id


def test_an_open_store_sees_what_another_changed(store: Store) -> None:
    store.images()
    with Store(store.path) as other:
        other.tag("app:1", "new:1")

    assert "new:1" in names(store)


def test_a_clone_has_the_same_images_and_a_life_of_its_own(store: Store, tmp_path: Path) -> None:
    store.clone(str(tmp_path / "clone"))
    with Store(str(tmp_path / "clone")) as clone:
        assert clone.images(all=True) == store.images(all=True)
        clone.prune(all=True)
        assert clone.check().clean
        assert clone.images() == []
    assert store.check().clean


def test_a_clone_is_made_only_into_an_empty_directory(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(NotAStore, match="is not empty"):
        store.clone(str(tmp_path))


def test_a_clone_never_takes_the_place_of_another_store(store: Store, tmp_path: Path) -> None:
    (tmp_path / "taken" / "lost+found").mkdir(parents=True)
    with Store(tmp_path / "taken") as taken:
        taken.load(io.BytesIO(docker_archive({"layers": [OTHER], "tags": ["mine:1"]})))
        before = sorted((tmp_path / "taken").rglob("*"))

        with pytest.raises(NotAStore, match="is not empty"):
            store.clone(tmp_path / "taken")

        assert sorted((tmp_path / "taken").rglob("*")) == before
        assert names(taken) == ["mine:1"]


def test_what_a_system_makes_in_a_directory_does_not_keep_a_clone_out(
    store: Store, tmp_path: Path
) -> None:
    (tmp_path / "clone" / "lost+found").mkdir(parents=True)

    store.clone(tmp_path / "clone")

    with Store(tmp_path / "clone") as clone:
        assert names(clone) == names(store)


def test_a_clone_is_published_as_its_original_is(store: Store, tmp_path: Path) -> None:
    store.clone(tmp_path / "clone")

    for name in ("index.json", "oci-layout"):
        assert (tmp_path / "clone" / name).read_bytes() == Path(store.path, name).read_bytes()


def test_a_clone_on_another_file_system_has_copies_of_the_blobs(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refuse)
    store.clone(tmp_path / "clone")
    monkeypatch.undo()

    with Store(tmp_path / "clone") as clone:
        assert clone.check(content=True).clean
        assert disk_bytes(clone) == disk_bytes(store)


def test_a_clone_that_finds_no_space_says_so(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", refuse)

    with pytest.raises(StorageError, match="cannot clone to") as caught:
        store.clone(tmp_path / "clone")
    assert caught.value.full


def test_the_database_of_a_clone_is_on_the_disk_when_the_clone_is_made(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[tuple[str, int]] = []
    real = os.fsync

    def note(descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        flushed.append((path, os.fstat(descriptor).st_size))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    store.clone(tmp_path / "clone")

    database = tmp_path / "clone" / "casstore.db"
    assert (str(database), database.stat().st_size) in flushed


def test_a_hard_lease_keeps_an_image_until_it_ends(store: Store) -> None:
    with store.leases.hold("other:1"):
        assert [lease.kind for lease in store.leases.list()] == ["hard"]
        assert isinstance(store.remove(["other:1"]).outcomes[0].error, Conflict)
        store.remove(["other:1"], force=True)
        assert len(store.images(all=True)) == 3
    assert store.leases.list() == []
    assert store.prune().removed


def test_a_soft_lease_keeps_an_image_unless_forced(store: Store) -> None:
    store.leases.add("ci", "other:1")

    assert isinstance(store.remove(["other:1"]).outcomes[0].error, Conflict)
    assert store.remove(["other:1"], force=True).outcomes[0].error is None
    assert store.leases.list() == []


def test_a_soft_lease_expires(store: Store) -> None:
    store.leases.add("ci", "other:1", ttl_seconds=0)

    assert store.leases.list() == []
    assert store.remove(["other:1"]).outcomes[0].error is None


def test_a_lease_that_is_not_there_cannot_be_removed(store: Store) -> None:
    with pytest.raises(NotFound):
        store.leases.remove("nosuch")


def test_leases_are_removed_together_or_not_at_all(store: Store) -> None:
    for name in ("a", "b"):
        store.leases.add(name, "app:1")
    with pytest.raises(NotFound):
        store.leases.remove("a", "nosuch", "b")
    assert [lease.name for lease in store.leases.list()] == ["a", "b"]

    store.leases.remove("a", "b", "a")
    assert store.leases.list() == []


def test_a_lease_name_is_checked(store: Store) -> None:
    with pytest.raises(UsageError):
        store.leases.add("a b", "other:1")


def test_a_directory_that_is_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("dear")

    with Store(str(tmp_path)) as store, pytest.raises(NotAStore):
        store.load(io.BytesIO(ARCHIVE))
    assert os.listdir(tmp_path) == ["letter"]


def test_reading_where_there_is_no_store_makes_none(tmp_path: Path) -> None:
    with Store(str(tmp_path / "store")) as store, pytest.raises(NotAStore) as caught:
        store.images()

    assert caught.value.exit_code == 10
    assert os.listdir(tmp_path) == []


def test_a_saved_layout_directory_shares_its_blobs_with_the_store(tmp_path: Path) -> None:
    with Store(str(tmp_path / "store")) as store:
        store.load("fixtures/transcripts/archives/chain.tar")
        store.save(["app:1"], str(tmp_path / "layout"), format="oci-dir")

    blobs = list((tmp_path / "layout" / "blobs" / "sha256").iterdir())
    assert blobs
    assert {blob.stat().st_nlink for blob in blobs} == {2}
