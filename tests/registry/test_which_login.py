"""Which login counts, and what becomes of a command that cannot look for one."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from casstore.errors import RegistryError, UsageError
from casstore.registry.access import Access
from casstore.registry.credentials import Login, find_login
from casstore.registry.http import Transport
from casstore.registry.login import log_in, log_out
from casstore.store import Store
from tests.registry.servers import Ask, Proxy, Reply, Request
from tests.registry.test_logins import auth_file, entry
from tests.sessions.commandline import casstore

FORMS = (
    "{}", "{}/", "{}/v1", "{}/v1/", "{}/v2/", "http://{}", "http://{}/", "http://{}/v1/",
    "http://{}/v2/", "https://{}", "https://{}/", "https://{}/v1", "https://{}/v1/",
    "https://{}/v2", "https://{}/v2/", "https://{}/any/path", "HTTPS://{}",
)  # fmt: skip


class Helper:
    """A credential helper on PATH: a script that notes what it is asked."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self._log = folder / "bin", folder / "asked"
        self.folder.mkdir(exist_ok=True)
        monkeypatch.setenv("PATH", f"{self.folder}:{os.environ['PATH']}")

    def write(self, name: str, body: str) -> None:
        script = f'#!/bin/sh\nread key\necho "{name} $1 $key" >> {self._log}\n{body}\n'
        path = self.folder / f"docker-credential-{name}"
        path.write_text(script)
        path.chmod(0o755)

    @property
    def asked(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Helper:
    return Helper(tmp_path, monkeypatch)


def config(path: Path, **content: Any) -> tuple[str, ...]:
    path.write_text(json.dumps(content))
    return (str(path),)


KNOWN = 'echo \'{"Username":"helped","Secret":"p"}\''
UNKNOWN = 'echo "credentials not found in native keychain"; exit 1'


@pytest.mark.parametrize("form", FORMS)
def test_a_login_counts_in_every_form_of_its_key(form: str, tmp_path: Path) -> None:
    files = (auth_file(tmp_path / "a", **{form.format("host:1"): entry("me")}),)

    assert find_login(files, "host:1", "team/app") == Login("me", "p")


@pytest.mark.parametrize(
    "key", ["host:12", "other/host:1", "host:1/v1/x", "host:1/other", "https://host", "xhost:1"]
)
def test_a_login_for_something_else_does_not_count(key: str, tmp_path: Path) -> None:
    files = (auth_file(tmp_path / "a", **{key: entry("me")}),)

    assert find_login(files, "host:1", "team/app") is None


@pytest.mark.parametrize(
    "key",
    ["docker.io", "index.docker.io", "https://index.docker.io/v1/", "https://registry-1.docker.io"],
)
@pytest.mark.parametrize("domain", ["docker.io", "registry-1.docker.io"])
def test_docker_hub_is_one_registry_under_all_its_names(
    key: str, domain: str, tmp_path: Path
) -> None:
    files = (auth_file(tmp_path / "a", **{key: entry("hub")}),)

    assert find_login(files, domain, "library/busybox") == Login("hub", "p")


def test_a_namespace_of_docker_hub_may_have_a_login_of_its_own(tmp_path: Path) -> None:
    hub = {"https://index.docker.io/v1/": entry("hub"), "docker.io/team": entry("team")}
    files = (auth_file(tmp_path / "a", **hub),)

    assert find_login(files, "docker.io", "team/app") == Login("team", "p")
    assert find_login(files, "docker.io", "library/app") == Login("hub", "p")


def test_the_usual_form_of_a_key_counts_before_the_others(tmp_path: Path) -> None:
    both = {"https://host:1/v1/": entry("old"), "host:1": entry("new")}

    assert find_login((auth_file(tmp_path / "a", **both),), "host:1") == Login("new", "p")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:10] + "\n" + text[10:],
        lambda text: text.rstrip("="),
        lambda text: text.replace("+", "-").replace("/", "_"),
        lambda text: f" {text}\r\n",
    ],
)
def test_base64_is_read_as_people_write_it(change: Callable[[str], str], tmp_path: Path) -> None:
    packed = base64.b64encode(b"me:p?>?>~~\x80").decode()
    assert "+" in packed or "/" in packed
    files = config(tmp_path / "a", auths={"host": {"auth": change(packed)}})

    login = find_login(files, "host")
    assert login is not None
    assert base64.b64decode(login.basic.removeprefix("Basic ")) == b"me:p?>?>~~\x80"


