"""tag, DELETE and prune of images, in dockerd's words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from casstore.server.engine.failures import container_id
from casstore.store import Store
from tests.server.engine.engine import Engine

if TYPE_CHECKING:
    from casstore.pytest_plugin import ImageFactory


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("repo=docker.io/t/b&tag=2", "t/b:2"),
        ("repo=t/b&tag=2&force=1", "t/b:2"),
        ("repo=t/b", "t/b:latest"),
        ("repo=t/b:3&tag=4", "t/b:4"),
        ("repo=localhost:5000/b&tag=2", "localhost:5000/b:2"),
    ],
)
def test_a_tag_is_made_of_repo_and_tag(
    engine: Engine, casstore_image_factory: ImageFactory, query: str, name: str
) -> None:
    image = casstore_image_factory(files={"a": "1"}, tag="a:1")

    reply = engine.post(f"/images/a:1/tag?{query}")

    assert (reply.status, reply.body) == (201, b"")
    assert engine.get(f"/images/{name}/json")["Id"] == image.id


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("repo=", 400, "image name cannot be blank"),
        ("repo=Bad", 400, "invalid reference format: repository name must be lowercase"),
        ("repo=b&tag=:", 400, "invalid reference format"),
        (f"repo=b@sha256:{'0' * 64}", 400, "refusing to create a tag with a digest reference"),
        ("repo=sha256", 400,
         "refusing to create an ambiguous tag using digest algorithm as name"),
    ],
)  # fmt: skip
def test_what_is_no_name_for_a_tag_is_refused(
    engine: Engine, casstore_image_factory: ImageFactory, query: str, status: int, message: str
) -> None:
    casstore_image_factory(files={"a": "1"}, tag="a:1")

    assert engine.refusal("POST", f"/images/a:1/tag?{query}") == (status, message)


def test_a_tag_of_nothing_is_not_found(
    engine: Engine, casstore_image_factory: ImageFactory
) -> None:
    casstore_image_factory(files={"a": "1"}, tag="a:1")

    assert engine.refusal("POST", "/images/nosuch/tag?repo=b") == (
        404,
        "No such image: nosuch:latest",
    )


def test_a_removal_is_told_line_by_line(
    engine: Engine, casstore_image_factory: ImageFactory
) -> None:
    image = casstore_image_factory(files={"a": "1"}, tag="t/a:1")

    reply = engine.call("DELETE", "/images/t/a:1")

    assert reply.status == 200
    assert reply.json == [
        {"Untagged": "t/a:1"},
        {"Deleted": image.id},
        {"Deleted": image.layers[0]},
    ]


def test_with_noprune_untagged_parents_stay(
    engine: Engine, casstore_image_factory: ImageFactory, casstore_store: Store
) -> None:
    base = casstore_image_factory(files={"a": "1"})
    casstore_image_factory(files={"b": "1"}, parent=base, tag="app:1")

    engine.call("DELETE", "/images/app:1?noprune=1")

    assert [one.id for one in casstore_store.images()] == [base.id]


def test_an_image_that_is_not_there_is_not_found(
    engine: Engine, casstore_image_factory: ImageFactory
) -> None:
    casstore_image_factory(files={"a": "1"}, tag="a:1")

    assert engine.refusal("DELETE", "/images/nosuch") == (404, "No such image: nosuch:latest")


def test_an_id_with_names_in_two_repositories_has_to_be_forced(
    engine: Engine, casstore_image_factory: ImageFactory
) -> None:
    image = casstore_image_factory(files={"a": "1"}, tag=["a:1", "b:1"])

    assert engine.refusal("DELETE", f"/images/{image.id.short}") == (
        409,
        (
            f"conflict: unable to delete {image.id.short} (must be forced)"
            " - image is referenced in multiple repositories"
        ),
    )
    assert engine.call("DELETE", f"/images/{image.id.short}?force=1").json[:2] == [
        {"Untagged": "a:1"},
        {"Untagged": "b:1"},
    ]


def test_an_image_with_children_cannot_be_forced(
    engine: Engine, casstore_image_factory: ImageFactory
) -> None:
    base = casstore_image_factory(files={"a": "1"}, tag="base:1")
    casstore_image_factory(files={"b": "1"}, parent=base, tag="app:1")

    assert engine.refusal("DELETE", f"/images/{base.id}?force=1") == (
        409,
        (
            f"conflict: unable to delete {base.id.short} (cannot be forced)"
            " - image has dependent child images"
        ),
    )


def test_a_container_holds_the_last_name(
    engine: Engine, casstore_image_factory: ImageFactory
) -> None:
    image = casstore_image_factory(files={"a": "1"}, tag="a:1")
    made = engine.post("/containers/create?name=box", b'{"Image":"a:1"}').json["Id"]

    assert engine.refusal("DELETE", "/images/a:1") == (
        409,
        (
            'conflict: unable to remove repository reference "a:1" (must force) - container'
            f" {made[:12]} is using its referenced image {image.id.short}"
        ),
    )
    assert engine.refusal("DELETE", f"/images/{image.id}") == (
        409,
        (
            f"conflict: unable to delete {image.id.short} (must be forced)"
            f" - image is being used by stopped container {made[:12]}"
        ),
    )
    assert engine.call("DELETE", "/images/a:1?force=1").status == 200


def test_a_lease_of_a_process_is_a_running_container(
    engine: Engine, casstore_image_factory: ImageFactory, casstore_store: Store
) -> None:
    image = casstore_image_factory(files={"a": "1"}, tag="a:1")
    with casstore_store.leases.hold("a:1", name="job"):
        short = container_id("job", image.id)[:12]

        assert engine.refusal("DELETE", f"/images/{image.id}?force=1") == (
            409,
            (
                f"conflict: unable to delete {image.id.short} (cannot be forced)"
                f" - image is being used by running container {short}"
            ),
        )


def test_a_pinned_image_has_to_be_forced(
    engine: Engine, casstore_image_factory: ImageFactory, casstore_store: Store
) -> None:
    image = casstore_image_factory(files={"a": "1"}, tag="a:1")
    casstore_store.pin("a:1")

    assert engine.refusal("DELETE", "/images/a:1") == (
        409,
        (
            'conflict: unable to remove repository reference "a:1" (must force)'
            f" - image {image.id.short} is pinned"
        ),
    )
    assert engine.refusal("DELETE", f"/images/{image.id}") == (
        409,
        f"conflict: unable to delete {image.id.short} (must be forced) - image is pinned",
    )


def test_single_platforms_are_not_removed(
    engine: Engine, casstore_image_factory: ImageFactory
) -> None:
    casstore_image_factory(files={"a": "1"}, tag="a:1")
    platforms = quote('{"os":"linux","architecture":"arm64"}')

    assert engine.refusal("DELETE", f"/images/a:1?platforms={platforms}") == (
        501,
        "casstore does not remove single platforms of an image",
    )


@pytest.mark.parametrize("shape", [{}, {"dangling": ["true"]}, {"dangling": {"true": True}}])
def test_prune_takes_what_is_dangling(
    engine: Engine, casstore_image_factory: ImageFactory, shape: dict[str, object]
) -> None:
    casstore_image_factory(files={"a": "1"}, tag="a:1")
    gone = casstore_image_factory(files={"b": "12345"})

    report = engine.post(f"/images/prune?filters={quote(json.dumps(shape))}").json

    assert report["ImagesDeleted"][0] == {"Deleted": gone.id}
    assert report["SpaceReclaimed"] == 5
    assert len(engine.get("/images/json")) == 1


@pytest.mark.parametrize("value", ["false", "0", "False"])
def test_prune_with_dangling_false_takes_all_that_nobody_uses(
    engine: Engine, casstore_image_factory: ImageFactory, value: str
) -> None:
    casstore_image_factory(files={"a": "1"}, tag="a:1")
    casstore_image_factory(files={"b": "1"}, tag="b:1")
    engine.post("/containers/create", b'{"Image":"b:1"}')
    filters = quote(json.dumps({"dangling": [value]}))

    report = engine.post(f"/images/prune?filters={filters}").json

    assert {"Untagged": "a:1"} in report["ImagesDeleted"]
    assert [row["RepoTags"] for row in engine.get("/images/json")] == [["b:1"]]
    engine.post("/containers/prune")


def test_prune_of_nothing_tells_of_nothing(
    engine: Engine, casstore_image_factory: ImageFactory
) -> None:
    casstore_image_factory(files={"a": "1"}, tag="a:1")

    assert engine.post("/images/prune").json == {"ImagesDeleted": None, "SpaceReclaimed": 0}


def test_prune_goes_by_time(engine: Engine, casstore_image_factory: ImageFactory) -> None:
    casstore_image_factory(files={"a": "1"}, created="2001-01-01T00:00:00Z")
    casstore_image_factory(files={"b": "1"}, created="2003-01-01T00:00:00Z")
    filters = quote(json.dumps({"until": ["2002-01-01T00:00:00Z"]}))

    engine.post(f"/images/prune?filters={filters}")

    assert [row["Created"] for row in engine.get("/images/json")] == [1041379200]


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"dangling": ["maybe"]}, "Invalid filter 'dangling=[maybe]'"),
        ({"nosuch": ["1"]}, "Invalid filter 'nosuch'"),
        ({"until": ["1h", "2h"]}, "more than one until filter specified"),
    ],
)
def test_a_wrong_filter_of_prune_is_refused(
    engine: Engine, casstore_image_factory: ImageFactory, filters: dict[str, object], message: str
) -> None:
    casstore_image_factory(files={"a": "1"})
    target = f"/images/prune?filters={quote(json.dumps(filters))}"

    assert engine.refusal("POST", target) == (400, message)
    assert len(engine.get("/images/json")) == 1


def test_a_search_finds_nothing(engine: Engine) -> None:
    assert engine.get("/images/search?term=busybox") == []
