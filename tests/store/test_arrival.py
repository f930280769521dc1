"""When an image came into the store: once, whatever happens to its names afterwards."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from casstore import Store
from casstore.model.dockertypes import NO_TIME
from tests.store.olderstores import OLDER, recorded
from tests.store.test_foreign import foreign_image, rewrite
from tests.transfer.building import docker_archive, layer

APP = docker_archive({"layers": [layer("app")], "tags": ["app:1", "app:2"]})
OTHER = docker_archive({"layers": [layer("other")], "tags": ["app:2"]})
ARRIVED = 4  # the version from which on a store knows it
AT_NOON, AT_ONE, AT_TWO = (f"2026-05-01T{hour}:00:00Z" for hour in (12, 13, 14))
NOON = 1_777_636_800  # the same in seconds

Clock = Callable[[int], None]


@pytest.fixture
def hour(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Sets the clock so many hours after noon."""

    def to(hours: int) -> None:
        now = (NOON + hours * 3600) * 10**9
        monkeypatch.setattr(time, "time_ns", lambda: now)

    return to


@pytest.fixture(params=["directory", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path, hour: Clock) -> Iterator[Store]:
    """A store that has taken in APP at noon; it is one o'clock."""
    made = Store(tmp_path / "store") if request.param == "directory" else Store.in_memory()
    with made as store:
        hour(0)
        store.load(io.BytesIO(APP))
        hour(1)
        yield store


def arrived(store: Store, image: str) -> str:
    at: str = store.inspect(image)["Casstore"]["Arrived"]
    return at


def test_an_image_arrives_when_it_is_loaded(store: Store) -> None:
    store.load(io.BytesIO(OTHER))

    assert (arrived(store, "app:1"), arrived(store, "app:2")) == (AT_NOON, AT_ONE)


def test_an_image_that_is_made_here_arrives_then(store: Store) -> None:
    made = store.import_image(io.BytesIO(layer("made")), "made:1")

    assert arrived(store, made) == AT_ONE


def test_names_that_come_and_go_change_nothing(store: Store) -> None:
    store.tag("app:1", "new:1")
    store.remove(["app:1", "app:2"])
    store.tag("new:1", "app:2")

    assert arrived(store, "app:2") == AT_NOON


def test_an_image_that_is_loaded_again_has_been_there(store: Store) -> None:
    store.load(io.BytesIO(APP))

    assert arrived(store, "app:1") == AT_NOON


def test_an_image_that_was_removed_arrives_again(store: Store) -> None:
    store.remove(["app:1", "app:2"])
    store.load(io.BytesIO(APP))

    assert arrived(store, "app:1") == AT_ONE


def test_an_image_that_comes_back_from_the_trash_never_left(store: Store, hour: Clock) -> None:
    store.remove(["app:1", "app:2"], keep=86400.0)
    hour(2)
    (entry, *_) = store.trash.list()
    store.trash.restore(entry.id)

    assert arrived(store, entry.images[0]) == AT_NOON


def test_a_copy_arrives_where_it_is_copied_to(store: Store, tmp_path: Path) -> None:
    archive = tmp_path / "saved.tar"
    store.save(["app:1"], archive)
    with Store(tmp_path / "another") as another:
        another.load(archive)

        assert arrived(another, "app:1") == AT_ONE


def test_what_another_tool_put_into_the_store_arrives_with_the_change_that_takes_it_in(
    tmp_path: Path, hour: Clock
) -> None:
    with Store(tmp_path / "store") as store:
        hour(0)
        store.load(io.BytesIO(APP))
        rewrite(store, foreign_image(store, "foreign", name="foreign:1"))
        hour(1)
        store.tag("app:1", "new:1")

        assert (arrived(store, "app:1"), arrived(store, "foreign:1")) == (AT_NOON, AT_ONE)


def test_a_rebuild_takes_the_times_from_the_database_before_it(tmp_path: Path, hour: Clock) -> None:
    with Store(tmp_path / "store") as store:
        hour(0)
        store.load(io.BytesIO(APP))
        store.load(io.BytesIO(OTHER))
        store.remove(["app:2"], keep=86400.0)
        hour(1)
        store.check(rebuild=True)

        assert arrived(store, "app:1") == AT_NOON
        store.trash.restore("app:2")
        assert arrived(store, "app:2") == AT_NOON


def test_without_the_database_nobody_knows_when_images_arrived(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        store.load(io.BytesIO(APP))
    (tmp_path / "store" / "casstore.db").unlink()
    with Store(tmp_path / "store") as store:
        assert arrived(store, "app:1") == NO_TIME
        store.tag("app:1", "new:1")

        assert arrived(store, "app:1") == NO_TIME
        assert store.get("app:1").arrived is None


def test_get_tells_it_too(store: Store) -> None:
    image = store.get("app:1")

    assert image.arrived == NOON * 10**9
    assert image.arrived_at == datetime.fromtimestamp(NOON, UTC)


def test_a_clone_has_the_times_of_its_original(tmp_path: Path, hour: Clock) -> None:
    with Store(tmp_path / "store") as store:
        hour(0)
        store.load(io.BytesIO(APP))
        hour(1)
        store.clone(tmp_path / "clone")
    with Store(tmp_path / "clone") as clone:
        assert arrived(clone, "app:1") == AT_NOON


@pytest.mark.parametrize("version", [version for version in OLDER if version < ARRIVED])
def test_of_an_image_that_an_older_casstore_took_in_nobody_knows(
    version: int, tmp_path: Path, hour: Clock
) -> None:
    hour(1)
    with Store(recorded(version, tmp_path)) as store:
        assert arrived(store, "dw/plain:1") == NO_TIME
        store.load(io.BytesIO(APP))

        assert (arrived(store, "dw/plain:1"), arrived(store, "app:1")) == (NO_TIME, AT_ONE)
        for entry in store.trash.list():
            store.trash.restore(entry.id)
            assert arrived(store, entry.images[0]) == NO_TIME