def test_the_helper_of_one_registry_counts_before_that_of_all(
    tmp_path: Path, helper: Helper
) -> None:
    helper.write("one", KNOWN)
    helper.write("all", "exit 1")
    files = config(tmp_path / "c", credsStore="all", credHelpers={"host:1": "one"})

    assert find_login(files, "host:1", "team/sub/app") == Login("helped", "p")
    assert helper.asked == ["one get host:1"]


def test_a_helper_is_asked_once_by_the_name_that_docker_gives_it(
    tmp_path: Path, helper: Helper
) -> None:
    helper.write("all", UNKNOWN)
    files = config(tmp_path / "c", credsStore="all")
    find_login(files, "host:1", "team/sub/app")
    find_login(files, "docker.io", "team/app")

    assert helper.asked == ["all get host:1", "all get https://index.docker.io/v1/"]


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "index.docker.io"])
def test_a_helper_of_docker_hub_is_asked_by_the_name_that_it_is_in_charge_of(
    key: str, tmp_path: Path, helper: Helper
) -> None:
    helper.write("hub", KNOWN)
    files = config(tmp_path / "c", credHelpers={key: "hub"})

    assert find_login(files, "docker.io", "library/busybox") == Login("helped", "p")
    assert helper.asked == [f"hub get {key}"]


def test_an_empty_name_of_a_helper_leaves_the_registry_to_the_file(
    tmp_path: Path, helper: Helper
) -> None:
    helper.write("all", KNOWN)
    files = config(
        tmp_path / "c", credsStore="all", credHelpers={"host": ""}, auths={"host": entry("me")}
    )

    assert find_login(files, "host") == Login("me", "p")
    assert helper.asked == []


@pytest.mark.parametrize("body", [UNKNOWN, 'echo \'{"Username":"","Secret":""}\''])
def test_where_a_helper_knows_no_login_the_next_place_is_looked_at(
    body: str, tmp_path: Path, helper: Helper
) -> None:
    helper.write("all", body)
    files = config(tmp_path / "c", credsStore="all", auths={"host": entry("me")})
    problems: list[str] = []

    assert find_login(files, "host", problem=problems.append) == Login("me", "p")
    assert problems == []


FAILING = {
    "gone": None,
    "fails": 'echo "the vault was not found"; exit 1',
    "says nothing": "true",
    "says no JSON": "echo hello",
    "says null": "echo null",
}


@pytest.mark.parametrize("way", FAILING)
def test_a_helper_that_fails_is_told_and_a_public_image_comes(
    way: str, tmp_path: Path, helper: Helper, alone: Proxy
) -> None:
    body = FAILING[way]
    if body is not None:
        helper.write("broken", body)
    (file,) = config(tmp_path / "c", credsStore="broken")
    transport = Transport(Access(auth_files=(file,)))
    serve_with_tokens(alone)
    tags_of(transport, alone)
    transport.close()

    assert "credential helper" in "".join(transport.take_notices())


def serve_with_tokens(server: Proxy) -> None:
    def answer(request: Request, ask: Ask) -> Reply:
        if request.path.startswith("/token"):
            return Reply(200, {}, b'{"token": "anonymous"}')
        if "authorization" not in request.headers:
            told = f'Bearer realm="http://{server.host}/token"'
            return Reply(401, {"WWW-Authenticate": told}, b"")
        return Reply(200, {}, b'{"tags": ["1"]}')

    server.rule(answer)


