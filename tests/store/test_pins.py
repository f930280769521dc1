"""Pins: what they hold, where they show, and that a rebuild keeps them."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from casstore.errors import Conflict, NotFound
from casstore.store import Store
from tests.transfer.building import docker_archive, layer

ARCHIVE = docker_archive(
    {"layers": [layer("one")], "tags": ["one:1", "one:2"]},
    {"layers": [layer("two")], "tags": ["two:1"]},
    {"layers": [layer("three")]},
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(ARCHIVE))
        yield store


def published(store: Store) -> list[str]:
    """The names (or digests) of the records of index.json that carry a pin."""
    index = json.loads(Path(store.path, "index.json").read_text(encoding="utf-8"))
    return [
        one["annotations"].get("org.opencontainers.image.ref.name", one["digest"])
        for one in index["manifests"]
        if one.get("annotations", {}).get("io.casstore.image.pinned") == "true"
    ]


def test_a_pinned_image_outlives_gc_prune_and_rmi_and_goes_by_force(store: Store) -> None:
    store.pin("two:1")
    result = store.collect({"keep": 0, "min-age": "0s"})
    store.prune(all=True)
    (refused,) = store.remove(["two:1"]).outcomes

    assert [one.code for one in result.kept] == ["pinned"]
    assert isinstance(refused.error, Conflict)
    assert [image.names[0].familiar for image in store.images()] == ["two:1"]
    assert store.remove(["two:1"], force=True).exit_code == 0
    assert store.images() == []


def test_every_record_of_a_pinned_image_says_so_until_it_is_unpinned(store: Store) -> None:
    dangling = next(image.id for image in store.images() if not image.names)
    store.pin("one:1", str(dangling))
    assert published(store) == ["one:1", "one:2", store.get(str(dangling)).manifests[0]]
    assert store.check().findings == ()
    store.pin("one:2", pinned=False)
    assert len(published(store)) == 1


def test_a_rebuild_keeps_the_pins(store: Store) -> None:
    store.pin("two:1")
    store.close()
    os.unlink(Path(store.path, "casstore.db"))
    store.check(rebuild=True)

    assert [image.pinned for image in store.images(patterns=["two"])] == [True]
    assert [image.pinned for image in store.images(patterns=["one"])] == [False]
    assert published(store) == ["two:1"]


def test_a_name_that_moves_to_a_pinned_image_and_back_keeps_index_json_in_order(
    store: Store,
) -> None:
    store.pin("one:1")
    store.tag("one:1", "two:1")
    store.tag("two:1", "three:1")
    store.remove(["one:1", "one:2"])

    assert published(store) == ["two:1", "three:1"]
    assert store.check().findings == ()


def test_pinning_twice_changes_nothing(store: Store) -> None:
    store.pin("one:1")
    before = Path(store.path, "index.json").read_bytes()
    store.pin("one:1", "one:2")

    assert Path(store.path, "index.json").read_bytes() == before


def test_all_are_pinned_or_none(store: Store) -> None:
    with pytest.raises(NotFound):
        store.pin("one:1", "nosuch")

    assert published(store) == []


def test_listings_and_details_show_a_pin(store: Store) -> None:
    store.pin("two:1")

    assert store.inspect("two:1")["Casstore"]["Pinned"] is True
    assert store.inspect("one:1")["Casstore"]["Pinned"] is False
    assert {i.names[0].familiar for i in store.images() if i.pinned} == {"two:1"}


def test_a_removed_image_that_comes_back_is_not_pinned(store: Store) -> None:
    store.pin("two:1")
    store.remove(["two:1"], force=True)
    store.load(io.BytesIO(ARCHIVE))

    assert not store.inspect("two:1")["Casstore"]["Pinned"]
