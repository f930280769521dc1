"""What a registry may ask for, what it is told, and where a secret does not go."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from casstore.errors import RegistryError
from casstore.registry.access import Access
from casstore.registry.auth import Unauthorized
from casstore.registry.http import Transport
from casstore.registry.remote import Registry, Repository
from tests.registry.elsewhere import Elsewhere
from tests.registry.servers import Ask, Proxy, Reply, Request
from tests.registry.test_logins import BASIC, PASSWORD, USER, auth_file

TAGS = Reply(200, {}, b'{"tags": ["1"]}')
REDIRECTS = (301, 302, 303, 307, 308)
IDENTITY = "an-identity-token"


def tags_of(transport: Transport, server: Proxy) -> list[str]:
    return Repository(Registry(transport, server.host), "a/b").tags()


@pytest.fixture
def other() -> Iterator[Proxy]:
    server = Proxy()
    yield server
    server.stop()


def knowing(tmp_path: Path, host: str, **login: str) -> Transport:
    login = login or {"username": USER, "password": PASSWORD}
    return Transport(Access(auth_files=(auth_file(tmp_path / "auth", **{host: login}),)))


def bearer(server: Proxy, scope: str = "", realm: str = "") -> Reply:
    told = f'Bearer realm="{realm or f"http://{server.host}/token"}",service="svc"'
    return Reply(401, {"WWW-Authenticate": told + (f',scope="{scope}"' if scope else "")}, b"{}")


class Gateway:
    """A registry whose tokens are for the scopes that it names, and whose server gives any token.

    A token is the list of its scopes.
    """

    def __init__(self, server: Proxy, wanted: str, *, told: str = "", refused: str = "") -> None:
        self.asked: list[list[str]] = []
        self._server, self._wanted = server, wanted
        self._told, self._refused = told or wanted, refused
        server.rule(self._answer)

    def _answer(self, request: Request, ask: Ask) -> Reply:
        if request.path.startswith("/token"):
            scopes = parse_qs(urlsplit(request.path).query).get("scope", [])
            self.asked.append(scopes)
            if self._refused in scopes:
                error = {"errors": [{"code": "DENIED", "message": "not this scope"}]}
                return Reply(403, {}, json.dumps(error).encode())
            return Reply(200, {}, json.dumps({"token": "+".join(scopes)}).encode())
        if self._wanted in request.headers.get("authorization", "").split("Bearer ")[-1].split("+"):
            return TAGS
        return bearer(self._server, self._told)


PATH_SCOPE = "repository:a/b:pull"


def test_the_scope_of_the_challenge_is_asked_for_where_the_paths_is_not_enough(
    alone: Proxy, transport: Transport
) -> None:
    gateway = Gateway(alone, "repository:tenant/a/b:pull")
    remote = Repository(Registry(transport, alone.host), "a/b")

    assert remote.tags() == remote.tags() == ["1"]
    assert gateway.asked == [[PATH_SCOPE], [PATH_SCOPE, "repository:tenant/a/b:pull"]]


@pytest.mark.parametrize("told", ["aws", "repository:user/image:pull"])
def test_the_scope_of_the_path_is_asked_for_first(
    told: str, alone: Proxy, transport: Transport
) -> None:
    gateway = Gateway(alone, PATH_SCOPE, told=told)
    tags_of(transport, alone)

    assert gateway.asked == [[PATH_SCOPE]]


def test_a_token_server_that_refuses_both_scopes_is_asked_for_that_of_the_challenge(
    alone: Proxy, transport: Transport
) -> None:
    asked: list[list[str]] = []

    def answer(request: Request, ask: Ask) -> Reply:
        if request.path.startswith("/token"):
            scopes = parse_qs(urlsplit(request.path).query)["scope"]
            asked.append(scopes)
            return Reply(
                403 if len(scopes) > 1 else 200, {}, json.dumps({"token": scopes[0]}).encode()
            )
        is_known = request.headers.get("authorization") == "Bearer b:c:pull"
        return TAGS if is_known else bearer(alone, "b:c:pull")

    alone.rule(answer)
    tags_of(transport, alone)

    assert asked == [[PATH_SCOPE], ["b:c:pull", PATH_SCOPE], ["b:c:pull"]]


def test_a_registry_that_is_never_content_is_given_up(alone: Proxy, transport: Transport) -> None:
    Gateway(alone, "nothing that is asked for", told="more")
    with pytest.raises(Unauthorized):
        tags_of(transport, alone)

    assert len(alone.gets("tags/list")) <= 4


def test_the_token_servers_own_words_are_told(alone: Proxy, transport: Transport) -> None:
    Gateway(alone, PATH_SCOPE, refused=PATH_SCOPE)
    with pytest.raises(Unauthorized, match="denies the access: denied: not this scope"):
        tags_of(transport, alone)


@pytest.mark.parametrize("realm", ["/token", "//{host}/token", "token"])
def test_a_realm_may_be_relative(realm: str, alone: Proxy, transport: Transport) -> None:
    def answer(request: Request, ask: Ask) -> Reply:
        if request.path.startswith("/token"):
            return Reply(200, {}, b'{"token": "good"}')
        is_known = request.headers.get("authorization") == "Bearer good"
        return TAGS if is_known else bearer(alone, realm=realm.format(host=alone.host))

    alone.rule(answer)

    assert tags_of(transport, alone) == ["1"]


def test_a_challenge_that_names_no_token_server_is_an_error(
    alone: Proxy, transport: Transport
) -> None:
    alone.rule(lambda request, ask: Reply(401, {"WWW-Authenticate": 'Bearer service="x"'}, b""))
    with pytest.raises(RegistryError, match="asks for a token, and not from where"):
        tags_of(transport, alone)


@pytest.mark.parametrize("status", [400, 401, 403, 404])
@pytest.mark.parametrize("kind", ["basic", "bearer"])
def test_a_registry_that_asks_for_a_login_at_its_door_alone_is_told_it(
    status: int, kind: str, alone: Proxy, tmp_path: Path
) -> None:
    def answer(request: Request, ask: Ask) -> Reply:
        if request.path.startswith("/token"):
            return Reply(200, {}, b'{"token": "good"}')
        if request.headers.get("authorization") in (BASIC, "Bearer good"):
            return TAGS
        if request.path != "/v2/":
            return Reply(status, {}, b"{}")
        return bearer(alone) if kind == "bearer" else basic()

    alone.rule(answer)
    transport = knowing(tmp_path, alone.host)

    assert tags_of(transport, alone) == ["1"]
    transport.close()


def basic() -> Reply:
    return Reply(401, {"WWW-Authenticate": 'Basic realm="x"'}, b"")


# Where secrets go


@pytest.mark.parametrize("status", REDIRECTS)
def test_an_identity_token_does_not_follow_a_redirect_to_another_host(
    status: int, alone: Proxy, other: Proxy, tmp_path: Path
) -> None:
    def answer(request: Request, ask: Ask) -> Reply:
        if request.path.startswith("/token"):
            return Reply(status, {"Location": f"http://{other.host}/token"}, b"")
        return bearer(alone)

    alone.rule(answer)
    other.rule(lambda request, ask: Reply(200, {}, b'{"token": "stolen"}'))
    transport = knowing(tmp_path, alone.host, identitytoken=IDENTITY)
    with pytest.raises(RegistryError, match="redirects a login to") as caught:
        tags_of(transport, alone)
    transport.close()

    assert other.seen == []
    assert IDENTITY not in str(caught.value)


@pytest.mark.parametrize("status", REDIRECTS)
def test_an_identity_token_does_not_go_from_tls_to_the_clear(status: int, alone: Proxy) -> None:
    """The proxy stands for a TLS server; the clear one is this machine's, where that is allowed."""
    target = f"http://127.0.0.1:{alone.port}/clear"
    alone.rule(lambda request, ask: Reply(status, {"Location": target}, b""))
    transport = Elsewhere(Access(), {f"https://{alone.host}": f"http://{alone.host}"})

    class Body:
        size = len(IDENTITY)

        def pieces(self) -> list[bytes]:
            return [IDENTITY.encode()]

    with pytest.raises(RegistryError, match="redirects a login to"):
        transport.request("POST", f"https://{alone.host}/t", body=Body(), secret_body=True)
    transport.close()

    assert [one.path for one in alone.seen] == ["/t"]


