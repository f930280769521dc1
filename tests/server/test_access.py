"""Who may ask: the names of the server, pages of other sites, and logins."""

from __future__ import annotations

import base64
import os
import socket
from pathlib import Path

import bcrypt
import pytest

from casstore.errors import StorageError, UsageError
from casstore.server.login import Logins
from casstore.store import Store
from tests.server.conftest import Running, Serve, parsed


def asked(server: Running, host: str, *lines: str, method: str = "GET") -> int:
    client = server.client()
    client.send(f"{method} /v2/ HTTP/1.1", f"Host: {host}", "Connection: close", *lines)
    return parsed(client.rest())[0]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.8.9.1:5", "[::1]:5"]
)
def test_this_machine_may_be_asked_for(serve: Serve, store: Store, host: str) -> None:
    assert asked(serve(store), host) == 200


def test_the_machines_own_name_may_be_asked_for(serve: Serve, store: Store) -> None:
    assert asked(serve(store), f"{socket.gethostname()}:5000") == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:5000", "localhost.evil.example", "192.0.2.1", "[2001:db8::1]"],
)
def test_a_name_that_somebody_else_may_have_given_us_is_refused(
    serve: Serve, store: Store, host: str
) -> None:
    assert asked(serve(store), host) == 421


@pytest.mark.parametrize("host", ["images.example", "images.example:5000", "192.0.2.1:1"])
def test_a_name_that_was_given_may_be_asked_for(serve: Serve, store: Store, host: str) -> None:
    assert asked(serve(store, names=("Images.example", "192.0.2.1")), host) == 200


def test_no_answer_allows_another_sites_page_to_read_it(serve: Serve, store: Store) -> None:
    _, headers, _ = serve(store).get("/v2/", "Origin: http://evil.example")
    assert [name for name in headers if name.startswith("access-control")] == []


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("Origin: http://evil.example", 403),
        ("Origin: null", 403),
        ("Sec-Fetch-Site: cross-site", 403),
        ("Sec-Fetch-Site: same-site", 403),
        ("Content-Type: text/plain;charset=UTF-8", 415),
        ("Content-Type: application/x-www-form-urlencoded", 415),
        ("Content-Type: multipart/form-data; boundary=x", 415),
    ],
)
def test_what_a_page_can_send_changes_nothing(
    serve: Serve, store: Store, line: str, status: int
) -> None:
    assert asked(serve(store), "localhost", line, method="POST") == status


def test_a_page_of_this_server_may_ask_itself(serve: Serve, store: Store) -> None:
    server = serve(store)
    assert asked(server, "localhost:1", "Origin: http://localhost:1", method="POST") == 405


# Logins


def hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


def basic(user: str, password: str) -> str:
    return "Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    path.write_text(f"# comment\n\nann:{hashed('secret')}\nben:{hashed('pass:word')}\n")
    return path


def test_without_a_login_the_client_is_asked_for_one(
    serve: Serve, store: Store, users: Path
) -> None:
    status, headers, body = serve(store, htpasswd=str(users)).get("/v2/")
    assert (status, headers["www-authenticate"][:6]) == (401, "Basic ")
    assert b"UNAUTHORIZED" in body


@pytest.mark.parametrize("path", ["/v2/", "/v2/_catalog", "/metrics", "/"])
def test_a_login_opens_everything(serve: Serve, store: Store, users: Path, path: str) -> None:
    server = serve(store, htpasswd=str(users))
    assert server.get(path)[0] == 401
    assert server.get(path, basic("ann", "secret"))[0] == 200
    assert server.get(path, basic("ben", "pass:word"))[0] == 200


@pytest.mark.parametrize(
    "line",
    [
        basic("ann", "wrong"),
        basic("ann", ""),
        basic("eve", "secret"),
        basic("ann", "secret\0"),
        basic("ann", "secret" * 20),
        "Authorization: Basic !",
        "Authorization: Basic " + base64.b64encode(b"\xff").decode(),
        "Authorization: Basic " + base64.b64encode(b"ann").decode(),
        "Authorization: Bearer abc",
        "Authorization: Basic",
    ],
)
def test_what_is_no_right_login_is_refused(
    serve: Serve, store: Store, users: Path, line: str
) -> None:
    assert serve(store, htpasswd=str(users)).get("/v2/", line)[0] == 401


def test_a_login_is_hashed_once_a_minute(users: Path) -> None:
    logins = Logins(str(users))
    hashes = 0
    check = logins._check

    def counted(password: bytes, known: bytes) -> bool:
        nonlocal hashes
        hashes += 1
        return check(password, known)

    logins._check = counted
    value = basic("ann", "secret").partition(": ")[2]
    assert [logins.user_of(value) for _ in range(5)] == ["ann"] * 5
    assert hashes == 1


def test_an_unknown_user_takes_a_hash_too(users: Path) -> None:
    logins = Logins(str(users))
    seen: list[bytes] = []

    def noted(password: bytes, known: bytes) -> bool:
        seen.append(known)
        return False

    logins._check = noted
    assert logins.user_of(basic("eve", "x").partition(": ")[2]) is None
    assert len(seen[0]) == 60


def test_a_changed_file_counts_at_once(users: Path) -> None:
    logins = Logins(str(users))
    value = basic("ann", "secret").partition(": ")[2]
    assert logins.user_of(value) == "ann"
    users.write_text(f"ben:{hashed('x')}\n")
    os.utime(users, ns=(1, 1))
    assert logins.user_of(value) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nobody\n",
        "ann:plain\n",
        "ann:$apr1$abc$def\n",
        "ann:{SHA}abc\n",
        "no colon\n",
        ":x\n",
    ],
)
def test_a_file_without_bcrypt_hashes_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "users"
    path.write_text(text)
    with pytest.raises(UsageError):
        Logins(str(path))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        Logins(str(tmp_path / "none"))


def test_who_logged_in_stands_in_the_log(
    serve: Serve, store: Store, users: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    serve(store, htpasswd=str(users)).get("/v2/", basic("ann", "secret"))
    assert " - ann [" in capfd.readouterr().err
