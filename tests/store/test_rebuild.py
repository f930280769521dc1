"""The database made anew: from what is published, with what is not, and never worse than before."""

from __future__ import annotations

import errno
import io
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from casstore.backends.local.care import listed, rebuild
from casstore.backends.local.care.rebuild import rebuild_database
from casstore.backends.local.published import LayoutFile
from casstore.errors import Damaged, NotAStore, StorageError
from casstore.model.digest import Digest
from casstore.store import Store
from tests.backends.local.behind import blanked, directory_of, view_of
from tests.transfer.building import docker_archive, layer

ARCHIVE = docker_archive(
    *({"layers": [layer("base"), layer(name)], "tags": [f"{name}:1"]} for name in "abc")
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store") as store:
        store.load(io.BytesIO(ARCHIVE))
        yield store


def names(store: Store) -> list[str]:
    return sorted(name.familiar for image in store.images() for name in image.names)


def lose_database(store: Store) -> None:
    store.close()
    for path in Path(store.path).glob("casstore.db*"):
        path.unlink()


def unpublished(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tag an image in a change that ends after its commit, before index.json is published."""

    def full(*_: object) -> None:
        raise StorageError("cannot publish index.json: input/output error")

    with monkeypatch.context() as patched:
        for name in ("splice", "write"):
            patched.setattr(LayoutFile, name, full)
        store.tag("a:1", "late:1")
    store.close()
    assert b"late:1" not in Path(directory_of(store).layout.path).read_bytes()


def edited(store: Store, **annotations: str) -> None:
    """Set annotations of the first image in index.json, which stays in our form."""
    path = Path(directory_of(store).layout.path)
    line, separator, rest = path.read_bytes().partition(b"},\n")
    head, opening, more = line.partition(b'"annotations":{')
    extra = json.dumps(annotations)[1:-1].encode()
    path.write_bytes(head + opening + extra + b"," + more + separator + rest)


def test_a_change_that_was_committed_and_not_published_is_not_lost(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpublished(store, monkeypatch)
    flushed: list[str] = []
    monkeypatch.setattr(LayoutFile, "flush", lambda _: flushed.append("index.json"))

    problems, verified = rebuild_database(directory_of(store))

    assert flushed == ["index.json"]
    assert (problems, verified) == ([], True)
    assert names(store) == ["a:1", "b:1", "c:1", "late:1"]


def test_a_damaged_database_has_no_say_in_what_is_published(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpublished(store, monkeypatch)
    blanked(Path(store.path), "reference", "sqlite_autoindex_reference_1", "reference_image")

    store.check(rebuild=True)

    assert names(store) == ["a:1", "b:1", "c:1"]


def test_from_a_damaged_database_no_lease_is_carried_over(store: Store) -> None:
    store.leases.add("mine", "a:1")
    store.close()
    blanked(Path(store.path), "edge")

    store.check(rebuild=True)

    assert store.leases.list() == []
    assert store.check().clean


def test_a_database_of_a_newer_casstore_is_not_replaced(store: Store) -> None:
    store.close()
    with closing(sqlite3.connect(directory_of(store).database)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = sorted(os.listdir(store.path))

    with pytest.raises(NotAStore, match="newer casstore"):
        rebuild_database(directory_of(store))

    assert sorted(os.listdir(store.path)) == before


def test_directories_that_are_missing_are_made(store: Store) -> None:
    lose_database(store)
    os.rmdir(directory_of(store).ingest)

    assert rebuild_database(directory_of(store)) == ([], True)
    assert names(store) == ["a:1", "b:1", "c:1"]


def test_a_rebuilt_database_is_whole_in_its_file_and_has_a_log_for_changes(store: Store) -> None:
    lose_database(store)

    rebuild_database(directory_of(store))

    path = Path(directory_of(store).database)
    assert [found.name for found in path.parent.glob("casstore.db*")] == ["casstore.db"]
    assert path.read_bytes()[18:20] == b"\x02\x02"  # WAL, as sqlite.org/fileformat2.html has it


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space"), "cannot rebuild the database: no space left on device"),
        (sqlite3.OperationalError("disk I/O error"), "is damaged (disk I/O error)"),
    ],
)
def test_a_rebuild_that_fails_leaves_the_database_as_it_was(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    store.leases.add("mine", "a:1")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(rebuild, "write_logged", fail)
    with pytest.raises((StorageError, Damaged)) as caught:
        store.check(rebuild=True)

    assert told in str(caught.value)
    assert list(Path(store.path).glob("casstore.db.damaged-*")) == []
    monkeypatch.undo()
    assert [lease.name for lease in store.leases.list()] == ["mine"]


def test_a_name_that_is_listed_twice_means_its_last_image_and_nobody_has_tagged_it(
    store: Store,
) -> None:
    path = Path(directory_of(store).layout.path)
    path.write_bytes(path.read_bytes().replace(b"c:1", b"a:1"))
    last = store.get("c:1").id
    lose_database(store)

    store.check(rebuild=True)

    assert names(store) == ["a:1", "b:1"]
    assert store.get("a:1").id == last
    assert view_of(store).last_tagged(last) == 0


def test_what_could_not_be_read_is_told_and_kept_aside(store: Store) -> None:
    lost = json.loads(Path(directory_of(store).layout.path).read_bytes())["manifests"][1]
    lose_database(store)
    os.unlink(directory_of(store).blobs.path(Digest(lost["digest"])))

    problems, verified = rebuild_database(directory_of(store))

    assert [problem.partition(": ")[0] for problem in problems] == [lost["digest"]]
    (kept,) = Path(store.path).glob("index.json.damaged-*")
    assert [one["digest"] for one in json.loads(kept.read_bytes())["manifests"]] == [lost["digest"]]
    assert verified
    assert names(store) == ["a:1", "c:1"]


def test_a_parent_that_is_no_digest_is_told_and_no_parent_is_not(store: Store) -> None:
    edited(store, **{"io.casstore.image.parent": "junk"})
    first = json.loads(Path(directory_of(store).layout.path).read_bytes())["manifests"][0]
    lose_database(store)

    problems, _ = rebuild_database(directory_of(store))

    assert problems == [f"{first['digest']}: its parent in index.json is not a digest"]


def test_a_list_that_the_disk_does_not_give_ends_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_database(store)

    def fail(*_: object) -> Any:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(listed, "lines_of", fail)

    with pytest.raises(StorageError, match=r"cannot read index\.json: input/output error; nothing"):
        rebuild_database(directory_of(store))


def unusable(path: Path) -> None:
    path.write_bytes(b"no database" * 999)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def without_rows(path: Path) -> None:
    blanked(path.parent, "reference", "sqlite_autoindex_reference_1", "reference_image")


@pytest.mark.parametrize("damage", [Path.unlink, unusable, emptied, without_rows])
def test_without_a_list_and_a_sound_database_the_images_are_found_among_the_blobs(
    store: Store, damage: Callable[[Path], None]
) -> None:
    images = {image.id for image in store.images()}
    store.close()
    os.unlink(directory_of(store).layout.path)
    damage(Path(directory_of(store).database))
    os.rmdir(directory_of(store).ingest)

    result = store.check(rebuild=True)

    assert result.clean
    assert result.repaired == (
        "index.json was lost: 3 images without names were found among the blobs",
        "the database was rebuilt from index.json and the blobs",
    )
    assert ({image.id for image in store.images(all=True)}, names(store)) == (images, [])


def test_without_a_list_a_sound_database_still_says_what_is_in_it(store: Store) -> None:
    store.close()
    os.unlink(directory_of(store).layout.path)

    result = store.check(rebuild=True)

    assert result.repaired == ("the database was rebuilt from index.json and the blobs",)
    assert names(store) == ["a:1", "b:1", "c:1"]


# Published on demand


def test_where_nothing_was_published_gc_removes_nothing_until_a_person_has_decided(
    store: Store,
) -> None:
    store.publish(on_demand=True)
    store.load(io.BytesIO(docker_archive({"layers": [layer("d")], "tags": ["d:1"]})))
    lose_database(store)

    problems, _ = rebuild_database(directory_of(store))

    assert problems == ["index.json was published before the last changes"]
    assert names(store) == ["a:1", "b:1", "c:1"]
    (kept,) = Path(store.path).glob("index.json.damaged-*")
    assert b"then remove this file" in kept.read_bytes()
    with pytest.raises(Damaged, match=kept.name):
        store.gc()


# For reading only


def test_a_reader_without_a_database_writes_nothing_and_passes_over_what_it_cannot_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = json.loads(Path(directory_of(store).layout.path).read_bytes())["manifests"][1]["digest"]
    lose_database(store)
    before = sorted(os.listdir(store.path))
    real = os.open

    def failing(path: str, *rest: int, **more: int) -> int:
        if str(path).endswith(lost[7:]):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "open", failing)

    assert names(store) == ["a:1", "c:1"]
    assert sorted(os.listdir(store.path)) == before
