"""Pull, push, and what a registry has: against a real registry, with the client's own login."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from casstore.registry.credentials import Login
from casstore.server.engine.call import Call
from casstore.server.engine.exchange import ways
from casstore.server.engine.options import EngineOptions
from casstore.server.message import Request as ServerRequest
from casstore.store import Store
from tests.registry.servers import Ask, Proxy, RealRegistry, Reply, Request
from tests.server.engine.engine import Engine

if TYPE_CHECKING:
    from casstore.pytest_plugin import ImageFactory, Load


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    server = RealRegistry(tmp_path_factory.mktemp("registry"))
    yield server
    server.stop()


@pytest.fixture
def proxy(registry: RealRegistry) -> Iterator[Proxy]:
    server = Proxy(registry.host)
    yield server
    server.stop()


def packed(**login: str) -> dict[str, str]:
    return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(login).encode()).decode()}


def statuses(lines: list[dict[str, Any]]) -> list[str]:
    return [line["status"] for line in lines if "status" in line]


def asks_for_login(request: Request, ask: Ask) -> Reply | None:
    """Whoever is not alice is a stranger."""
    wanted = "Basic " + base64.b64encode(b"alice:secret").decode()
    if request.headers.get("authorization") == wanted:
        return None
    return Reply(401, {"WWW-Authenticate": 'Basic realm="here"'}, b"{}")


def test_a_push_and_a_pull_tell_what_docker_tells(
    engine: Engine, registry: RealRegistry, casstore_image_factory: ImageFactory
) -> None:
    name = f"{registry.host}/told/app"
    image = casstore_image_factory(files={"a": "12345"}, tag=f"{name}:1")
    layer = image.layers[0].short

    pushed = engine.post(f"/images/{name}/push?tag=1").lines

    digest = image.manifests[0]
    size = engine.store.session.view().blob_size(digest)
    assert statuses(pushed) == [
        f"The push refers to repository [{name}]",
        "Preparing",
        "Pushed",
        f"1: digest: {digest} size: {size}",
    ]
    assert pushed[-1] == {
        "progressDetail": {},
        "aux": {"Tag": "1", "Digest": digest, "Size": size},
    }
    assert {line["id"] for line in pushed if "id" in line} == {layer}

    engine.call("DELETE", f"/images/{name}:1")
    pulled = engine.post(f"/images/create?fromImage={name}&tag=1").lines

    assert statuses(pulled) == [
        "Pulling from told/app",
        "Pulling fs layer",
        "Download complete",
        "Pull complete",
        f"Digest: {digest}",
        f"Status: Downloaded newer image for {name}:1",
    ]
    assert pulled[0]["id"] == "1"
    assert {line["id"] for line in pulled[1:-2]} == {layer}
    assert engine.get(f"/images/{name}:1/json")["Id"] == image.id


def test_a_pull_of_what_is_there_says_so(
    engine: Engine, registry: RealRegistry, casstore_image_factory: ImageFactory
) -> None:
    name = f"{registry.host}/same/app"
    casstore_image_factory(files={"a": "1"}, tag=f"{name}:1")
    engine.post(f"/images/{name}/push?tag=1")

    lines = engine.post(f"/images/create?fromImage={name}&tag=1").lines

    assert lines[-1] == {"status": f"Status: Image is up to date for {name}:1"}


def test_a_pull_by_digest_names_the_digest(
    engine: Engine, registry: RealRegistry, casstore_image_factory: ImageFactory
) -> None:
    name = f"{registry.host}/digest/app"
    image = casstore_image_factory(files={"a": "1"}, tag=f"{name}:1")
    engine.post(f"/images/{name}/push?tag=1")
    engine.call("DELETE", f"/images/{name}:1")
    digest = image.manifests[0]

    lines = engine.post(f"/images/create?fromImage={name}&tag={digest}").lines

    assert lines[0] == {"status": "Pulling from digest/app", "id": digest}
    assert engine.get("/images/json")[0]["RepoDigests"] == [f"{name}@{digest}"]


def test_without_a_tag_every_tag_is_pulled_and_pushed(
    engine: Engine, registry: RealRegistry, casstore_image_factory: ImageFactory
) -> None:
    name = f"{registry.host}/all/app"
    casstore_image_factory(files={"a": "1"}, tag=[f"{name}:1", f"{name}:2"])

    pushed = engine.post(f"/images/{name}/push").lines
    engine.call("DELETE", f"/images/{name}:1?force=1")
    engine.call("DELETE", f"/images/{name}:2?force=1")
    pulled = engine.post(f"/images/create?fromImage={name}").lines

    assert [line["aux"]["Tag"] for line in pushed if "aux" in line] == ["1", "2"]
    assert pulled[-1] == {"status": f"Status: Downloaded newer image for {name}"}
    (row,) = engine.get("/images/json")
    assert sorted(row["RepoTags"]) == [f"{name}:1", f"{name}:2"]


def test_what_the_registry_lacks_is_an_answer_of_its_own(
    engine: Engine, registry: RealRegistry
) -> None:
    status, message = engine.refusal("POST", f"/images/create?fromImage={registry.host}/no&tag=1")

    assert status == 404
    assert f"{registry.host}/no:1" in message


def test_a_name_that_is_none_is_refused_before_anybody_is_asked(engine: Engine) -> None:
    assert engine.refusal("POST", "/images/create?fromImage=Bad&tag=1") == (
        400,
        "invalid reference format: repository name must be lowercase",
    )


def test_a_platform_is_checked(engine: Engine) -> None:
    assert engine.refusal("POST", "/images/create?fromImage=a&tag=1&platform=foobar") == (
        400,
        'invalid platform "foobar": unknown operating system or architecture',
    )


def test_the_platform_of_an_index_is_pulled(
    engine: Engine, registry: RealRegistry, casstore_load: Load
) -> None:
    (index,) = casstore_load("fixtures/images/podman/index-oci")
    name = f"{registry.host}/index/app"
    engine.post(f"/images/{index.id}/tag?repo={name}&tag=1")
    engine.post(f"/images/{name}/push?tag=1")

    engine.post(f"/images/create?fromImage={name}&tag=1&platform=linux/arm64/v8")

    shown = engine.get(f"/images/{name}:1/json")
    assert (shown["Os"], shown["Architecture"], shown["Variant"]) == ("linux", "arm64", "v8")


def test_a_push_of_nothing_says_so_in_the_stream(engine: Engine) -> None:
    engine.post("/images/load", b"")
    reply = engine.post("/images/localhost:1/nosuch/push?tag=1")

    assert reply.status == 200
    assert reply.lines[0] == {
        "status": "The push refers to repository [localhost:1/nosuch]",
    }
    assert "does not exist locally" in reply.lines[-1]["error"]


def test_the_login_of_the_client_counts(
    engine: Engine, proxy: Proxy, casstore_image_factory: ImageFactory
) -> None:
    proxy.rule(asks_for_login)
    name = f"{proxy.host}/login/app"
    casstore_image_factory(files={"a": "1"}, tag=f"{name}:1")
    headers = packed(username="alice", password="secret")  # noqa: S106 - of this test alone

    pushed = engine.call("POST", f"/images/{name}/push?tag=1", headers=headers).lines
    assert "aux" in pushed[-1]

    stranger = engine.call("POST", f"/images/create?fromImage={name}&tag=1")
    assert stranger.status == 404
    assert stranger.message.startswith(
        f"pull access denied for {name}, repository does not exist or may require 'docker login'"
    )
    known = engine.call("POST", f"/images/create?fromImage={name}&tag=1", headers=headers)
    assert known.status == 200


@pytest.mark.parametrize("header", ["x", "!!!", "W10="])
def test_a_login_that_is_none_is_refused(engine: Engine, header: str) -> None:
    reply = engine.call(
        "POST", "/images/create?fromImage=a&tag=1", headers={"X-Registry-Auth": header}
    )

    assert reply.status == 400


def test_an_empty_login_is_that_of_a_stranger(
    engine: Engine, registry: RealRegistry, casstore_image_factory: ImageFactory
) -> None:
    name = f"{registry.host}/empty/app"
    casstore_image_factory(files={"a": "1"}, tag=f"{name}:1")

    reply = engine.call("POST", f"/images/{name}/push?tag=1", headers={"X-Registry-Auth": "e30="})

    assert "aux" in reply.lines[-1]


def test_a_mirror_stands_for_docker_io(
    casstore_store: Store, proxy: Proxy, casstore_image_factory: ImageFactory
) -> None:
    engine = Engine(casstore_store, EngineOptions(mirrors=(f"http://{proxy.host}",)))
    casstore_image_factory(files={"a": "1"}, tag=f"{proxy.host}/library/busybox:1")
    engine.post(f"/images/{proxy.host}/library/busybox/push?tag=1")

    pulled = engine.post("/images/create?fromImage=busybox&tag=1").lines

    assert pulled[-1]["status"] == "Status: Downloaded newer image for busybox:1"
    assert engine.get("/images/busybox:1/json")["RepoTags"][-1] == "busybox:1"


@pytest.mark.parametrize(
    ("name", "mirrors"), [("busybox", ["http://mirror:1", "other", ""]), ("quay.io/a/b", [""])]
)
def test_mirrors_of_docker_io_are_asked_first_and_without_the_login(
    engine: Engine, name: str, mirrors: list[str]
) -> None:
    options = EngineOptions(mirrors=("http://mirror:1", "other"))
    call = Call(ServerRequest("POST", "/"), engine.store, options, (1, 51), {})
    login = Login("alice", "secret")

    found = list(ways(call, name, login))

    assert [transport.mirror for transport in found] == mirrors
    assert [transport.login for transport in found[:-1]] == [None] * (len(mirrors) - 1)
    assert found[-1].login == login


def test_what_a_registry_has_is_described_without_a_pull(
    engine: Engine, registry: RealRegistry, casstore_image_factory: ImageFactory
) -> None:
    name = f"{registry.host}/described/app"
    image = casstore_image_factory(files={"a": "1"}, tag=f"{name}:1")
    engine.post(f"/images/{name}/push?tag=1")
    digest = image.manifests[0]

    assert engine.get(f"/distribution/{name}:1/json") == {
        "Descriptor": {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest,
            "size": engine.store.session.view().blob_size(digest),
        },
        "Platforms": [{"architecture": image.architecture, "os": "linux"}],
    }


def test_the_platforms_of_an_index_are_described(
    engine: Engine, registry: RealRegistry, casstore_load: Load
) -> None:
    (index,) = casstore_load("fixtures/images/podman/index-oci")
    name = f"{registry.host}/described/index"
    engine.post(f"/images/{index.id}/tag?repo={name}&tag=1")
    engine.post(f"/images/{name}/push?tag=1")

    told = engine.get(f"/distribution/{name}:1/json")

    assert told["Platforms"] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux", "variant": "v8"},
    ]


def test_a_login_is_tried_out_and_not_kept(engine: Engine, proxy: Proxy) -> None:
    proxy.rule(asks_for_login)
    login = {"username": "alice", "password": "secret", "serveraddress": f"http://{proxy.host}/v1/"}

    reply = engine.post("/auth", json.dumps(login).encode())
    assert reply.json == {"Status": "Login Succeeded", "IdentityToken": ""}

    status, _ = engine.refusal("POST", "/auth", json.dumps({**login, "password": "x"}).encode())
    assert status == 401


def test_no_login_is_no_login(engine: Engine) -> None:
    assert engine.refusal("POST", "/auth", b"{}") == (400, "no login is given")
