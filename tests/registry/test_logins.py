"""Who a registry is told we are, what it may ask, and what it is never told."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from casstore.errors import RegistryError
from casstore.registry.access import Access
from casstore.registry.auth import Unauthorized
from casstore.registry.challenge import Challenge, parse_challenges
from casstore.registry.credentials import Login, find_login
from casstore.registry.http import Transport
from casstore.registry.remote import Registry, Repository
from casstore.store import Store
from tests.registry.conftest import NewStore
from tests.registry.elsewhere import Elsewhere
from tests.registry.servers import Ask, Proxy, RealRegistry, Reply, Request
from tests.sessions.commandline import Result, casstore

USER, PASSWORD = "casey", "s3cret:word"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """The real registry, which wants a login."""
    directory = tmp_path_factory.mktemp("guarded")
    try:
        line = subprocess.run(
            ["htpasswd", "-nbB", USER, PASSWORD], capture_output=True, text=True, check=True
        ).stdout
    except FileNotFoundError:
        pytest.skip("htpasswd is not installed")
    (directory / "htpasswd").write_text(line)
    server = RealRegistry(
        directory, auth=f"{{htpasswd: {{realm: here, path: {directory / 'htpasswd'}}}}}"
    )
    yield server
    server.stop()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that casstore keeps logins in."""
    path = tmp_path / "docker" / "config.json"
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / "config"))
    monkeypatch.setenv("DOCKER_CONFIG", str(path.parent))
    return path


def login(store: Store, host: str, password: str = PASSWORD) -> Result:
    words = ["login", "--username", USER, "--password-stdin", host]
    return casstore(store.path, words, password.encode() + b"\n")


def test_login_push_pull_logout(
    guarded: RealRegistry, new_store: NewStore, tmp_path: Path, config: Path
) -> None:
    store, name = new_store(), f"{guarded.host}/mine/app:1"
    refused = casstore(store.path, ["pull", name])
    assert refused.status == 1
    assert "repository does not exist or may require 'casstore login'" in refused.err

    done = login(store, guarded.host)
    assert (done.status, done.out) == (0, "Login Succeeded\n")
    assert PASSWORD not in done.err

    access = Access.from_environment(os.environ)
    pushed_store = new_store()
    pushed_layout(pushed_store, name, tmp_path)
    pushed_store.push(name, via=access)
    store.pull(name, via=access)
    assert store.get(name).id == pushed_store.get(name).id

    gone = casstore(store.path, ["logout", guarded.host])
    assert gone.out == f"Removing login credentials for {guarded.host}\n"
    assert casstore(store.path, ["pull", name]).status == 1
    assert (
        casstore(store.path, ["logout", guarded.host]).out == f"Not logged in to {guarded.host}\n"
    )


def pushed_layout(store: Store, name: str, path: Path) -> None:
    from tests.transfer.building import Layout

    layout = Layout()
    layout.publish(layout.image("x"), name)
    store.load(layout.write(str(path / "layout")))


def test_the_file_of_logins_is_for_its_owner_alone_and_keeps_what_else_is_in_it(
    guarded: RealRegistry, store: Store, config: Path
) -> None:
    config.parent.mkdir()
    config.write_text('{"HttpHeaders": {"a": "b"}, "auths": {"other.example": {"auth": "eDp5"}}}')
    assert login(store, guarded.host).status == 0

    value = json.loads(config.read_text())
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert value["HttpHeaders"] == {"a": "b"}
    assert value["auths"]["other.example"] == {"auth": "eDp5"}
    assert os.listdir(config.parent) == [config.name]


def test_a_wrong_password_is_not_kept(guarded: RealRegistry, store: Store, config: Path) -> None:
    result = login(store, guarded.host, "wrong")

    assert result.status == 1
    assert "login attempt to" in result.err
    assert "wrong" not in result.err
    assert not config.exists()


def test_no_secret_is_on_the_command_line_or_in_the_store(
    guarded: RealRegistry, store: Store, config: Path
) -> None:
    result = casstore(store.path, ["login", "-u", USER, "-p", PASSWORD, guarded.host])

    assert result.status == 2
    assert PASSWORD not in result.err


HELPER = """\
#!/bin/sh
echo "$1" >> {log}
case "$1" in
store) cat > {kept} ;;
get) cat > /dev/null; if [ -f {kept} ]; then cat {kept}
     else echo "credentials not found in native keychain"; exit 1; fi ;;
erase) cat > /dev/null; rm -f {kept} ;;
esac
"""


