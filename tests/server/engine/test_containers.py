"""Containers are leases: made, listed, looked at and removed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from casstore.server.engine.containers import MAX_NAME
from casstore.store import Store
from tests.server.engine.engine import Engine

if TYPE_CHECKING:
    from casstore.pytest_plugin import ImageFactory
    from casstore.results.images import Image


@pytest.fixture(autouse=True)
def image(casstore_image_factory: ImageFactory) -> Image:
    config = {"Entrypoint": ["/sh"], "Cmd": ["-c", "x"], "Labels": {"k": "v"}}
    return casstore_image_factory(files={"a": "12345"}, config=config, tag="a:1")


@pytest.fixture(autouse=True)
def no_lease_stays(casstore_store: Store, image: Image) -> Any:
    """What a test leaves here is its business; the end of the fixture asks for none."""
    yield
    for lease in casstore_store.leases.list():
        casstore_store.leases.remove(lease.name)


def created(engine: Engine, name: str = "", image: str = "a:1") -> str:
    reply = engine.post(f"/containers/create?name={name}", json.dumps({"Image": image}).encode())
    assert reply.status == 201, reply.body
    made: str = reply.json["Id"]
    return made


def ids(engine: Engine, query: str = "all=1") -> list[str]:
    return [row["Id"] for row in engine.get(f"/containers/json?{query}")]


def test_a_container_is_a_soft_lease_by_its_name(engine: Engine, casstore_store: Store) -> None:
    created(engine, "box")

    (lease,) = casstore_store.leases.list()
    assert (lease.name, lease.kind) == ("docker-box", "soft")


def test_a_container_without_a_name_gets_one(engine: Engine) -> None:
    first, second = created(engine), created(engine)

    assert first != second
    assert len(ids(engine)) == 2


def test_create_answers_as_docker_does(engine: Engine) -> None:
    reply = engine.post("/containers/create", b'{"Image":"a:1","Cmd":["sh"]}')

    assert set(reply.json) == {"Id", "Warnings"}
    assert len(reply.json["Id"]) == 64


@pytest.mark.parametrize(
    ("query", "body", "status", "message"),
    [
        ("", b'{"Image":"nosuch"}', 404, "No such image: nosuch:latest"),
        ("", b"{}", 400, "Config cannot be empty in order to create a container"),
        ("name=-x", b'{"Image":"a:1"}', 400,
         "Invalid container name (-x), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
        ("name=x/y", b'{"Image":"a:1"}', 400,
         "Invalid container name (x/y), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
    ],
)  # fmt: skip
def test_a_container_that_cannot_be_made_is_refused(
    engine: Engine, query: str, body: bytes, status: int, message: str
) -> None:
    assert engine.refusal("POST", f"/containers/create?{query}", body) == (status, message)
    assert ids(engine) == []


def test_a_name_may_be_so_long_and_no_longer(engine: Engine) -> None:
    created(engine, "x" * MAX_NAME)

    body = b'{"Image":"a:1"}'
    target = f"/containers/create?name={'x' * (MAX_NAME + 1)}"
    assert engine.refusal("POST", target, body)[0] == 400


def test_a_name_that_is_taken_is_a_conflict(engine: Engine) -> None:
    made = created(engine, "box")

    assert engine.refusal("POST", "/containers/create?name=box", b'{"Image":"a:1"}') == (
        409,
        (
            f'Conflict. The container name "/box" is already in use by container "{made}". You have'
            " to remove (or rename) that container to be able to reuse that name."
        ),
    )


def test_only_running_containers_are_listed_by_default(
    engine: Engine, casstore_store: Store
) -> None:
    created(engine, "box")
    with casstore_store.leases.hold("a:1", name="job"):
        (running,) = engine.get("/containers/json")

        assert (running["Names"], running["State"], running["Status"]) == (
            ["/job"],
            "running",
            "Up",
        )
        assert len(ids(engine)) == 2
    assert ids(engine, "") == []


def test_a_row_has_what_docker_ps_shows(engine: Engine, image: Image) -> None:
    made = created(engine, "box")

    (row,) = engine.get("/containers/json?all=1&size=1")

    assert row["Id"] == made
    assert (row["Names"], row["Image"], row["ImageID"]) == (["/box"], "a:1", image.id)
    assert (row["State"], row["Status"], row["SizeRootFs"]) == ("created", "Created", 5)
    assert "SizeRootFs" not in engine.get("/containers/json?all=1")[0]


def test_when_a_container_was_made_is_known(engine: Engine, casstore_store: Store) -> None:
    from casstore.clock import current_time

    before = current_time() // 10**9
    created(engine, "box")

    (row,) = engine.get("/containers/json?all=1")

    assert before <= row["Created"] <= current_time() // 10**9


def test_the_newest_comes_first(engine: Engine) -> None:
    names = [created(engine, name) for name in ("b", "a", "c")]

    assert ids(engine) == names[::-1]
    assert ids(engine, "limit=1") == names[-1:]


def test_a_lease_of_the_command_line_is_a_container_too(
    engine: Engine, casstore_store: Store
) -> None:
    casstore_store.leases.add("nightly", "a:1")

    (row,) = engine.get("/containers/json?all=1")

    assert row["Names"] == ["/nightly"]
    assert engine.call("DELETE", f"/containers/{row['Id']}").status == 204


@pytest.mark.parametrize(
    ("filters", "is_listed"),
    [
        ({"name": ["ox"]}, True),
        ({"name": ["/box"]}, True),
        ({"name": ["other"]}, False),
        ({"status": ["created"]}, True),
        ({"status": ["running", "created"]}, True),
        ({"status": ["running"]}, False),
        ({"ancestor": ["a:1"]}, True),
        ({"ancestor": ["nosuch"]}, False),
        ({"label": ["k=v"]}, False),
        ({"label": ["com.docker.compose.project"], "name": ["box"]}, False),
        ({"health": ["none"]}, True),
    ],
)
def test_filters_choose(engine: Engine, filters: dict[str, list[str]], *, is_listed: bool) -> None:
    created(engine, "box")

    query = f"all=1&filters={quote(json.dumps(filters))}"

    assert bool(ids(engine, query)) is is_listed


def test_an_unknown_filter_is_refused(engine: Engine) -> None:
    filters = quote('{"nosuch":["1"]}')

    assert engine.refusal("GET", f"/containers/json?filters={filters}") == (
        400,
        "Invalid filter 'nosuch'",
    )


def test_a_container_is_found_by_name_id_and_prefix(engine: Engine) -> None:
    made = created(engine, "box")

    for wanted in ("box", made, made[:12], made[:3]):
        assert engine.get(f"/containers/{wanted}/json")["Id"] == made


def test_inspect_tells_of_the_image(engine: Engine, image: Image) -> None:
    created(engine, "box")

    shown = engine.get("/containers/box/json?size=1")

    assert (shown["Name"], shown["Image"]) == ("/box", image.id)
    assert (shown["Path"], shown["Args"]) == ("/sh", ["-c", "x"])
    assert shown["State"]["Status"] == "created"
    assert shown["Config"]["Labels"] == {"k": "v"}
    assert (shown["SizeRw"], shown["SizeRootFs"]) == (0, 5)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/containers/nosuch/json"),
        ("DELETE", "/containers/nosuch"),
        ("POST", "/containers/nosuch/start"),
        ("GET", "/containers/nosuch/export"),
        ("GET", "/containers/nosuch/archive?path=/"),
        ("GET", "/containers/nosuch/changes"),
    ],
)
def test_a_container_that_is_not_there_is_not_found(engine: Engine, method: str, path: str) -> None:
    assert engine.refusal(method, path) == (404, "No such container: nosuch")


@pytest.mark.parametrize(
    ("method", "verb"),
    [
        ("POST", "start"),
        ("POST", "stop"),
        ("POST", "kill"),
        ("POST", "exec"),
        ("POST", "attach"),
        ("GET", "logs"),
        ("GET", "stats"),
        ("POST", "wait"),
        ("POST", "rename"),
        ("GET", "top"),
    ],
)
def test_what_needs_a_process_is_not_implemented(engine: Engine, method: str, verb: str) -> None:
    created(engine, "box")

    assert engine.refusal(method, f"/containers/box/{verb}") == (
        501,
        "casstore runs no containers: a container here holds an image, and its files can be read",
    )


def test_nothing_is_copied_into_a_container(engine: Engine) -> None:
    created(engine, "box")

    assert engine.refusal("PUT", "/containers/box/archive?path=/") == (
        501,
        "casstore writes no files into a container: images do not change",
    )


def test_nothing_has_changed_in_a_container(engine: Engine) -> None:
    created(engine, "box")

    assert engine.get("/containers/box/changes") is None


def test_a_container_ends_with_its_removal(engine: Engine, casstore_store: Store) -> None:
    made = created(engine, "box")

    reply = engine.call("DELETE", f"/containers/{made}?v=1")

    assert (reply.status, reply.body) == (204, b"")
    assert casstore_store.leases.list() == []


def test_a_running_container_is_not_removed(engine: Engine, casstore_store: Store) -> None:
    with casstore_store.leases.hold("a:1", name="job"):
        status, message = engine.refusal("DELETE", "/containers/job?force=1")

    assert status == 409
    assert message.startswith("You cannot remove a running container ")
    assert "Stop the container before attempting removal" in message


def test_prune_ends_what_docker_create_made_and_nothing_else(
    engine: Engine, casstore_store: Store
) -> None:
    made = created(engine, "box")
    casstore_store.leases.add("nightly", "a:1")

    report = engine.post("/containers/prune").json

    assert report == {"ContainersDeleted": [made], "SpaceReclaimed": 0}
    assert [lease.name for lease in casstore_store.leases.list()] == ["nightly"]


@pytest.mark.parametrize(
    ("filters", "count"), [({"until": ["1h"]}, 1), ({"until": ["0s"]}, 0), ({"label": ["k"]}, 1)]
)
def test_prune_of_containers_goes_by_filters(
    engine: Engine, filters: dict[str, list[str]], count: int
) -> None:
    created(engine, "box")

    engine.post(f"/containers/prune?filters={quote(json.dumps(filters))}")

    assert len(ids(engine)) == count


def test_prune_of_no_containers_tells_of_none(engine: Engine) -> None:
    assert engine.post("/containers/prune").json == {
        "ContainersDeleted": None,
        "SpaceReclaimed": 0,
    }