def tags_of(transport: Transport, server: Proxy) -> list[str]:
    from casstore.registry.remote import Registry, Repository

    return Repository(Registry(transport, server.host), "a/b").tags()


def test_a_private_image_is_refused_with_what_was_wrong_with_the_helper(
    tmp_path: Path, alone: Proxy
) -> None:
    (file,) = config(tmp_path / "c", credsStore="gone")
    transport = Transport(Access(auth_files=(file,)))
    alone.rule(lambda request, ask: Reply(401, {"WWW-Authenticate": 'Basic realm="x"'}, b""))
    with pytest.raises(RegistryError, match="docker-credential-gone is not installed"):
        tags_of(transport, alone)
    transport.close()


@pytest.mark.parametrize("text", ["{", "[]", '"x"', '{"auths": {"HOST": {"auth": "%%%"}}}', None])
def test_a_file_that_cannot_be_used_is_told_and_a_public_image_comes(
    text: str | None, tmp_path: Path, alone: Proxy
) -> None:
    path = tmp_path / "config.json"
    if text is None:
        path.mkdir()  # as a bind mount of a file that is not there makes it
    else:
        path.write_text(text.replace("HOST", alone.host))
    serve_with_tokens(alone)
    transport = Transport(Access(auth_files=(str(path),)))
    tags_of(transport, alone)
    transport.close()

    (notice,) = transport.take_notices()
    assert str(path)[:40] in notice
    assert "%%%" not in notice


