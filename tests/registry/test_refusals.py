"""A registry that refuses a part of a push or pull, and takes or gives the image all the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from casstore.errors import RegistryError
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest, sha256
from casstore.registry.access import Access
from casstore.registry.blobstream import BlobStream
from casstore.registry.http import Transport
from casstore.registry.remote import Registry, Repository
from casstore.store import Store
from tests.registry.conftest import NewStore, filled
from tests.registry.servers import Ask, Proxy, Reply, Request
from tests.registry.test_breaks import image, layer_rule  # noqa: F401 - a fixture
from tests.registry.test_logins import auth_file, entry
from tests.transfer.building import Layout

# Mounts


@pytest.fixture
def twice(proxy: Proxy, store: Store, tmp_path: Path) -> str:
    """The name of an image to push, which has another name in the registry's `other/base`."""
    layout = Layout()
    name = f"{proxy.host}/team/{tmp_path.name}:1"
    layout.publish(layout.image("x", "y"), f"{proxy.host}/other/{tmp_path.name}:1")
    filled(store, layout, tmp_path)
    store.tag(f"{proxy.host}/other/{tmp_path.name}:1", name)
    return name


def is_mount(request: Request) -> bool:
    return request.method == "POST" and "mount=" in request.path


def comes_back(name: str, new_store: NewStore) -> bool:
    store = new_store()
    store.pull(name)
    return store.get(name).layers != ()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 429, 500, 501, 503])
def test_a_mount_that_is_refused_in_whatever_way_is_sent(
    status: int, proxy: Proxy, store: Store, new_store: NewStore, twice: str
) -> None:
    proxy.rule(lambda request, ask: Reply(status, {}, b"") if is_mount(request) else None)
    store.push(twice)

    assert comes_back(twice, new_store)


def test_a_source_that_refuses_is_not_asked_for_each_layer(
    proxy: Proxy, store: Store, tmp_path: Path
) -> None:
    layout = Layout()
    layout.publish(layout.image(*map(str, range(12))), f"{proxy.host}/other/{tmp_path.name}:1")
    filled(store, layout, tmp_path)
    name = f"{proxy.host}/team/{tmp_path.name}:1"
    store.tag(f"{proxy.host}/other/{tmp_path.name}:1", name)
    proxy.rule(lambda request, ask: Reply(403, {}, b"") if is_mount(request) else None)
    store.push(name)

    assert len([one for one in proxy.seen if is_mount(one)]) <= 4  # those that ran side by side


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_token_server_that_refuses_the_source_of_a_mount_ends_no_push(
    status: int, proxy: Proxy, store: Store, twice: str, tmp_path: Path
) -> None:
    def tokens(request: Request, ask: Ask) -> Reply | None:
        if request.path.startswith("/token"):
            scopes = parse_qs(urlsplit(request.path).query)["scope"]
            refused = any("repository:other/" in scope for scope in scopes)
            return Reply(status if refused else 200, {}, b'{"token": "good"}')
        if request.headers.pop("authorization", "") != "Bearer good":
            told = f'Bearer realm="http://{proxy.host}/token"'
            return Reply(401, {"WWW-Authenticate": told}, b"{}")
        return None

    proxy.rule(tokens)
    files = (auth_file(tmp_path / "auth", **{proxy.host: entry("me")}),)
    store.push(twice, via=Access(auth_files=files))

    assert (proxy.seen[-1].method, "/manifests/1" in proxy.seen[-1].path) == ("PUT", True)


def test_a_layer_is_mounted_from_where_the_registry_is_known_to_have_it(
    proxy: Proxy, store: Store, tmp_path: Path
) -> None:
    layout = Layout()
    first, second, third = (f"{proxy.host}/{n}/{tmp_path.name}:1" for n in ("a", "b", "c"))
    layout.publish(layout.image("x"), first)
    filled(store, layout, tmp_path)
    store.tag(first, second)
    store.push(second)
    store.tag(first, third)
    proxy.seen.clear()
    store.push(third)

    (mount,) = filter(is_mount, proxy.seen)
    assert f"from=b%2F{tmp_path.name}" in mount.path


# Uploads


@pytest.fixture
def to_push(proxy: Proxy, store: Store, tmp_path: Path) -> str:
    """The name of an image of the store, in the registry."""
    layout = Layout()
    name = f"{proxy.host}/push/{tmp_path.name}:1"
    layout.publish(layout.image("x"), name)
    filled(store, layout, tmp_path)
    return name


def is_put(request: Request) -> bool:
    return request.method == "PUT" and "/blobs/" in request.path


@pytest.mark.parametrize("status", [429, 503, 500])
def test_an_upload_waits_as_long_as_the_registry_says(
    status: int, to_push: str, proxy: Proxy, store: Store, transport: Transport
) -> None:
    refused: list[str] = []

    def busy(request: Request, ask: Ask) -> Reply | None:
        if is_put(request) and not refused:
            refused.append(request.path)
            return Reply(status, {"Retry-After": "7"}, b"")
        return None

    waits: list[float] = []
    transport._wait = waits.append
    proxy.rule(busy)
    store.push(to_push, via=transport)

    assert waits == [7.0]


