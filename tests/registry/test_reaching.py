"""Which way to a registry: TLS or not, through a proxy or not, and which files count."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from casstore.errors import RegistryError, UsageError
from casstore.model.platform import Platform, parse_platform, runs, shown
from casstore.registry.access import Access
from casstore.registry.address import host_of, is_direct, is_loopback
from casstore.registry.failures import retry_after
from casstore.registry.http import Transport
from casstore.registry.remote import Registry
from casstore.store import Store
from tests.registry.conftest import NewStore
from tests.registry.servers import Proxy, RealRegistry, Reply
from tests.registry.test_pull_and_push import pushed
from tests.sessions.commandline import casstore


def test_tls_is_spoken_where_the_certificate_is_trusted(
    secure: RealRegistry, new_store: NewStore, certificate: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    digest = pushed(new_store(), secure.host, tmp_path, "x", name="tls/app:1")
    store = new_store()
    store.pull(f"{secure.host}/tls/app@{digest}")

    assert store.check().clean


def test_dockers_folder_of_certificates_is_honoured(
    secure: RealRegistry, certificate: Path, tmp_path: Path
) -> None:
    folder = tmp_path / secure.host
    folder.mkdir()
    (folder / "ca.crt").write_bytes(certificate.read_bytes())
    transport = Transport(Access(certificates=(str(tmp_path / "nosuch"), str(tmp_path))))
    Registry(transport, secure.host).check_login()
    transport.close()


def test_a_certificate_that_nobody_trusts_is_an_error_and_never_plain_http(
    secure: RealRegistry, store: Store
) -> None:
    result = casstore(store.path, ["pull", f"{secure.host}/tls/app:1"])

    assert result.status == 1
    assert "certificate verify failed" in result.err


def test_a_registry_elsewhere_is_never_asked_in_plain_http() -> None:
    assert Registry(Transport(Access()), "registry.example").base == "https://registry.example"
    plain = Transport(Access(plain_http=True))
    assert Registry(plain, "registry.example").base == "http://registry.example"


def test_tls_is_not_left_for_plain_http(alone: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    alone.rule(lambda request, ask: Reply(302, {"Location": "http://elsewhere.example/"}, b""))
    transport = Transport(Access())
    once = transport._once
    monkeypatch.setattr(
        transport, "_once",
        lambda method, url, *rest: once(method, url.replace("https:", "http:"), *rest),
    )  # fmt: skip
    with pytest.raises(RegistryError, match="redirects from https to plain http"):
        transport.request("GET", f"https://{alone.host}/")
    transport.close()


def test_a_proxy_is_used_where_one_is_named(alone: Proxy) -> None:
    alone.rule(lambda request, ask: Reply(200, {}, b"{}"))
    access = Access(http_proxy=f"http://user:word@{alone.host}", plain_http=True)
    transport = Transport(access)
    Registry(transport, "registry.example").check_login()
    transport.close()

    assert alone.seen[0].path == "http://registry.example/v2/"
    assert alone.seen[0].headers["proxy-authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    ("host", "no_proxy", "direct"),
    [
        ("localhost:5000", "", True),
        ("127.0.0.1", "", True),
        ("[::1]:5000", "", True),
        ("a.example", "", False),
        ("a.example", "*", True),
        ("a.example:5000", "a.example", True),
        ("a.example:5000", "a.example:5000", True),
        ("sub.a.example", "a.example", True),
        ("sub.a.example", ".a.example", True),
        ("a.example", ".a.example", False),
        ("ba.example", "a.example", False),
        ("10.1.2.3:5000", "10.0.0.0/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("A.Example", "x, a.example", True),
    ],
)
def test_no_proxy_is_read_as_go_reads_it(host: str, no_proxy: str, direct: bool) -> None:  # noqa: FBT001
    assert is_direct(host, no_proxy) is direct


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True), ("localhost:1", True), ("127.9.9.9:1", True), ("[::1]:1", True),
        ("::1", True), ("localhost.example", False), ("128.0.0.1", False), ("my.localhost", True),
        ("127.0.0.1.example", False), ("127.1", False), ("127.0.0.01", False), ("::1%lo", True),
        ("[::2]:1", False), ("7f00::1", False), ("127.0.0.1%lo", False), ("", False),
        ("127.0.0.1\0", False), ("\udc80", False), ("ghcr.io", False),
    ],
)  # fmt: skip
def test_this_machine_is_known_by_its_names(host: str, expected: bool) -> None:  # noqa: FBT001
    assert is_loopback(host) is expected


def test_docker_hub_is_another_host_than_its_name() -> None:
    assert host_of("docker.io") == "registry-1.docker.io"


def test_the_files_of_logins_are_those_of_podman_and_docker_in_their_order() -> None:
    home = {"HOME": "/user"}
    config = "/user/.docker/config.json"
    without_session = f"/run/containers/{os.getuid()}/auth.json"

    assert Access.from_environment(home).auth_files == (
        without_session, "/user/.config/containers/auth.json", config,
    )  # fmt: skip
    assert Access.from_environment({**home, "XDG_RUNTIME_DIR": "/run/1"}).auth_files == (
        "/run/1/containers/auth.json", "/user/.config/containers/auth.json", config,
    )  # fmt: skip
    alone = Access.from_environment({**home, "REGISTRY_AUTH_FILE": "/x", "DOCKER_CONFIG": "/y"})
    assert (alone.auth_files, alone.auth_target) == (("/x",), "/x")
    assert Access.from_environment({**home, "DOCKER_CONFIG": "/y"}).auth_target == "/y/config.json"


def test_lower_case_names_of_proxies_come_first() -> None:
    access = Access.from_environment({"HTTPS_PROXY": "a", "https_proxy": "b", "NO_PROXY": "c"})

    assert (access.https_proxy, access.http_proxy, access.no_proxy) == ("b", "", "c")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("7", 7.0), ("", None), ("soon", None), ("Mon, 01 Jan 2001 00:00:00 GMT", 0.0), ("-1", None)],
)
def test_retry_after_is_seconds_or_a_date(text: str, expected: float | None) -> None:
    assert retry_after(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linux/arm64/v8", "linux/arm64"), ("linux/x86_64", "linux/amd64"), ("arm", "linux/arm/v7"),
        ("Linux/ARM/6", "linux/arm/v6"), ("windows/amd64", "windows/amd64"),
        ("linux/aarch64", "linux/arm64"), ("arm64", "linux/arm64"), ("linux/x86-64", "linux/amd64"),
        ("linux/armhf", "linux/arm/v7"), ("linux/armel", "linux/arm/v6"),
        ("macos/arm64", "darwin/arm64"), ("linux/armv8l", "linux/arm64"),
        ("linux/i686", "linux/386"), ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"), ("linux/riscv64", "linux/riscv64"),
    ],
)  # fmt: skip
def test_platforms_are_read_as_docker_reads_them(text: str, expected: str) -> None:
    assert shown(parse_platform(text)) == expected


@pytest.mark.parametrize(
    "text", ["", "a/b/c/d", "linux/", "linux/a b", "/", "linux", "linux/é", "linux//v7"]
)
def test_what_is_no_platform_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="invalid platform"):
        parse_platform(text)


def test_a_machine_runs_its_older_variants_too() -> None:
    assert [shown(one) for one in runs(Platform("linux", "arm", "v7"))] == [
        "linux/arm/v7", "linux/arm/v6", "linux/arm/v5",
    ]  # fmt: skip
    assert [shown(one) for one in runs(Platform("linux", "amd64", ""))] == [
        "linux/amd64", "linux/386",
    ]  # fmt: skip
