"""The server as a whole, and what it has not: ping, version, info, df, networks, volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from casstore.store import Store
from tests.server.engine.engine import Engine

if TYPE_CHECKING:
    from casstore.pytest_plugin import ImageFactory


@pytest.mark.parametrize("path", ["/_ping", "/v1.24/_ping", "/v1.51/_ping"])
def test_a_ping_is_answered(engine: Engine, path: str) -> None:
    reply = engine.call("GET", path)

    assert (reply.status, reply.body) == (200, b"OK")
    assert reply.headers.get("Builder-Version") == "1"
    assert reply.headers.get("Swarm") == "inactive"
    assert reply.headers.get("Cache-Control") == "no-cache, no-store, must-revalidate"
    assert reply.headers.get("Pragma") == "no-cache"
    assert engine.call("HEAD", path).status == 200


def test_the_version_is_told_in_both_places_where_clients_look(engine: Engine) -> None:
    told = engine.get("/version")
    (component,) = told["Components"]

    assert (told["Version"], told["ApiVersion"], told["MinAPIVersion"]) == ("1.2.3", "1.51", "1.24")
    assert component["Name"] == "Engine"
    assert component["Details"]["ApiVersion"] == "1.51"
    assert component["Details"].keys() - told.keys() == {"Experimental"}


def test_info_counts(engine: Engine, casstore_image_factory: ImageFactory) -> None:
    base = casstore_image_factory(files={"a": "1"})
    casstore_image_factory(files={"b": "1"}, parent=base, tag="app:1")
    engine.post("/containers/create?name=box", b'{"Image":"app:1"}')

    told = engine.get("/info")

    assert (told["Images"], told["Containers"], told["ContainersStopped"]) == (2, 1, 1)
    assert told["DockerRootDir"] == engine.store.path
    engine.call("DELETE", "/containers/box")


def test_disk_usage_is_dockers(engine: Engine, casstore_image_factory: ImageFactory) -> None:
    base = casstore_image_factory(files={"a": "12345"}, tag="base:1")
    casstore_image_factory(files={"b": "1"}, parent=base, tag="app:1")
    engine.post("/containers/create?name=box", b'{"Image":"app:1"}')

    told = engine.get("/system/df")

    rows = {
        row["RepoTags"][0]: (row["Size"], row["SharedSize"], row["Containers"])
        for row in told["Images"]
    }
    assert rows == {"base:1": (5, 5, 0), "app:1": (6, 5, 1)}
    assert told["LayersSize"] == 6
    assert [row["Names"] for row in told["Containers"]] == [["/box"]]
    assert (told["Volumes"], told["BuildCache"]) == ([], [])
    engine.call("DELETE", "/containers/box")


def test_disk_usage_of_chosen_types_has_no_others(engine: Engine) -> None:
    told = engine.get("/system/df?type=volume&type=container")

    assert (told["Images"], told["BuildCache"]) == (None, None)
    assert (told["Volumes"], told["Containers"]) == ([], [])


def test_an_unknown_type_of_disk_usage_is_refused(engine: Engine) -> None:
    assert engine.refusal("GET", "/system/df?type=x") == (400, "unknown object type: x")
    assert engine.call("GET", "/v1.41/system/df?type=x").status == 200


def test_the_size_of_a_builder_ends_with_1_41(engine: Engine) -> None:
    assert "BuilderSize" in engine.get("/v1.41/system/df")
    assert "BuilderSize" not in engine.get("/v1.42/system/df")


@pytest.mark.parametrize("path", ["/networks", "/plugins"])
def test_lists_of_what_there_is_not_are_empty(engine: Engine, path: str) -> None:
    assert engine.get(path) == []


def test_there_are_no_volumes(engine: Engine) -> None:
    assert engine.get("/volumes") == {"Volumes": [], "Warnings": None}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/networks/x", "network x not found"),
        ("/volumes/x", "get x: no such volume"),
        ("/plugins/x/json", 'plugin "x" not found'),
        ("/exec/x/json", "No such exec instance: x"),
    ],
)
def test_by_name_it_is_not_found(engine: Engine, path: str, message: str) -> None:
    """`docker inspect` looks through all kinds of things, and stops at any other answer."""
    assert engine.refusal("GET", path) == (404, message)


@pytest.mark.parametrize(
    "path", ["/swarm", "/nodes", "/nodes/x", "/services", "/tasks", "/secrets", "/configs/x"]
)
def test_there_is_no_swarm(engine: Engine, path: str) -> None:
    status, message = engine.refusal("GET", path)

    assert status == 503
    assert message.startswith("This node is not a swarm manager.")


@pytest.mark.parametrize(
    ("path", "report"),
    [
        ("/networks/prune", {"NetworksDeleted": None}),
        ("/volumes/prune", {"VolumesDeleted": [], "SpaceReclaimed": 0}),
        ("/build/prune?all=1", {"CachesDeleted": None, "SpaceReclaimed": 0}),
    ],
)
def test_prunes_of_what_there_is_not_succeed(
    engine: Engine, path: str, report: dict[str, object]
) -> None:
    """`docker system prune` ends with the first that does not."""
    assert engine.post(path).json == report


@pytest.mark.parametrize(
    "path", ["/build", "/commit", "/networks/create", "/volumes/create", "/plugins/pull"]
)
def test_what_makes_them_is_not_implemented(engine: Engine, path: str) -> None:
    status, message = engine.refusal("POST", path)

    assert status == 501
    assert message.startswith("casstore ")


def test_a_store_that_another_process_keeps_is_tried_again_later(
    engine: Engine, casstore_image_factory: ImageFactory
) -> None:
    casstore_image_factory(files={"a": "1"}, tag="a:1")
    other = engine.store.session.another()
    impatient = Engine(Store(engine.store.path, lock_timeout=0.01))

    with other.change():
        reply = impatient.call("POST", "/images/a:1/tag?repo=b")

    assert reply.status == 503
    assert reply.headers.get("Retry-After") == "5"