def test_a_credential_helper_keeps_the_login_instead_of_the_file(
    guarded: RealRegistry, store: Store, config: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    helper, kept, log = (tmp_path / name for name in ("docker-credential-test", "kept", "log"))
    helper.write_text(HELPER.format(kept=kept, log=log))
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    config.parent.mkdir()
    config.write_text('{"credsStore": "test"}')

    assert login(store, guarded.host).out == "Login Succeeded\n"
    assert json.loads(config.read_text()) == {"credsStore": "test"}
    with pytest.raises(Exception, match="manifest unknown"):  # so the login was good
        store.pull(f"{guarded.host}/a/b:1", via=Access.from_environment(os.environ))
    casstore(store.path, ["logout", guarded.host])
    assert log.read_text().split()[-1] == "erase"


@pytest.mark.parametrize("name", ["../evil", "a b", "x/y", "nosuch-helper"])
def test_a_helper_that_is_none_is_said_and_not_run(name: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"credsStore": name}))

    with pytest.raises(RegistryError, match="credential helper"):
        find_login((str(path),), "host:1")


def auth_file(path: Path, **auths: dict[str, str]) -> str:
    path.write_text(json.dumps({"auths": auths}))
    return str(path)


def entry(user: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:p".encode()).decode()}


def test_the_most_exact_login_counts(tmp_path: Path) -> None:
    files = (auth_file(tmp_path / "a", **{"host:1": entry("all"), "host:1/team": entry("team")}),)

    assert find_login(files, "host:1", "team/app") == Login("team", "p")
    assert find_login(files, "host:1", "other/app") == Login("all", "p")
    assert find_login(files, "host:2", "team/app") is None


def test_the_first_file_that_knows_the_host_counts(tmp_path: Path) -> None:
    files = (
        auth_file(tmp_path / "a", x=entry("x")),
        str(tmp_path / "nosuch"),
        auth_file(tmp_path / "b", host=entry("second")),
        auth_file(tmp_path / "c", host=entry("third")),
    )

    assert find_login(files, "host") == Login("second", "p")


def test_docker_hub_has_a_name_of_its_own(tmp_path: Path) -> None:
    files = (auth_file(tmp_path / "a", **{"https://index.docker.io/v1/": entry("hub")}),)

    assert find_login(files, "docker.io", "library/busybox") == Login("hub", "p")


@pytest.mark.parametrize("text", ["[]", "{", '{"auths": {"host": {"auth": "%%%"}}}'])
def test_a_damaged_file_is_said_without_what_is_in_it(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)

    with pytest.raises(RegistryError, match="credentials") as caught:
        find_login((str(path),), "host")
    assert "%%%" not in str(caught.value)


def test_a_login_never_shows_its_secret() -> None:
    assert PASSWORD not in repr(Login(USER, PASSWORD))


# Tokens


class TokenServer:
    """Rules for a registry that wants tokens, and the server that gives them, in one."""

    def __init__(self, proxy: Proxy, realm: str | None = None) -> None:
        self.asked: list[dict[str, list[str]]] = []
        self.logins: list[str | None] = []
        self.realm = realm or f"http://{proxy.host}/token"
        proxy.rule(self._answer)

    def _answer(self, request: Request, ask: Ask) -> Reply | None:
        if request.path.startswith("/token"):
            self.asked.append(parse_qs(urlsplit(request.path).query))
            self.logins.append(request.headers.get("authorization"))
            return Reply(200, {}, b'{"token": "good"}')
        if request.headers.get("authorization") != "Bearer good":
            told = f'Bearer realm="{self.realm}",service="svc",scope="x"'
            return Reply(401, {"WWW-Authenticate": told}, b"{}")
        return None


def repository(transport: Transport, proxy: Proxy, path: str = "a/b") -> Repository:
    return Repository(Registry(transport, proxy.host), path)


def test_a_token_is_fetched_once_for_its_scope(alone: Proxy, transport: Transport) -> None:
    tokens = TokenServer(alone)
    alone.rule(lambda request, ask: Reply(200, {}, b'{"tags": ["1"]}'))
    remote = repository(transport, alone)
    remote.tags()
    remote.tags()

    assert tokens.asked == [{"service": ["svc"], "scope": ["repository:a/b:pull"]}]


def with_login(tmp_path: Path, host: str, **more: Any) -> Transport:
    file = auth_file(tmp_path / "auth", **{host: {"username": USER, "password": PASSWORD}})
    return Transport(Access(auth_files=(file,), **more))


def test_the_login_goes_to_the_token_server(alone: Proxy, tmp_path: Path) -> None:
    tokens = TokenServer(alone)
    alone.rule(lambda request, ask: Reply(200, {}, b'{"tags": ["1"]}'))
    transport = with_login(tmp_path, alone.host)
    repository(transport, alone).tags()
    transport.close()

    assert tokens.logins == [BASIC]
    assert tokens.asked[0]["account"] == [USER]


def test_a_realm_that_is_no_web_address_is_refused(alone: Proxy, tmp_path: Path) -> None:
    TokenServer(alone, realm="file:///etc/passwd")
    transport = with_login(tmp_path, alone.host)
    with pytest.raises(RegistryError, match="which is not followed"):
        repository(transport, alone).tags()
    transport.close()


def test_no_login_goes_to_another_realm_in_plain_http(alone: Proxy, tmp_path: Path) -> None:
    access = with_login(tmp_path, alone.host).access
    transport = Elsewhere(access, {"http://evil.example": f"http://{alone.host}"})
    TokenServer(alone, realm="http://evil.example/token")
    alone.rule(lambda request, ask: Reply(200, {}, b'{"tags": ["1"]}'))
    repository(transport, alone).tags()
    transport.close()

    assert transport.diverted == [
        ("http://evil.example/token?service=svc&scope=repository%3Aa%2Fb%3Apull", None)
    ]


def test_a_redirect_to_another_origin_gets_no_login(alone: Proxy, tmp_path: Path) -> None:
    other = Proxy()
    other.rule(lambda request, ask: Reply(200, {}, b'{"tags": ["1"]}'))
    alone.rule(
        lambda request, ask: (
            Reply(401, {"WWW-Authenticate": 'Basic realm="x"'}, b"")
            if "authorization" not in request.headers
            else Reply(307, {"Location": f"http://{other.host}/x"}, b"")
        )
    )
    transport = with_login(tmp_path, alone.host)
    repository(transport, alone).tags()
    transport.close()
    other.stop()

    assert alone.seen[-1].headers["authorization"] == BASIC
    assert "authorization" not in other.seen[0].headers


def test_a_401_on_the_other_origin_gets_no_login_either(alone: Proxy, tmp_path: Path) -> None:
    other = Proxy()
    other.rule(lambda request, ask: Reply(401, {"WWW-Authenticate": 'Basic realm="x"'}, b""))
    alone.rule(lambda request, ask: Reply(307, {"Location": f"http://{other.host}/x"}, b""))
    transport = with_login(tmp_path, alone.host)
    with pytest.raises(Unauthorized):
        repository(transport, alone).tags()
    transport.close()
    other.stop()

    assert all("authorization" not in one.headers for one in [*alone.seen, *other.seen])


def test_a_login_that_is_refused_is_tried_once(alone: Proxy, tmp_path: Path) -> None:
    alone.rule(lambda request, ask: Reply(401, {"WWW-Authenticate": 'Basic realm="x"'}, b""))
    transport = with_login(tmp_path, alone.host)
    with pytest.raises(Unauthorized) as caught:
        repository(transport, alone).tags()
    transport.close()

    assert [one.path for one in alone.seen].count("/v2/a/b/tags/list") == 2
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Basic realm="a b"', [Challenge("basic", {"realm": "a b"})]),
        (
            'Bearer realm="https://x/t",service="s",scope="repository:a:pull,push"',
            [
                Challenge(
                    "bearer",
                    {"realm": "https://x/t", "service": "s", "scope": "repository:a:pull,push"},
                )
            ],
        ),
        (
            "Negotiate, Basic realm=plain, charset=UTF-8",
            [
                Challenge("negotiate", {}),
                Challenge("basic", {"realm": "plain", "charset": "UTF-8"}),
            ],
        ),
        ('Basic realm="a\\"b', [Challenge("basic", {"realm": 'a"b'})]),
        ('="', []),
        ("B" * 10_000, []),
    ],
)
def test_challenges_are_read_as_the_rfc_has_them(header: str, expected: list[Challenge]) -> None:
    assert parse_challenges([header]) == expected


def test_a_login_of_the_transport_counts_before_those_of_files(
    alone: Proxy, tmp_path: Path
) -> None:
    challenge = Reply(401, {"WWW-Authenticate": 'Basic realm="x"'}, b"")
    alone.rule(lambda request, ask: None if "authorization" in request.headers else challenge)
    alone.rule(lambda request, ask: Reply(200, {}, b'{"tags": ["1"]}'))
    files = (auth_file(tmp_path / "auth", **{alone.host: {"username": "x", "password": "y"}}),)

    with Transport(Access(auth_files=files), login=(USER, PASSWORD, "")) as transport:
        repository(transport, alone).tags()

    assert alone.seen[-1].headers["authorization"] == BASIC


def test_a_mirror_of_the_transport_stands_for_docker_io_and_no_other(alone: Proxy) -> None:
    alone.rule(lambda request, ask: Reply(200, {}, b'{"tags": ["1"]}'))
    with Transport(Access(), mirror=f"http://{alone.host}/") as transport:
        assert Registry(transport, "docker.io").base == f"http://{alone.host}"
        assert Registry(transport, "quay.io").base == "https://quay.io"
    with Transport(Access(), mirror=alone.host) as transport:
        assert Registry(transport, "docker.io").base == f"http://{alone.host}"
