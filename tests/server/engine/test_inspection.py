"""One image: inspect and history, in the shape of each version."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from casstore.store import Store
from tests.server.engine.engine import Engine
from tests.transfer.building import docker_archive, layer

if TYPE_CHECKING:
    from casstore.pytest_plugin import ImageFactory, Load

FIXTURES = "fixtures/images"
ARM = quote('{"os":"linux","architecture":"arm64","variant":"v8"}')


def test_an_image_is_shown_as_docker_shows_it(
    engine: Engine, casstore_load: Load, casstore_store: Store
) -> None:
    casstore_load(f"{FIXTURES}/docker-save/single.tar")

    shown = engine.get("/v1.41/images/shop/single:1.0/json")

    assert shown == casstore_store.inspect("shop/single:1.0")


@pytest.mark.parametrize("name", ["a:1", "docker.io/library/a:1", "library/a:1"])
def test_a_name_is_understood_in_every_form(
    engine: Engine, casstore_image_factory: ImageFactory, name: str
) -> None:
    image = casstore_image_factory(files={"a": "1"}, tag="a:1")

    assert engine.get(f"/images/{name}/json")["Id"] == image.id


def test_an_id_is_understood_with_and_without_its_algorithm_and_cut(
    engine: Engine, casstore_image_factory: ImageFactory
) -> None:
    image = casstore_image_factory(files={"a": "1"}, tag="a:1")

    for name in (image.id, image.id.hex, image.id.short, image.id[:20]):
        assert engine.get(f"/images/{name}/json")["Id"] == image.id


def test_a_name_may_hold_slashes_and_a_port(
    engine: Engine, casstore_image_factory: ImageFactory
) -> None:
    image = casstore_image_factory(files={"a": "1"}, tag="localhost:5000/team/json/app:1")

    assert engine.get("/images/localhost:5000/team/json/app:1/json")["Id"] == image.id


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("nosuch", 404, "No such image: nosuch:latest"),
        ("6ad4", 404, "No such image: 6ad4:latest"),
        ("Bad", 400, "invalid reference format: repository name must be lowercase"),
        ("gensokyo.jp//kirisame", 400, "invalid reference format"),
    ],
)
def test_what_is_not_there_is_told_in_dockerds_words(
    engine: Engine, name: str, status: int, message: str
) -> None:
    assert engine.refusal("GET", f"/images/{name}/json") == (status, message)
    assert engine.refusal("GET", f"/images/{name}/history") == (status, message)


@pytest.mark.parametrize(
    ("key", "last"), [("VirtualSize", 43), ("Container", 44), ("ContainerConfig", 44)]
)
def test_fields_end_with_their_version(
    engine: Engine, casstore_image_factory: ImageFactory, key: str, last: int
) -> None:
    casstore_image_factory(files={"a": "1"}, tag="a:1")

    assert key in engine.get(f"/v1.{last}/images/a:1/json")
    assert key not in engine.get(f"/v1.{last + 1}/images/a:1/json")


@pytest.mark.parametrize("key", ["Hostname", "Domainname", "AttachStdin", "Tty", "Image"])
def test_fields_of_containers_stand_in_the_config_until_1_49(
    engine: Engine, casstore_image_factory: ImageFactory, key: str
) -> None:
    casstore_image_factory(files={"a": "1"}, tag="a:1")

    assert key in engine.get("/v1.49/images/a:1/json")["Config"]
    assert key not in engine.get("/v1.50/images/a:1/json")["Config"]


def test_the_descriptor_is_told_since_1_48(
    engine: Engine, casstore_image_factory: ImageFactory
) -> None:
    image = casstore_image_factory(files={"a": "1"}, tag="a:1")

    assert "Descriptor" not in engine.get("/v1.47/images/a:1/json")
    assert engine.get("/v1.48/images/a:1/json")["Descriptor"]["digest"] == image.manifests[0]


def test_manifests_are_told_since_1_48_where_they_are_asked_for(
    engine: Engine, casstore_image_factory: ImageFactory
) -> None:
    casstore_image_factory(files={"a": "1"}, tag="a:1")

    assert "Manifests" not in engine.get("/v1.48/images/a:1/json")
    assert "Manifests" not in engine.get("/v1.47/images/a:1/json?manifests=1")
    assert len(engine.get("/v1.48/images/a:1/json?manifests=1")["Manifests"]) == 1


def test_what_is_our_own_stands_under_our_own_name_alone(
    engine: Engine, casstore_image_factory: ImageFactory, casstore_store: Store
) -> None:
    casstore_image_factory(files={"a": "1"}, tag="a:1")
    casstore_store.pin("a:1")

    assert engine.get("/images/a:1/json")["Casstore"]["Pinned"] is True


def test_an_image_without_a_time_has_none_since_1_44(engine: Engine, casstore_store: Store) -> None:
    archive = docker_archive({"layers": [layer("a")], "tags": ["a:1"]})
    (image,) = casstore_store.load(io.BytesIO(archive)).images

    assert engine.get(f"/v1.43/images/{image.id}/json")["Created"] == "0001-01-01T00:00:00Z"
    assert "Created" not in engine.get(f"/v1.44/images/{image.id}/json")


def test_an_index_is_shown_for_the_platform_that_is_asked_for(
    engine: Engine, casstore_load: Load
) -> None:
    (image,) = casstore_load(f"{FIXTURES}/podman/index-oci")

    shown = engine.get(f"/images/{image.id}/json?platform={ARM}")

    assert (shown["Architecture"], shown["Variant"]) == ("arm64", "v8")
    assert shown["Id"] == image.id  # which can be asked for again
    assert shown["RootFS"]["Layers"]


def test_a_platform_that_is_not_there_is_not_found(engine: Engine, casstore_load: Load) -> None:
    (image,) = casstore_load(f"{FIXTURES}/podman/index-oci")
    platform = quote('{"os":"linux","architecture":"s390x"}')

    assert engine.refusal("GET", f"/images/{image.id}/json?platform={platform}") == (
        404,
        "the image is not there for the platform linux/s390x",
    )


@pytest.mark.parametrize(
    ("platform", "message"),
    [
        ("x", "the platform is not a JSON object"),
        ('{"os":"linux"}', "both os and architecture of a platform must be provided"),
    ],
)
def test_a_platform_that_is_none_is_refused(
    engine: Engine, casstore_image_factory: ImageFactory, platform: str, message: str
) -> None:
    casstore_image_factory(files={"a": "1"}, tag="a:1")

    assert engine.refusal("GET", f"/images/a:1/json?platform={quote(platform)}") == (400, message)


def test_manifests_and_a_platform_exclude_each_other(
    engine: Engine, casstore_image_factory: ImageFactory
) -> None:
    casstore_image_factory(files={"a": "1"}, tag="a:1")

    assert engine.refusal("GET", f"/images/a:1/json?platform={ARM}&manifests=1") == (
        400,
        'conflicting options: "manifests" and "platform" options are exclusive',
    )


def test_history_is_newest_first_with_the_ids_that_are_known(
    engine: Engine, casstore_image_factory: ImageFactory
) -> None:
    base = casstore_image_factory(files={"a": "123"}, tag="base:1")
    app = casstore_image_factory(files={"b": "1"}, parent=base, tag="app:1")

    steps = engine.get("/images/app:1/history")

    assert [step["Id"] for step in steps] == [app.id, base.id]
    assert [step["Size"] for step in steps] == [1, 3]
    assert [step["Tags"] for step in steps] == [["app:1"], ["base:1"]]
    assert set(steps[0]) == {"Comment", "Created", "CreatedBy", "Id", "Size", "Tags"}


def test_history_of_an_unknown_ancestor_is_missing(engine: Engine, casstore_load: Load) -> None:
    casstore_load(f"{FIXTURES}/docker-save/single.tar")

    steps = engine.get("/images/shop/single:1.0/history")

    assert {step["Id"] for step in steps[1:]} == {"<missing>"}
    assert all(step["Tags"] is None for step in steps[1:])


def test_history_of_an_index_is_that_of_a_platform(engine: Engine, casstore_load: Load) -> None:
    (image,) = casstore_load(f"{FIXTURES}/podman/index-oci")

    steps = engine.get(f"/images/{image.id}/history?platform={ARM}")

    assert steps
    assert steps[0]["Id"] == image.id
