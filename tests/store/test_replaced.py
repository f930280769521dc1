"""A database that another process has put a new one in place of, while it was open here."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from casstore.store import Store
from tests.transfer.building import docker_archive, layer

ARCHIVE = docker_archive({"layers": [layer("a")], "tags": ["a:1"]})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store, open, whose database has been rebuilt since by somebody else."""
    store = Store(str(tmp_path / "store"))
    store.load(io.BytesIO(ARCHIVE))
    names(store)
    with Store(store.path) as other:
        other.check(rebuild=True)
        other.tag("a:1", "since:1")
    return store


def names(store: Store) -> set[str]:
    return {str(name.familiar) for image in store.images() for name in image.names}


def test_a_look_sees_what_came_since(store: Store) -> None:
    assert names(store) == {"a:1", "since:1"}


def test_a_change_is_made_where_others_see_it(store: Store) -> None:
    store.tag("a:1", "here:1")

    with Store(store.path) as other:
        assert names(other) == {"a:1", "since:1", "here:1"}


def test_a_removal_leaves_no_name_without_its_blobs(store: Store) -> None:
    store.remove(["a:1", "since:1"])

    with Store(store.path) as other:
        assert (names(other), other.check().clean) == (set(), True)


def test_closing_it_takes_no_log_of_the_new_one(store: Store) -> None:
    with Store(store.path) as other:
        other.tag("a:1", "logged:1")
        store.close()

    with Store(store.path) as another:
        assert names(another) == {"a:1", "since:1", "logged:1"}


def test_a_list_that_was_begun_before_goes_on(tmp_path: Path) -> None:
    with Store(str(tmp_path / "store")) as store, Store(str(tmp_path / "store")) as other:
        for number in range(3):
            image = {"layers": [layer(f"{number}")], "tags": [f"a:{number}"]}
            store.load(io.BytesIO(docker_archive(image)))
        begun = iter(store.each_image())
        seen = [next(begun)]
        other.check(rebuild=True)
        store.tag("a:1", "here:1")

        assert len([*seen, *begun]) == 3


def test_a_database_without_a_log_is_put_aside_as_one_file(tmp_path: Path) -> None:
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(ARCHIVE))
    with Store(str(tmp_path / "store")) as store:
        store.check(rebuild=True)

    (aside,) = (tmp_path / "store").glob("casstore.db.damaged-*")
    assert not aside.name.endswith(("-wal", "-shm"))