def test_an_upload_for_which_the_registry_wants_an_hour_is_not_waited_for(
    to_push: str, proxy: Proxy, store: Store, waits: list[float], transport: Transport
) -> None:
    body = json.dumps({"errors": [{"code": "TOOMANYREQUESTS", "message": "rate limit"}]}).encode()
    proxy.rule(
        lambda request, ask: Reply(429, {"Retry-After": "3600"}, body) if is_put(request) else None
    )
    with pytest.raises(RegistryError, match="toomanyrequests: rate limit"):
        store.push(to_push, via=transport)

    assert waits == []


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_an_upload_that_the_registry_takes_in_other_words_is_taken(
    status: int, to_push: str, proxy: Proxy, store: Store, new_store: NewStore
) -> None:

    def other_words(request: Request, ask: Callable[[], Reply]) -> Reply | None:
        return ask()._replace(status=status, body=b"") if is_put(request) else None

    proxy.rule(other_words)
    store.push(to_push)

    assert comes_back(to_push, new_store)


@pytest.mark.parametrize("status", [401, 403, 404, 405, 501])
def test_a_push_needs_no_head(
    status: int, to_push: str, proxy: Proxy, store: Store, new_store: NewStore
) -> None:
    proxy.rule(lambda request, ask: Reply(status, {}, b"") if request.method == "HEAD" else None)
    store.push(to_push)

    assert comes_back(to_push, new_store)


@pytest.mark.parametrize("told", [{}, {"Docker-Content-Digest": "sha256:" + "0" * 64}])
def test_a_tag_that_may_name_something_else_is_pushed(
    told: dict[str, str], to_push: str, proxy: Proxy, store: Store
) -> None:
    store.push(to_push)
    proxy.seen.clear()
    proxy.rule(lambda request, ask: Reply(200, told, b"") if is_asked_for(request) else None)
    store.push(to_push)

    assert [one.method for one in proxy.seen if "/manifests/" in one.path] == ["HEAD", "PUT"]


def is_asked_for(request: Request) -> bool:
    return request.method == "HEAD" and "/manifests/" in request.path


def test_where_a_tag_has_moved_it_is_pushed_again(
    to_push: str, proxy: Proxy, store: Store, new_store: NewStore, tmp_path: Path
) -> None:
    store.push(to_push)
    other = new_store()
    layout = Layout()
    layout.publish(layout.image("y"), to_push)
    other.load(layout.write(str(tmp_path / "other")))
    other.push(to_push)
    store.push(to_push)
    last = new_store()
    last.pull(to_push)

    assert last.get(to_push).id == store.get(to_push).id


# Ranges

CONTENT = bytes(range(256)) * 2000
BLOB = Descriptor("application/octet-stream", sha256(CONTENT), len(CONTENT))


def ranged(request: Request, told: str | None = None, start: int | None = None) -> Reply:
    first, _, last = request.headers["range"].removeprefix("bytes=").partition("-")
    at = int(first) if start is None else start
    end = int(last or BLOB.size - 1)
    said = told if told is not None else f"bytes {at}-{end}/{BLOB.size}"
    return Reply(206, {"Content-Range": said} if said else {}, CONTENT[at : end + 1])


ANSWERS: dict[str, Callable[[Request], Reply]] = {
    "416": lambda request: Reply(416, {}, b""),
    "400": lambda request: Reply(400, {}, b""),
    "501": lambda request: Reply(501, {}, b""),
    "416 unless it ends": lambda request: (
        Reply(416, {}, b"") if request.headers["range"].endswith("-") else ranged(request)
    ),
    "206 without Content-Range": lambda request: ranged(request, ""),
    "206 in capitals": lambda request: ranged(
        request, f"Bytes {request.headers['range'][6:].partition('-')[0]}-{BLOB.size - 1}/*"
    ),
    "206 of another part": lambda request: ranged(request, start=0),
    "the whole": lambda request: Reply(200, {}, CONTENT),
}


@pytest.mark.parametrize("way", ANSWERS)
def test_after_a_break_the_rest_comes_whatever_the_server_makes_of_a_range(
    way: str, alone: Proxy, transport: Transport
) -> None:
    def answer(request: Request, ask: Ask) -> Reply:
        if "range" in request.headers:
            return ANSWERS[way](request)
        first = len(alone.gets("blobs")) == 1
        return Reply(200, {}, CONTENT, cut=200_000 if first else None)

    alone.rule(answer)
    remote = Repository(Registry(transport, alone.host), "a/b")
    with BlobStream(remote, BLOB) as stream:
        assert b"".join(iter(lambda: stream.read(50_000), b"")) == CONTENT


@pytest.mark.parametrize("coding", ["gzip", "x-gzip"])
def test_documents_that_a_proxy_has_packed_are_read(
    coding: str,
    proxy: Proxy,
    store: Store,
    image: tuple[str, Digest],  # noqa: F811
) -> None:
    import gzip

    def packed(request: Request, ask: Callable[[], Reply]) -> Reply | None:
        reply = ask()
        if request.method != "GET" or not reply.body.startswith(b"{"):
            return reply
        told = {key: value for key, value in reply.headers.items() if key != "Content-Length"}
        return Reply(200, {**told, "Content-Encoding": coding}, gzip.compress(reply.body))

    proxy.rule(packed)
    store.pull(image[0])

    assert store.get(image[0]).layers == (image[1],)
