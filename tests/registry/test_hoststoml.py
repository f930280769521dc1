"""hosts.toml: which hosts a registry's folder names, and how each is spoken to."""

from __future__ import annotations

from pathlib import Path

import pytest

from casstore.errors import RegistryError
from casstore.registry.endpoint import ALL, BY_DIGEST, BY_TAG, Certificates, Endpoint
from casstore.registry.hoststoml import hosts_for


def hosts(folder: Path, text: str, domain: str = "docker.io", *, name: str = "") -> list[Endpoint]:
    own = folder / (name or domain)
    own.mkdir(parents=True, exist_ok=True)
    (own / "hosts.toml").write_text(text)
    found = hosts_for([str(folder)], domain, "library/busybox")
    assert found is not None
    return found


def test_hosts_come_in_their_order_and_the_server_last(tmp_path: Path) -> None:
    text = 'server = "https://registry-1.docker.io"\n'
    text += '[host."https://z.example"]\n[host."http://a.example:5000"]\n'
    found = hosts(tmp_path, text)

    assert [(one.scheme, one.host, one.namespace) for one in found] == [
        ("https", "z.example", "docker.io"),
        ("http", "a.example:5000", "docker.io"),
        ("https", "docker.io", ""),  # whose login counts there
    ]
    assert {one.path for one in found} == {"library/busybox"}
    assert [one.is_mirror for one in found] == [True, True, False]


def test_without_a_server_the_registry_itself_is_last(tmp_path: Path) -> None:
    assert hosts(tmp_path, "", "registry.example") == [
        Endpoint("registry.example", "library/busybox", is_mirror=False)
    ]


def test_a_server_in_place_of_the_registry_is_a_mirror(tmp_path: Path) -> None:
    (found,) = hosts(tmp_path, 'server = "https://other.example"\n', "registry.example")

    assert (found.host, found.namespace, found.is_mirror) == (
        "other.example", "registry.example", True,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["registry.example_5000_", "registry.example:5000", "_default"])
def test_the_folder_of_a_registry(name: str, tmp_path: Path) -> None:
    text = '[host."https://mirror.example"]\n'

    assert hosts(tmp_path, text, "registry.example:5000", name=name)[0].host == "mirror.example"


def test_the_first_folder_that_is_there_counts(tmp_path: Path) -> None:
    hosts(tmp_path / "1", '[host."https://one.example"]\n')
    hosts(tmp_path / "2", '[host."https://two.example"]\n')
    hosts(tmp_path / "1", '[host."https://default.example"]\n', name="_default")
    both = [str(tmp_path / "1"), str(tmp_path / "2")]

    found = hosts_for(both, "docker.io", "x")
    assert found is not None and found[0].host == "one.example"
    assert hosts_for([str(tmp_path / "2")], "other.example", "x") is None


def test_a_folder_of_certificates_alone_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "docker.io").mkdir()
    (tmp_path / "docker.io" / "ca.crt").write_text("")

    assert hosts_for([str(tmp_path)], "docker.io", "x") is None


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        ('["pull", "resolve", "push"]', [ALL]),
        ('["pull", "resolve"]', [ALL]),
        ('["pull"]', [BY_DIGEST]),
        ('["resolve"]', [BY_TAG]),
        ('["push"]', []),
        ("[]", [ALL]),
    ],
)
def test_what_a_host_may_be_asked_for(said: str, usage: list[str], tmp_path: Path) -> None:
    text = f'[host."https://mirror.example"]\ncapabilities = {said}\n'

    assert [one.usage for one in hosts(tmp_path, text)[:-1]] == usage


@pytest.mark.parametrize(
    ("url", "override", "root"),
    [
        ("https://m.example", "", "/v2"),
        ("https://m.example/", "", "/v2"),
        ("https://m.example/v2", "", "/v2"),
        ("https://m.example/hub", "", "/hub/v2"),
        ("https://m.example/hub/v2/", "", "/hub/v2"),
        ("https://m.example/hub", "override_path = true", "/hub"),
        ("https://m.example", "override_path = true", ""),
        ("m.example/hub", "", "/hub/v2"),
    ],
)
def test_the_root_of_the_api(url: str, override: str, root: str, tmp_path: Path) -> None:
    found = hosts(tmp_path, f'[host."{url}"]\n{override}\n')[0]

    assert (found.host, found.root) == ("m.example", root)


def test_certificates_are_beside_the_file(tmp_path: Path) -> None:
    text = (
        'ca = "own.crt"\n[host."https://m.example"]\nca = ["a.crt", "/b.crt"]\n'
        'client = [["c.cert", "c.key"], ["d.pem", ""]]\nskip_verify = true\n'
    )
    mirror, server = hosts(tmp_path, text)
    base = f"{tmp_path}/docker.io"

    assert mirror.certificates == Certificates(
        authorities=(f"{base}/a.crt", "/b.crt"),
        clients=((f"{base}/c.cert", f"{base}/c.key"), (f"{base}/d.pem", "")),
        verify=False,
    )
    assert server.certificates == Certificates(authorities=(f"{base}/own.crt",))


@pytest.mark.parametrize(
    ("client", "pairs"),
    [('"c.pem"', [("c.pem", "")]), ('["c.pem", "d.pem"]', [("c.pem", ""), ("d.pem", "")])],
)
def test_a_client_is_a_path_or_several(
    client: str, pairs: list[tuple[str, str]], tmp_path: Path
) -> None:
    (found,) = hosts(tmp_path, f"client = {client}\n")

    assert [(Path(c).name, k) for c, k in found.certificates.clients] == pairs


def test_headers(tmp_path: Path) -> None:
    text = '[host."https://m.example".header]\nX-One = "1"\nX-Two = ["a", "b"]\n'

    assert hosts(tmp_path, text)[0].headers == (("X-One", "1"), ("X-Two", "a, b"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[host", "is not TOML"),
        ("host = 5\n", "host is not a table"),
        ("[host]\n'https://a' = 5\n", "host is not a table of tables"),
        ("server = 5\n", "server is not a string"),
        ("server = 'ftp://a.org'\n", "no address of a host"),
        ("server = 'https://user:word@a.org'\n", "no address of a host"),
        ("capabilities = ['fly']\n", "unknown capability"),
        ("skip_verify = 1\n", "neither true nor false"),
        ("client = 5\n", "client is no path"),
        ("client = [['a']]\n", "client is no path"),
        ("ca = [5]\n", "ca is neither a string nor"),
        ("header = 5\n", "header is not a table"),
        ('[header]\n"X-A" = "a\\r\\nX-B: b"\n', "no header that can be sent"),
        ('[header]\n"X A" = "a"\n', "no header that can be sent"),
        ("proxy = 'http://p:1'\n", "a proxy of a host is not supported"),
    ],
)
def test_a_file_that_is_wrong_is_one_line(text: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=why) as error:
        hosts(tmp_path, text)

    assert "hosts.toml" in str(error.value)
    assert "\n" not in str(error.value)
