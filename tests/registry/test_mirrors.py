"""Mirrors: which host is asked for what, in which order, and what is said of those that fail."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from casstore.errors import NotFound, Refused, RegistryError
from casstore.flows.copy import copy_straight
from casstore.registry.access import Access
from casstore.registry.http import Transport
from casstore.store import Store
from casstore.transfer.place import parse_place
from tests.compat.programs import run
from tests.registry.conftest import NewStore
from tests.registry.servers import Proxy, RealRegistry, Reply, free_port
from tests.registry.test_pull_and_push import pushed
from tests.sessions.commandline import casstore

NAME = "registry.example/shop/app:1"  # which nobody serves
NOT_THERE = Reply(404, {"Content-Type": "application/json"}, b'{"errors":[]}')


@pytest.fixture
def hosts(registry: RealRegistry) -> Iterator[Callable[[], Proxy]]:
    """Makes hosts, each of which has what the registry has, and notes what it is asked for."""
    made: list[Proxy] = []

    def make() -> Proxy:
        made.append(Proxy(registry.host))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def digest(registry: RealRegistry, new_store: NewStore, tmp_path: Path) -> str:
    """Of the image that all hosts have as shop/app:1."""
    return pushed(new_store(), registry.host, tmp_path, "a" * 5000, "b", name="shop/app:1")


def conf(folder: Path, *mirrors: str, location: str, more: str = "") -> Access:
    """registries.conf with mirrors of registry.example; a mirror can have more lines."""
    text = f'[[registry]]\nprefix = "registry.example"\nlocation = "{location}"\n{more}\n'
    for mirror in mirrors:
        place, _, rest = mirror.partition("\n")
        text += f'[[registry.mirror]]\nlocation = "{place}"\n{rest}\n'
    (folder / "registries.conf").write_text(text)
    return Access(registries=(folder / "registries.conf",))


def toml(folder: Path, text: str) -> Access:
    """hosts.toml of registry.example."""
    (folder / "certs.d" / "registry.example").mkdir(parents=True)
    (folder / "certs.d" / "registry.example" / "hosts.toml").write_text(text)
    return Access(hosts=(folder / "certs.d",))


def kinds(host: Proxy) -> list[str]:
    """What a host was asked for: of each address the part that says it."""
    parts = [one.path.partition("?")[0].split("/") for one in host.seen]
    return [part[-2] for part in parts if part[-2:] != ["v2", ""] and len(part) > 3]


def lacks_all(host: Proxy) -> None:
    host.rule(lambda request, ask: NOT_THERE if "/shop/" in request.path else None)


def test_a_mirror_is_asked_and_the_name_stays(
    hosts: Callable[[], Proxy], digest: str, store: Store, tmp_path: Path
) -> None:
    mirror, primary = hosts(), hosts()
    result = store.pull(NAME, via=conf(tmp_path, mirror.host, location=primary.host))

    assert result.warnings == ()
    assert [name.familiar for name in store.get(NAME).names] == [
        NAME, f"registry.example/shop/app@{digest}",
    ]  # fmt: skip
    assert sorted(kinds(mirror)) == ["blobs", "blobs", "blobs", "manifests"]
    assert primary.seen == []


def test_a_location_is_another_place_and_no_mirror(
    hosts: Callable[[], Proxy], digest: str, store: Store, tmp_path: Path
) -> None:
    primary = hosts()
    store.pull(NAME, via=conf(tmp_path, location=primary.host))

    assert kinds(primary)[0] == "manifests"


def test_a_namespace_in_a_mirror(
    hosts: Callable[[], Proxy], digest: str, store: Store, tmp_path: Path
) -> None:
    mirror = hosts()
    store.pull(
        "registry.example/app:1", via=conf(tmp_path, f"{mirror.host}/shop", location="x.org")
    )

    assert mirror.seen[-1].path.startswith("/v2/shop/app/")


def test_a_mirror_that_lacks_the_image_is_passed_over_in_silence(
    hosts: Callable[[], Proxy], digest: str, store: Store, tmp_path: Path
) -> None:
    first, second, primary = hosts(), hosts(), hosts()
    lacks_all(first)
    result = store.pull(NAME, via=conf(tmp_path, first.host, second.host, location=primary.host))

    assert result.warnings == ()
    assert kinds(first) == ["manifests"]
    assert sorted(kinds(second)) == ["blobs", "blobs", "blobs", "manifests"]
    assert primary.seen == []


def test_a_mirror_that_does_not_answer_is_told_in_one_line_and_not_asked_again(
    hosts: Callable[[], Proxy], digest: str, store: Store, tmp_path: Path
) -> None:
    dead, primary = f"localhost:{free_port()}", hosts()
    result = store.pull(NAME, via=conf(tmp_path, dead, location=primary.host))

    (warning,) = result.warnings
    assert warning == (
        f"{dead} is passed over for registry.example/shop/app: cannot connect to {dead}:"
        " connection refused"
    )
    assert len(kinds(primary)) == 4


def test_a_mirror_that_sends_another_thing_is_passed_over(
    hosts: Callable[[], Proxy], digest: str, store: Store, tmp_path: Path
) -> None:
    liar, primary = hosts(), hosts()
    liar.rule(
        lambda request, ask: (
            Reply(200, {}, b'{"schemaVersion": 2}') if "/manifests/" in request.path else None
        )
    )
    result = store.pull(
        f"registry.example/shop/app@{digest}", via=conf(tmp_path, liar.host, location=primary.host)
    )

    (warning,) = result.warnings
    assert f"{liar.host} is passed over for registry.example/shop/app: manifest" in warning
    assert "has other content" in warning


def test_where_all_fail_each_reason_is_in_one_line(
    hosts: Callable[[], Proxy], store: Store, tmp_path: Path
) -> None:
    dead, empty, primary = f"localhost:{free_port()}", hosts(), hosts()
    lacks_all(empty)
    lacks_all(primary)
    with pytest.raises(NotFound) as error:
        store.pull(NAME, via=conf(tmp_path, dead, empty.host, location=primary.host))

    text = str(error.value)
    assert text.startswith(f"manifest for {primary.host}/shop/app:1 not found: ")
    assert f"(before that, {dead}: cannot connect to {dead}: connection refused; " in text
    assert f"; {empty.host}: manifest for {empty.host}/shop/app:1 not found: " in text
    assert "\n" not in text


def test_a_layer_that_the_mirror_lacks_comes_from_the_next(
    hosts: Callable[[], Proxy], digest: str, store: Store, tmp_path: Path
) -> None:
    mirror, primary = hosts(), hosts()
    mirror.rule(lambda request, ask: NOT_THERE if "/blobs/" in request.path else None)
    store.pull(NAME, via=conf(tmp_path, mirror.host, location=primary.host))

    assert kinds(primary) == ["blobs", "blobs", "blobs"]
    assert store.check().clean


def test_a_mirror_for_digests_alone_is_not_asked_for_a_tag(
    hosts: Callable[[], Proxy], digest: str, new_store: NewStore, tmp_path: Path
) -> None:
    mirror, primary = hosts(), hosts()
    access = conf(tmp_path, mirror.host, location=primary.host, more="mirror-by-digest-only = true")
    new_store().pull(NAME, via=access)
    assert mirror.seen == []

    primary.seen.clear()
    new_store().pull(f"registry.example/shop/app@{digest}", via=access)
    assert len(kinds(mirror)) == 4
    assert primary.seen == []


def test_what_is_blocked_is_refused_before_anybody_is_asked(
    hosts: Callable[[], Proxy], store: Store, tmp_path: Path
) -> None:
    mirror = hosts()
    access = conf(tmp_path, mirror.host, location=mirror.host, more="blocked = true")
    with pytest.raises(Refused, match=r"^registry registry\.example is blocked in "):
        store.pull(NAME, via=access)
    with pytest.raises(Refused, match=r"^registry registry\.example is blocked in "):
        store.copy_in(parse_place(f"docker://{NAME}"), "own:1", via=access)

    assert mirror.seen == []


def test_other_registries_are_asked_as_ever(
    registry: RealRegistry, digest: str, store: Store, tmp_path: Path
) -> None:
    store.pull(f"{registry.host}/shop/app:1", via=conf(tmp_path, "x.org", location="y.org"))

    assert store.get(f"{registry.host}/shop/app:1")


def test_a_straight_copy_from_a_registry_goes_by_its_mirrors_too(
    hosts: Callable[[], Proxy], digest: str, tmp_path: Path
) -> None:
    mirror = hosts()
    source, target = parse_place(f"docker://{NAME}"), parse_place(f"oci:{tmp_path / 'out'}:1")
    with Transport(conf(tmp_path, mirror.host, location="localhost:1")) as transport:
        assert copy_straight(source, target, transport, None) == digest

    assert "blobs" in kinds(mirror)


def test_all_tags_are_those_of_the_first_that_has_the_repository(
    hosts: Callable[[], Proxy], digest: str, store: Store, tmp_path: Path
) -> None:
    empty, mirror = hosts(), hosts()
    lacks_all(empty)
    access = conf(tmp_path, empty.host, mirror.host, location="localhost:1")
    store.pull("registry.example/shop/app", all_tags=True, via=access)

    assert store.get(NAME)


# Who is told which secret


def authorizations(host: Proxy) -> set[str]:
    return {one.headers["authorization"] for one in host.seen if "authorization" in one.headers}


def asks_for_a_login(host: Proxy) -> None:
    refusal = Reply(401, {"WWW-Authenticate": 'Basic realm="x"'}, b"")
    host.rule(lambda request, ask: None if "authorization" in request.headers else refusal)


def test_each_host_gets_its_own_login(
    hosts: Callable[[], Proxy], digest: str, store: Store, tmp_path: Path
) -> None:
    mirror, primary = hosts(), hosts()
    asks_for_a_login(mirror)
    lacks_all(mirror)
    asks_for_a_login(primary)
    logins = {name: base64.b64encode(f"{name[:9]}:word".encode()).decode()
              for name in (mirror.host, primary.host, "registry.example")}  # fmt: skip
    auths = {"auths": {name: {"auth": login} for name, login in logins.items()}}
    (tmp_path / "auth.json").write_text(json.dumps(auths))
    access = conf(tmp_path, mirror.host, location=primary.host)
    store.pull(NAME, via=access._replace(auth_files=(tmp_path / "auth.json",)))

    assert authorizations(mirror) == {f"Basic {logins[mirror.host]}"}
    assert authorizations(primary) == {f"Basic {logins[primary.host]}"}


def test_a_login_for_the_registry_is_not_told_to_a_mirror(
    hosts: Callable[[], Proxy], digest: str, store: Store, tmp_path: Path
) -> None:
    mirror = hosts()
    asks_for_a_login(mirror)
    access = conf(tmp_path, mirror.host, location="localhost:1")
    with (
        Transport(access, login=("casey", "secret", ""), wait=lambda _: None) as transport,
        pytest.raises(RegistryError),
    ):
        store.pull(NAME, via=transport)

    assert mirror.seen != []
    assert authorizations(mirror) == set()


# hosts.toml


def test_a_host_that_may_not_say_what_a_tag_means_brings_the_blobs(
    hosts: Callable[[], Proxy], digest: str, store: Store, tmp_path: Path
) -> None:
    public, server = hosts(), hosts()
    text = f'server = "http://{server.host}"\n'
    text += f'[host."http://{public.host}"]\ncapabilities = ["pull"]\n'
    store.pull(NAME, via=toml(tmp_path, text))

    assert kinds(server) == ["manifests"]
    assert kinds(public) == ["blobs", "blobs", "blobs"]


def test_a_mirror_is_told_of_which_registry(
    hosts: Callable[[], Proxy], digest: str, store: Store, tmp_path: Path
) -> None:
    mirror = hosts()
    store.pull(NAME, via=toml(tmp_path, f'[host."http://{mirror.host}"]\n'))

    assert {one.path.partition("?")[2] for one in mirror.seen} == {"ns=registry.example"}


def test_a_header_is_for_its_host_and_for_no_other(
    hosts: Callable[[], Proxy], digest: str, store: Store, tmp_path: Path
) -> None:
    mirror, elsewhere = hosts(), hosts()
    mirror.rule(
        lambda request, ask: (
            Reply(307, {"Location": f"http://{elsewhere.host}{request.path}"}, b"")
            if "/blobs/" in request.path
            else None
        )
    )
    text = f'[host."http://{mirror.host}"]\n[host."http://{mirror.host}".header]\n'
    store.pull(NAME, via=toml(tmp_path, text + 'X-Key = "secret"\n'))

    assert {one.headers.get("x-key") for one in mirror.seen} == {"secret"}
    assert len(elsewhere.seen) == 3
    assert {one.headers.get("x-key") for one in elsewhere.seen} == {None}


def test_an_api_at_another_root(
    hosts: Callable[[], Proxy], digest: str, store: Store, tmp_path: Path
) -> None:
    mirror = hosts()
    mirror.rule(
        lambda request, ask: None if request.path.startswith("/v2/") else Reply(200, {}, b"{}")
    )
    text = f'[host."http://{mirror.host}/v2"]\noverride_path = true\n'
    store.pull(NAME, via=toml(tmp_path, text))

    assert store.get(NAME)


def test_registries_conf_comes_before_hosts_toml(
    hosts: Callable[[], Proxy], digest: str, store: Store, tmp_path: Path
) -> None:
    one, other = hosts(), hosts()
    access = conf(tmp_path, one.host, location="localhost:1")
    both = toml(tmp_path, f'[host."http://{other.host}"]\n')._replace(registries=access.registries)
    store.pull(NAME, via=both)

    assert one.seen != []
    assert other.seen == []


# Certificates


@pytest.fixture
def there(
    secure: RealRegistry, certificate: Path, new_store: NewStore, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> str:  # fmt: skip
    """The host of a registry with TLS that has the image."""
    with monkeypatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(certificate))
        pushed(new_store(), secure.host, tmp_path, "x", name="shop/app:1")
    return secure.host


@pytest.mark.parametrize("more", ["", "insecure = true"])
def test_an_insecure_mirror_may_have_any_certificate(
    more: str, there: str, store: Store, tmp_path: Path
) -> None:
    access = conf(tmp_path, f"{there}\n{more}", location="localhost:1")
    if more:
        store.pull(NAME, via=access)
        assert store.get(NAME)
    else:
        with pytest.raises(RegistryError, match="certificate verify failed"):
            store.pull(NAME, via=access)


def test_an_insecure_mirror_may_speak_plain_http(
    hosts: Callable[[], Proxy], digest: str, store: Store, tmp_path: Path
) -> None:
    mirror = hosts()
    store.pull(NAME, via=conf(tmp_path, f"{mirror.host}\ninsecure = true", location="localhost:1"))

    assert kinds(mirror) != []


@pytest.mark.parametrize("line", ['ca = "own.crt"', "skip_verify = true"])
def test_a_host_may_have_an_authority_of_its_own(
    line: str, there: str, certificate: Path, store: Store, tmp_path: Path
) -> None:
    access = toml(tmp_path, f'[host."https://{there}"]\n{line}\n')
    (tmp_path / "certs.d/registry.example/own.crt").write_bytes(certificate.read_bytes())
    store.pull(NAME, via=access)

    assert store.get(NAME)


def test_an_authority_that_is_not_there_is_one_line(
    there: str, store: Store, tmp_path: Path
) -> None:
    access = toml(tmp_path, f'server = "https://{there}"\nca = "nosuch.crt"\n')
    with pytest.raises(RegistryError, match=r"cannot use the certificate .*No such file"):
        store.pull(NAME, via=access)


# The command line, and other programs


def test_pull_reads_the_file_that_the_environment_names(
    hosts: Callable[[], Proxy], digest: str, store: Store, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    dead, mirror = f"localhost:{free_port()}", hosts()
    conf(tmp_path, dead, mirror.host, location="localhost:1")
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "registries.conf"))
    result = casstore(store.path, ["pull", "-q", NAME])

    assert (result.status, result.out) == (0, f"{NAME}\n")
    assert result.err == (
        f"Warning: {dead} is passed over for registry.example/shop/app: cannot connect to {dead}:"
        " connection refused\n"
    )


@pytest.mark.parametrize("by_digest", [False, True], ids=["by tag", "by digest"])
@pytest.mark.parametrize("usage", ["all", "digest-only", "tag-only"])
@pytest.mark.parametrize("lacking", [0, 1, 2])
def test_skopeo_asks_the_same_hosts_for_the_manifest(
    usage: str, lacking: int, hosts: Callable[[], Proxy], digest: str, tmp_path: Path, *,
    by_digest: bool,
) -> None:  # fmt: skip
    three = [hosts(), hosts(), hosts()]
    for host in three[:lacking]:
        lacks_all(host)
    first, second, primary = (host.host for host in three)
    mirrors = (
        f"{first}\npull-from-mirror = '{usage}'\ninsecure = true",
        f"{second}\ninsecure = true",
    )
    access = conf(tmp_path, *mirrors, location=primary, more="insecure = true")
    name = f"registry.example/shop/app@{digest}" if by_digest else NAME

    def asked() -> list[bool]:
        found = [bool(host.gets("/manifests/")) for host in three]
        for host in three:
            host.seen.clear()
        return found

    with Transport(access) as transport:
        target = parse_place(f"oci:{tmp_path / 'ours'}:1")
        copy_straight(parse_place(f"docker://{name}"), target, transport, None)
    ours = asked()
    run("skopeo", "--registries-conf", tmp_path / "registries.conf", "copy", "-q",
        f"docker://{name}", f"dir:{tmp_path / 'theirs'}")  # fmt: skip
    assert asked() == ours