def test_an_identity_token_follows_a_redirect_on_its_host(alone: Proxy, tmp_path: Path) -> None:
    def answer(request: Request, ask: Ask) -> Reply:
        if request.path == "/token":
            return Reply(307, {"Location": "/moved"}, b"")
        if request.path == "/moved":
            return Reply(200, {}, b'{"access_token": "good"}')
        return TAGS if request.headers.get("authorization") == "Bearer good" else bearer(alone)

    alone.rule(answer)
    transport = knowing(tmp_path, alone.host, identitytoken=IDENTITY)

    assert tags_of(transport, alone) == ["1"]
    transport.close()


@pytest.mark.parametrize("status", REDIRECTS)
def test_a_password_does_not_follow_a_redirect_of_the_token_server(
    status: int, alone: Proxy, other: Proxy, tmp_path: Path
) -> None:
    def answer(request: Request, ask: Ask) -> Reply:
        if request.path.startswith("/token"):
            return Reply(status, {"Location": f"http://{other.host}/token"}, b"")
        return TAGS if request.headers.get("authorization") == "Bearer good" else bearer(alone)

    alone.rule(answer)
    other.rule(lambda request, ask: Reply(200, {}, b'{"token": "good"}'))
    transport = knowing(tmp_path, alone.host)
    tags_of(transport, alone)
    transport.close()

    assert [one.headers.get("authorization") for one in other.seen] == [None]


def test_a_token_does_not_follow_a_redirect_of_the_registry(
    alone: Proxy, other: Proxy, tmp_path: Path
) -> None:
    def answer(request: Request, ask: Ask) -> Reply:
        if request.path.startswith("/token"):
            return Reply(200, {}, b'{"token": "good"}')
        if "authorization" in request.headers:
            return Reply(307, {"Location": f"http://{other.host}/tags"}, b"")
        return bearer(alone)

    alone.rule(answer)
    other.rule(lambda request, ask: TAGS)
    transport = knowing(tmp_path, alone.host)
    tags_of(transport, alone)
    transport.close()

    assert [one.headers.get("authorization") for one in other.seen] == [None]


def test_a_login_that_is_not_told_in_plain_http_is_told_of(alone: Proxy, tmp_path: Path) -> None:
    access = knowing(tmp_path, alone.host).access
    transport = Elsewhere(access, {"http://tokens.example": f"http://{alone.host}"})

    def answer(request: Request, ask: Ask) -> Reply:
        if request.path.startswith("/token"):
            return Reply(200, {}, b'{"token": "good"}')
        is_known = request.headers.get("authorization") == "Bearer good"
        return TAGS if is_known else bearer(alone, realm="http://tokens.example/token")

    alone.rule(answer)
    tags_of(transport, alone)
    transport.close()

    assert "is not told to tokens.example" in "".join(transport.take_notices())
    assert all(one.headers.get("authorization") != BASIC for one in alone.seen)
