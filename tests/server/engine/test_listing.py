"""GET /images/json: rows, filters, and what each version of the API has of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from casstore.store import Store
from tests.server.engine.engine import Engine

if TYPE_CHECKING:
    from casstore.pytest_plugin import ImageFactory, Load

FIXTURES = "fixtures/images"


def filtered(engine: Engine, filters: dict[str, Any], path: str = "/images/json") -> list[str]:
    """The first names of the images that are listed."""
    rows = engine.get(f"{path}?all=1&filters={quote(json.dumps(filters))}")
    return [row["RepoTags"][0] if row["RepoTags"] else "" for row in rows]


def test_a_row_has_what_docker_has(
    engine: Engine, casstore_image_factory: ImageFactory, casstore_store: Store
) -> None:
    image = casstore_image_factory(
        files={"a": "12345"}, config={"Labels": {"k": "v"}}, tag=["shop/app:1", "shop/app:2"]
    )
    (top,) = casstore_store.get(image.id).manifests

    assert engine.get("/images/json") == [
        {
            "Containers": 0,
            "Created": 946684800,
            "Id": image.id,
            "Labels": {"k": "v"},
            "ParentId": "",
            "RepoDigests": [],
            "RepoTags": ["shop/app:1", "shop/app:2"],
            "SharedSize": -1,
            "Size": 5,
            "Descriptor": {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": top,
                "size": casstore_store.session.view().blob_size(top),
            },
        }
    ]


def test_a_child_names_its_parent(engine: Engine, casstore_image_factory: ImageFactory) -> None:
    base = casstore_image_factory(files={"a": "1"}, tag="base:1")
    casstore_image_factory(files={"b": "1"}, parent=base, tag="app:1")

    rows = {row["RepoTags"][0]: row["ParentId"] for row in engine.get("/images/json")}

    assert rows == {"base:1": "", "app:1": base.id}


@pytest.mark.parametrize(
    ("minor", "tags", "digests"),
    [(41, ["<none>:<none>"], ["<none>@<none>"]), (42, ["<none>:<none>"], ["<none>@<none>"]),
     (43, [], [])],
)  # fmt: skip
def test_an_image_without_a_name_has_none_since_1_43(
    engine: Engine,
    casstore_image_factory: ImageFactory,
    minor: int,
    tags: list[str],
    digests: list[str],
) -> None:
    casstore_image_factory(files={"a": "1"})

    (row,) = engine.get(f"/v1.{minor}/images/json")

    assert (row["RepoTags"], row["RepoDigests"]) == (tags, digests)


def test_before_1_43_a_kind_of_name_that_is_lacking_is_null(
    engine: Engine, casstore_image_factory: ImageFactory
) -> None:
    casstore_image_factory(files={"a": "1"}, tag="a:1")

    (row,) = engine.get("/v1.42/images/json")

    assert (row["RepoTags"], row["RepoDigests"]) == (["a:1"], None)


@pytest.mark.parametrize(("minor", "is_there"), [(24, True), (43, True), (44, False)])
def test_virtual_size_ends_with_1_44(
    engine: Engine, casstore_image_factory: ImageFactory, minor: int, *, is_there: bool
) -> None:
    casstore_image_factory(files={"a": "1"}, tag="a:1")

    (row,) = engine.get(f"/v1.{minor}/images/json")

    assert ("VirtualSize" in row) is is_there


@pytest.mark.parametrize(("minor", "count"), [(50, -1), (51, 1)])
def test_containers_are_counted_since_1_51(
    engine: Engine,
    casstore_image_factory: ImageFactory,
    casstore_store: Store,
    minor: int,
    count: int,
) -> None:
    casstore_image_factory(files={"a": "1"}, tag="a:1")
    casstore_store.leases.add("nightly", "a:1")

    assert engine.get(f"/v1.{minor}/images/json")[0]["Containers"] == count
    casstore_store.leases.remove("nightly")


def test_what_images_share_is_told_where_it_is_asked_for(
    engine: Engine, casstore_image_factory: ImageFactory
) -> None:
    base = casstore_image_factory(files={"a": "12345"}, tag="base:1")
    casstore_image_factory(files={"b": "1"}, parent=base, tag="app:1")

    rows = engine.get("/images/json?shared-size=1")

    assert {row["RepoTags"][0]: row["SharedSize"] for row in rows} == {"base:1": 5, "app:1": 5}
    assert [row["SharedSize"] for row in engine.get("/images/json")] == [-1, -1]


@pytest.mark.parametrize("shape", [{"dangling": {"true": True}}, {"dangling": ["true"]},
                                   {"dangling": ["True"]}, {"dangling": ["1"]}])  # fmt: skip
def test_filters_come_in_both_shapes(
    engine: Engine, casstore_image_factory: ImageFactory, shape: dict[str, Any]
) -> None:
    casstore_image_factory(files={"a": "1"}, tag="a:1")
    casstore_image_factory(files={"b": "1"})

    assert filtered(engine, shape) == [""]


def test_a_value_that_is_false_in_a_filter_does_not_count(
    engine: Engine, casstore_image_factory: ImageFactory
) -> None:
    casstore_image_factory(files={"a": "1"}, tag="a:1")

    assert filtered(engine, {"label": {"k": False}}) == ["a:1"]


def test_a_reference_fits_the_familiar_name_and_the_canonical_one(
    engine: Engine, casstore_image_factory: ImageFactory
) -> None:
    casstore_image_factory(files={"a": "1"}, tag=["a:1", "x/b:1"])

    assert filtered(engine, {"reference": ["a"]}) == ["a:1"]
    assert filtered(engine, {"reference": ["docker.io/library/a"]}) == ["a:1"]
    assert filtered(engine, {"reference": ["x/*"]}) == ["x/b:1"]
    assert filtered(engine, {"reference": ["z"]}) == []


def test_before_1_41_a_filter_in_the_singular_is_a_reference(
    engine: Engine, casstore_image_factory: ImageFactory
) -> None:
    casstore_image_factory(files={"a": "1"}, tag="a:1")
    casstore_image_factory(files={"b": "1"}, tag="b:1")

    assert [row["RepoTags"] for row in engine.get("/v1.40/images/json?filter=a")] == [["a:1"]]
    assert len(engine.get("/v1.41/images/json?filter=a")) == 2


def test_labels_must_all_hold(engine: Engine, casstore_image_factory: ImageFactory) -> None:
    casstore_image_factory(config={"Labels": {"k": "v", "l": ""}}, files={"a": "1"}, tag="a:1")
    casstore_image_factory(config={"Labels": {"k": "v"}}, files={"a": "1"}, tag="b:1")

    assert filtered(engine, {"label": ["k=v", "l"]}) == ["a:1"]


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"nosuch": ["1"]}, "Invalid filter 'nosuch'"),
        ({"dangling": ["yes"]}, "Invalid filter 'dangling=[yes]'"),
        ({"until": ["yesterday"]}, 'failed to parse value as time or duration: "yesterday"'),
        ({"reference": ["["]}, "syntax error in pattern"),
    ],
)
def test_a_wrong_filter_is_refused_in_dockerds_words(
    engine: Engine, filters: dict[str, Any], message: str
) -> None:
    target = f"/images/json?filters={quote(json.dumps(filters))}"

    assert engine.refusal("GET", target) == (400, message)


def test_before_an_image_that_is_not_there_is_not_found(engine: Engine) -> None:
    filters = quote(json.dumps({"before": ["nosuch"]}))

    assert engine.refusal("GET", f"/images/json?filters={filters}") == (
        404,
        "No such image: nosuch:latest",
    )


def test_untagged_parents_are_listed_with_all(
    engine: Engine, casstore_image_factory: ImageFactory
) -> None:
    base = casstore_image_factory(files={"a": "1"})
    casstore_image_factory(files={"b": "1"}, parent=base, tag="app:1")

    assert len(engine.get("/images/json")) == 1
    assert len(engine.get("/images/json?all=1")) == 2


def test_manifests_of_an_index_are_told_since_1_47(engine: Engine, casstore_load: Load) -> None:
    (image,) = casstore_load(f"{FIXTURES}/podman/index-oci")

    (row,) = engine.get("/v1.47/images/json?manifests=1")

    assert row["Id"] == image.id
    assert [one["Kind"] for one in row["Manifests"]] == ["image", "image"]
    assert [one["ImageData"]["Platform"] for one in row["Manifests"]] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux", "variant": "v8"},
    ]
    assert all(one["Available"] for one in row["Manifests"])
    assert "Manifests" not in engine.get("/v1.46/images/json?manifests=1")[0]


def test_a_plain_image_is_its_own_and_only_manifest(
    engine: Engine, casstore_image_factory: ImageFactory, casstore_store: Store
) -> None:
    image = casstore_image_factory(files={"a": "1"}, tag="a:1")
    (row,) = engine.get("/images/json?manifests=1")
    (manifest,) = row["Manifests"]

    assert manifest["ID"] == image.manifests[0]
    assert manifest["Kind"] == "image"
    assert manifest["Size"]["Content"] == casstore_store.df().stored