def test_a_byte_order_mark_harms_no_login(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("\ufeff" + json.dumps({"auths": {"host": entry("me")}}))

    assert find_login((str(path),), "host") == Login("me", "p")


def test_a_helper_below_the_working_directory_is_not_run(
    tmp_path: Path, helper: Helper, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper.write("near", KNOWN)
    monkeypatch.chdir(helper.folder)
    monkeypatch.setenv("PATH", f":.:bin:{os.defpath}")
    with pytest.raises(RegistryError, match="not installed"):
        find_login(config(tmp_path / "c", credsStore="near"), "host")

    assert helper.asked == []


# Without a home


NOWHERE = ("", "relative", "~", "./x")


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whom the system does not know, as in a container that runs with any number."""
    import pwd

    def unknown(_: int) -> NoReturn:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.mark.parametrize("home", NOWHERE)
def test_without_a_home_no_file_below_the_working_directory_counts(
    home: str, homeless: None
) -> None:
    access = Access.from_environment(
        {"HOME": home, "XDG_CONFIG_HOME": home, "XDG_RUNTIME_DIR": home}
    )

    assert all(map(os.path.isabs, access.auth_files))
    assert access.auth_target == ""


@pytest.mark.parametrize("environment", [{}, {"HOME": ""}, {"HOME": "relative"}])
def test_without_home_the_system_knows_the_home(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import pwd

    home = pwd.getpwuid(os.getuid()).pw_dir

    assert Access.from_environment(environment).auth_target == f"{home}/.docker/config.json"


def test_without_a_home_login_says_so_and_writes_nothing(
    homeless: None, alone: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    alone.rule(lambda request, ask: Reply(200, {}, b"{}"))
    transport = Transport(Access.from_environment({}))
    with pytest.raises(RegistryError, match="there is no place for logins"):
        log_in(transport, alone.host, Login("me", "secret"))
    transport.close()

    assert os.listdir(tmp_path) == []


def test_a_tilde_that_no_shell_has_expanded_is_the_home() -> None:
    tilde = {"HOME": "/user", "DOCKER_CONFIG": "~/d", "REGISTRY_AUTH_FILE": ""}

    assert Access.from_environment(tilde).auth_target == "/user/d/config.json"
    access = Access.from_environment({"HOME": "/user", "REGISTRY_AUTH_FILE": "~/auth.json"})
    assert access.auth_files == ("/user/auth.json",)


def test_a_tilde_without_a_home_is_an_error(homeless: None) -> None:
    with pytest.raises(UsageError, match="means a home directory"):
        Access.from_environment({"DOCKER_CONFIG": "~/d"})


@pytest.mark.parametrize("variable", ["CASSTORE_STORE", "--store"])
def test_a_tilde_in_the_path_of_a_store_is_the_home(
    variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from casstore.cli.main import main

    monkeypatch.setenv("HOME", "/nosuch")
    monkeypatch.setenv("CASSTORE_STORE", "~/store")
    main([*(["--store=~/store"] if variable == "--store" else []), "fsck"])

    assert 'there is no store at "/nosuch/store"' in capsys.readouterr().err


def test_without_a_home_there_is_no_store_to_guess(
    homeless: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from casstore.cli.main import main

    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "CASSTORE_STORE", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    status = main(["images"])

    assert (status, os.listdir(tmp_path)) == (2, [])
    assert "there is no home directory for a store" in capsys.readouterr().err


# logout


@pytest.mark.parametrize("form", FORMS)
def test_logout_ends_a_login_in_every_form_of_its_key(form: str, tmp_path: Path) -> None:
    file = auth_file(tmp_path / "a", **{form.format("host:1"): entry("me"), "b": entry("b")})
    access = Access(auth_files=(file,), auth_target=file)

    assert log_out(access, "host:1").any_login
    assert find_login((file,), "host:1") is None
    assert find_login((file,), "b") == Login("b", "p")
    assert not log_out(access, "host:1").any_login


def test_logout_ends_the_logins_of_all_files_and_helpers_that_pull_asks(
    tmp_path: Path, helper: Helper
) -> None:
    kept = tmp_path / "kept"
    kept.touch()
    body = f"case $1 in get) [ -e {kept} ] && {KNOWN} || {{ {UNKNOWN}; }};; erase) rm {kept};; esac"
    helper.write("keeps", body)
    podman = auth_file(tmp_path / "auth.json", host=entry("podman"))
    (docker,) = config(tmp_path / "c", credHelpers={"host": "keeps"}, auths={"host": entry("old")})

    assert log_out(Access(auth_files=(podman, docker), auth_target=docker), "host").any_login
    assert find_login((podman, docker), "host") is None


def test_logout_goes_on_where_a_helper_fails_and_says_so(tmp_path: Path) -> None:
    (file,) = config(tmp_path / "c", credsStore="gone", auths={"host": entry("me")})
    with pytest.raises(RegistryError, match="docker-credential-gone is not installed"):
        log_out(Access(auth_files=(file,), auth_target=file), "host")

    assert json.loads(Path(file).read_text())["auths"] == {}


def test_logout_tells_of_logins_for_parts_of_the_registry(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = auth_file(tmp_path / "a", **{"host:1": entry("me"), "host:1/team": entry("team")})
    monkeypatch.setenv("REGISTRY_AUTH_FILE", file)
    result = casstore(store.path, ["logout", "host:1"])

    assert result.out == "Removing login credentials for host:1\n"
    assert "the login for host:1/team stays" in result.err


def test_login_leaves_one_form_of_the_key(tmp_path: Path, alone: Proxy) -> None:
    alone.rule(lambda request, ask: Reply(200, {}, b"{}"))
    old = {f"https://{alone.host}/v1/": entry("old")}
    file = auth_file(tmp_path / "a", **old)
    transport = Transport(Access(auth_files=(file,), auth_target=file))
    log_in(transport, alone.host, Login("new", "p"))
    transport.close()

    assert list(json.loads(Path(file).read_text())["auths"]) == [alone.host]


def test_login_tells_of_another_login_that_counts_first(tmp_path: Path, alone: Proxy) -> None:
    alone.rule(lambda request, ask: Reply(200, {}, b"{}"))
    first = auth_file(tmp_path / "a", **{alone.host: entry("other")})
    target = str(tmp_path / "b")
    transport = Transport(Access(auth_files=(first, target), auth_target=target))
    log_in(transport, alone.host, Login("me", "p"))
    transport.close()

    assert transport.take_notices() == (
        f"another login for {alone.host} counts first: that of podman or of a helper",
    )
