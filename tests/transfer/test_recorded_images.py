"""Every archive and layout that other tools made: the same IDs, layers, names and parents."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from casstore.errors import CasstoreError
from casstore.model.record import Arrival
from casstore.transfer.compress import DEFAULT
from casstore.transfer.source import read_images
from tests.transfer.intake import FakeIntake

FIXTURES = os.path.join(os.path.dirname(__file__), os.pardir, os.pardir, "fixtures")
# Other projects' test data is not copied; it is read where it lies, if it does.
SHARED = os.environ.get("CASSTORE_SHARED_IMAGES", "")
FORMATS = ("docker-archive", "docker-archive-v1", "oci-archive", "oci-dir", "dir")


def listed(root: str) -> list[dict[str, Any]]:
    with open(os.path.join(root, "manifest.json")) as file:
        return [item for item in json.load(file)["inputs"] if item["format"] in FORMATS]


INPUTS = listed(os.path.join(FIXTURES, "images"))
FOREIGN = [item for item in listed(SHARED) if item["path"][:12] == "third-party/"] if SHARED else []

# What readers disagree about, as it is decided here.
DECIDED_TO_REFUSE = frozenset(
    (
        "edited/tag-digest",
        "edited/parent-cycle",
        # its blobs lie in a folder beside it, which no layout does without being told
        "skopeo/split-one",
        "skopeo/dir-v2s1",  # a manifest of schema 1
    )
)


def where(item: dict[str, Any]) -> str:
    for root in (os.path.join(FIXTURES, "images"), SHARED):
        path = os.path.join(root, item["path"])
        if root and os.path.exists(path):
            return path
    pytest.skip(f"{item['path']} is not here: set CASSTORE_SHARED_IMAGES")


def load(item: dict[str, Any]) -> list[Arrival]:
    return read_images(where(item), FakeIntake(), compression=DEFAULT)


def is_refused(item: dict[str, Any]) -> bool:
    return item.get("expect") == "refuse" or item["id"] in DECIDED_TO_REFUSE


def by_id(items: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(item, id=item["id"]) for item in items]


READABLE = [item for item in INPUTS if not is_refused(item)]


@pytest.mark.parametrize("item", by_id([item for item in INPUTS if is_refused(item)]))
def test_what_is_wrong_is_refused_in_one_line(item: dict[str, Any]) -> None:
    with pytest.raises(CasstoreError) as caught:
        load(item)

    assert str(caught.value).isprintable()


@pytest.mark.parametrize("item", by_id(READABLE))
def test_the_images_are_those_of_the_tool_that_made_them(item: dict[str, Any]) -> None:
    arrivals = load(item)

    found = {arrival.image.id for arrival in arrivals}
    held = {blob.digest for arrival in arrivals for blob in arrival.image.blobs}
    for image in item.get("images", ()):
        if "id" in image and not image.get("missing") and item.get("expect") != "decide":
            assert image["id"] in found | held
    for index in item.get("indexes", ()):
        assert index["manifest"]["digest"] in found | held


@pytest.mark.parametrize("item", by_id(READABLE))
def test_the_layers_have_their_diff_ids_and_sizes(item: dict[str, Any]) -> None:
    layers = {
        each.diff_id: each.diff_size for arrival in load(item) for each in arrival.image.layers
    }

    for image in item.get("images", ()):
        for layer in image.get("layers", ()) if not image.get("missing") else ():
            if "diff_size" in layer and layer.get("matches_config", True):
                is_readable = "tar" in layer.get("media_type", "tar")
                assert not is_readable or layers[layer["diff_id"]] == layer["diff_size"]


DOCKERS = [
    item
    for item in READABLE
    if item.get("docker_load", {}).get("exit") == 0 and item["format"].startswith("docker-archive")
]


@pytest.mark.parametrize("item", by_id(DOCKERS))
def test_ids_names_and_parents_are_what_docker_load_gave(item: dict[str, Any]) -> None:
    owner: dict[str, str] = {}
    images = {}
    for arrival in load(item):
        owner |= {name.familiar: arrival.image.id for name in arrival.names}
        images[arrival.image.id] = arrival.parent

    expected = item["docker_load"]["images"]
    assert images == {image["id"]: image["parent"] for image in expected}
    assert owner == {tag: image["id"] for image in expected for tag in image["repo_tags"]}


@pytest.mark.skipif(not SHARED, reason="CASSTORE_SHARED_IMAGES is not set")
@pytest.mark.parametrize("item", by_id(FOREIGN))
def test_the_test_data_of_other_projects_loads_or_is_refused(item: dict[str, Any]) -> None:
    refusal = None
    try:
        load(item)
    except CasstoreError as error:
        refusal = str(error)

    assert item["expect"] != ("refuse" if refusal is None else "accept"), refusal
    assert refusal is None or refusal.isprintable()
