"""Addresses arrive as they were given, and nobody reads in a message what was secret in them."""

from __future__ import annotations

import base64
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casstore.errors import RegistryError
from casstore.registry.access import Access
from casstore.registry.address import resolve, split, target_of
from casstore.registry.http import Transport
from casstore.registry.links import Link, parse_links
from casstore.registry.proxies import proxy_for
from casstore.store import Store
from tests.registry.conftest import filled
from tests.registry.servers import Ask, Dripper, Proxy, Reply, Request
from tests.transfer.building import Layout

SIGNED = [
    "/b/sha256%3Aabc?Expires=1&Signature=a%2bb%2fc%3d",
    "/b/sha256%3aabc?X-Amz-Credential=KEY%2F2026%2Fus&sig=a%2Bb/c%3D%3D~x&empty=&space=%20",
    "/b//double/./dots/../kept?sig=a'b(c)*d!$;e,f:g@h",
    "/b/%7Etilde/~tilde?a=%7e",
    "/b?",
    "/b?sig=a|b^c[d]{e}`f",
    "/b;v=1?x;y",
    "/?sig=%E2%82%AC",
    "/b?sig=100%",
    '/b?sig="<x>\\y',
    "/b?a=%zz&b=%&c=+&d=%2B&&=",
    "/b??/?:@//c",
    "/%C3%A9%c3%a9?%C3%A9",
]


@pytest.mark.parametrize("target", SIGNED)
def test_a_signed_address_arrives_as_it_was_signed(
    target: str, alone: Proxy, transport: Transport
) -> None:
    alone.rule(
        lambda request, ask: (
            Reply(307, {"Location": f"http://{alone.host}{target}"}, b"")
            if request.path == "/v2/"
            else Reply(200, {}, b"")
        )
    )
    transport.request("GET", f"http://{alone.host}/v2/").close()

    assert alone.seen[-1].path == target


@pytest.mark.parametrize("target", SIGNED)
def test_it_does_so_through_a_proxy(target: str, alone: Proxy) -> None:
    alone.rule(lambda request, ask: Reply(200, {}, b""))
    transport = Transport(Access(http_proxy=alone.host))
    transport.request("GET", f"http://storage.example{target}").close()
    transport.close()

    assert alone.seen[-1].path == f"http://storage.example{target}"


@pytest.mark.parametrize("target", SIGNED[:-1])
def test_an_upload_goes_where_it_was_told_to(
    target: str, alone: Proxy, store: Store, transport: Transport, tmp_path: Path
) -> None:
    layout = Layout()
    layout.publish(layout.image("x"), f"{alone.host}/a/b:1")
    filled(store, layout, tmp_path)

    def answer(request: Request, ask: Ask) -> Reply:
        if request.method == "POST":
            return Reply(202, {"Location": f"http://{alone.host}{target}"}, b"")
        return Reply(201 if request.method == "PUT" else 404, {}, b"")

    alone.rule(answer)
    store.push(f"{alone.host}/a/b:1", via=transport)

    puts = [one.path for one in alone.seen if one.method == "PUT" and "/manifests/" not in one.path]
    joint = "" if target.endswith(("?", "&")) else "&" if "?" in target else "?"
    assert {put.partition(f"{joint}digest=sha256%3A")[0] for put in puts} == {target}


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("https://other/x?a=%2f", "https://other/x?a=%2f"),
        ("HTTPS://other/x", "HTTPS://other/x"),
        ("//other/x?b", "https://other/x?b"),
        ("/x%2fy?c=%3d", "https://host:1/x%2fy?c=%3d"),
        ("next?c=%3d", "https://host:1/v2/a/next?c=%3d"),
        ("../up", "https://host:1/v2/up"),
        ("?page=2", "https://host:1/v2/a/list?page=2"),
        ("", "https://host:1/v2/a/list"),
        (" /x#part ", "https://host:1/x"),
        (":x", "https://host:1/v2/a/:x"),
        ("1a:x", "https://host:1/v2/a/1a:x"),
    ],
)
def test_a_location_is_meant_from_where_it_was_given(location: str, expected: str) -> None:
    assert resolve("https://host:1/v2/a/list?page=1", location) == expected


WRITTEN = st.lists(
    st.sampled_from(
        ["http", "https", "HTTP", "ftp", "://", ":", "/", "//", "?", "#", "@", "[", "]", "::1", ".",
         "host", "Host", "user", "5000", "0", "65535", "65536", "99999", "\u0661", "a b", "\t", "%",
         "\u00e9", "\x7f", "_", "-", "\\", "\uff0f", "+", ""]
    ), max_size=9,
)  # fmt: skip


@settings(deadline=None)
@given(st.one_of(WRITTEN.map("".join), WRITTEN.map(lambda parts: "http://" + "".join(parts))))
def test_an_address_is_taken_apart_as_the_standard_library_does_it(url: str) -> None:
    try:
        parts = urlsplit(url)
        expected = (parts.scheme, parts.netloc, parts.path, parts.hostname, parts.port)
    except ValueError:
        expected = ("", "", "", None, None)
    scheme, _, _, name, port = expected
    if scheme not in ("http", "https") or not name or port == 0:
        with pytest.raises(RegistryError):
            split(url)
    else:
        assert split(url) == expected


@settings(deadline=None)
@given(WRITTEN.map("".join))
def test_what_is_sent_of_an_address_can_stand_in_a_request(url: str) -> None:
    target = target_of(url)

    assert target.startswith("/")
    assert set(target) <= {chr(code) for code in range(0x21, 0x7F)}


def test_what_cannot_stand_in_a_request_is_encoded() -> None:
    assert target_of("http://h/a b\u00e9?c=\u20ac#d") == "/a%20b%E9?c=%E2%82%AC"


@pytest.mark.parametrize(
    "location", ["ftp://me:secret@h/?s=secret", "http://me:secret@h:x/?secret"]
)
def test_an_address_that_is_not_followed_is_told_without_its_secrets(location: str) -> None:
    with pytest.raises(RegistryError, match="the registry sent the") as caught:
        resolve("https://host/", location)

    assert "secret" not in str(caught.value)


# Proxies


@pytest.mark.parametrize(
    ("text", "login"),
    [
        ("http://user:p%40ss%25w%3Ard@proxy:1", b"user:p@ss%w:rd"),
        ("http://us%65r:@proxy:1", b"user:"),
        ("http://user@proxy:1", b"user:"),
        ("user:a@b@proxy:1", b"user:a@b"),
        ("http://user:p%C3%A9%e2%82%ac@proxy:1", "user:p\u00e9\u20ac".encode()),
    ],
)
def test_a_proxys_password_is_percent_encoded(text: str, login: bytes) -> None:
    proxy = proxy_for("https", "h", Access(https_proxy=text))

    assert proxy is not None
    assert proxy.login == "Basic " + base64.b64encode(login).decode()
    assert proxy.url == "http://proxy:1"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("socks5://user:secret@proxy:1080", "the SOCKS proxy proxy:1080: casstore uses HTTP"),
        ("socks5h://proxy", "SOCKS proxy"),
        ("ftp://user:secret@proxy", "names no HTTP proxy"),
        ("http://user:secret@", "is not the address of a proxy"),
        ("http://user:sec/ret@proxy:1", "is not the address of a proxy"),
        ("http://user:12/secret@proxy:1", "is not the address of a proxy"),
        ("http://user:secret@proxy:99999", "is not the address of a proxy"),
        ("http://user:secret@pro xy:1", "is not the address of a proxy"),
        ("http://", "is not the address of a proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_told_without_its_password(text: str, told: str) -> None:
    transport = Transport(Access(https_proxy=text))
    with pytest.raises(RegistryError, match=told) as caught:
        transport.request("GET", "https://registry.example/v2/")
    transport.close()

    assert str(caught.value).startswith("HTTPS_PROXY ")
    assert not {"secret", "sec", "user"} & set(str(caught.value).replace(":", " ").split())


LINE = "HTTP/1.1 {}\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("status", "told", "connections"),
    [
        ("407 Proxy Authentication Required", "does not take the login, or wants one", 1),
        ("403 Forbidden", "does not connect to registry.example: status 403 Forbidden", 1),
        ("502 Bad Gateway", "does not connect to registry.example: status 502", 5),
    ],
)
@pytest.mark.parametrize("scheme", ["https", "http"])
def test_a_proxy_that_refuses_is_called_by_its_name(
    scheme: str, status: str, told: str, connections: int, waits: list[float]
) -> None:
    if scheme == "http" and not status.startswith("407"):
        pytest.skip("this is then the answer of the registry")
    server = Dripper(lambda: [LINE.format(status).encode()])
    address = f"http://user:secret@{server.host}"
    transport = Transport(Access(https_proxy=address, http_proxy=address), wait=waits.append)
    with pytest.raises(RegistryError, match=f"the proxy {server.host} {told}") as caught:
        transport.request("GET", f"{scheme}://registry.example/v2/")
    transport.close()
    server.stop()

    assert server.connections == connections
    assert "secret" not in str(caught.value)


def test_a_proxy_that_is_not_there_is_called_by_its_name(waits: list[float]) -> None:
    transport = Transport(Access(https_proxy="http://user:secret@localhost:1"), wait=waits.append)
    with pytest.raises(RegistryError, match="cannot connect to the proxy localhost:1"):
        transport.request("GET", "https://registry.example/v2/")
    transport.close()


def test_settings_are_shown_without_the_password_of_a_proxy() -> None:
    access = Access(https_proxy="http://user:secret@proxy")

    assert "secret" not in repr(access)


# Link


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('</a?n=2>; rel="next"', [("/a?n=2", {"next"})]),
        ("</a>; rel=next", [("/a", {"next"})]),
        ('</a>; REL="Next"', [("/a", {"next"})]),
        ('</a>;rel = "prev  next"', [("/a", {"prev", "next"})]),
        ('</a>; title="one, two; rel=x"; rel="next"', [("/a", {"next"})]),
        ('</a>; title="a \\"quoted\\", word"; rel=next', [("/a", {"next"})]),
        ("</a,b;c>; rel=next", [("/a,b;c", {"next"})]),
        ("</a>; rel=prev, </b>; rel=next", [("/a", {"prev"}), ("/b", {"next"})]),
        (",, </a>;; rel=next", [("/a", {"next"})]),
        ("</a>; rel=next; rel=prev", [("/a", {"next"})]),
        ("</a>; anchor; rel=next", [("/a", {"next"})]),
        ("</a>; nextrel=x", [("/a", set())]),
        ("</a>", [("/a", set())]),
        ("/a; rel=next", []),
        ("", []),
        ("<" * 70_000, []),
    ],
)
def test_links_are_read_as_the_rfc_has_them(
    header: str, expected: list[tuple[str, set[str]]]
) -> None:
    wanted = [Link(target, frozenset(relations)) for target, relations in expected]

    assert parse_links([header]) == wanted
