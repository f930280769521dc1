"""Where a server may listen, and what it does about what is there."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import stat
import subprocess
from collections.abc import Callable, Iterator
from http.client import HTTPSConnection
from pathlib import Path

import bcrypt
import pytest

from casstore.errors import StorageError, UsageError
from casstore.server.server import Server, ServerOptions
from casstore.store import Store
from tests.server.conftest import Client, Serve, parsed
from tests.transfer.building import Layout

Listen = Callable[..., Server]


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Listen]:
    servers: list[Server] = []

    def start(*addresses: str, **options: object) -> Server:
        made = ServerOptions(registry=addresses, **options)  # type: ignore[arg-type]  # of any test
        servers.append(Server(lambda: Store(str(tmp_path / "store")), made))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    return made_certificate(tmp_path)


def made_certificate(folder: Path) -> tuple[str, str]:
    """A new certificate of localhost, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    certificate, key = str(folder / "cert.pem"), str(folder / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


@pytest.fixture
def users(tmp_path: Path) -> str:
    path = tmp_path / "users"
    path.write_text(f"ann:{bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n")
    return str(path)


def test_a_port_alone_is_one_of_this_machine(listen: Listen) -> None:
    assert listen("0").addresses[0].startswith("http://127.0.0.1:")


@pytest.mark.parametrize("address", ["", "http://x", "5000x", "1:2:3", "65536", ":5000", "-1"])
def test_what_is_no_address_is_refused(listen: Listen, address: str) -> None:
    with pytest.raises((UsageError, StorageError)):
        listen(address)


def test_an_address_in_use_is_refused_in_one_line(listen: Listen) -> None:
    port = listen("0").doors[0].socket.getsockname()[1]
    with pytest.raises(StorageError, match=f'cannot listen at "{port}": address already in use'):
        listen(str(port))


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
def test_beyond_this_machine_tls_and_a_login_are_needed(
    listen: Listen, certificate: tuple[str, str], users: str, address: str
) -> None:
    cert, key = certificate
    for lacking in ({}, {"htpasswd": users}, {"certificate": cert, "key": key}):
        with pytest.raises(UsageError, match="can be reached from other machines"):
            listen(address, **lacking)
    assert listen(address, certificate=cert, key=key, htpasswd=users).addresses
    assert listen(address, insecure=True).addresses


def test_nothing_to_serve_is_refused(listen: Listen) -> None:
    with pytest.raises(UsageError, match="nothing to serve"):
        listen()


def test_a_certificate_without_its_key_is_refused(
    listen: Listen, certificate: tuple[str, str]
) -> None:
    with pytest.raises(UsageError, match="needed together"):
        listen("0", certificate=certificate[0])


def test_a_certificate_that_is_none_is_refused(listen: Listen, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("no certificate")
    with pytest.raises(StorageError, match="cannot use the certificate"):
        listen("0", certificate=str(path), key=str(path))


def test_under_tls_large_blobs_are_whole(
    serve: Serve, certificate: tuple[str, str], store: Store, tmp_path: Path
) -> None:
    layout = Layout()
    content = b"casstore" * (1 << 18)
    blob = layout.blob(content, "text/plain")
    empty = layout.blob(b"{}", "application/vnd.oci.empty.v1+json")
    layout.publish(layout.manifest(empty, [blob], artifactType="a/b"), "docker.io/library/app:1")
    store.load(layout.write(str(tmp_path / "layout")))
    server = serve(store, certificate=certificate[0], key=certificate[1])
    context = ssl.create_default_context(cafile=certificate[0])
    connection = HTTPSConnection("localhost", server.address[1], context=context, timeout=20)
    connection.request("GET", f"/v2/library/app/blobs/{blob['digest']}")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, content)
    connection.close()


def test_a_renewed_certificate_counts_at_once(
    serve: Serve, certificate: tuple[str, str], store: Store, tmp_path: Path
) -> None:
    server = serve(store, certificate=certificate[0], key=certificate[1])
    old = ssl.get_server_certificate(server.address)
    (tmp_path / "new").mkdir()
    for path, new in zip(certificate, made_certificate(tmp_path / "new"), strict=True):
        os.replace(new, path)
    assert ssl.get_server_certificate(server.address) != old


def test_a_client_that_speaks_no_tls_is_let_go(
    serve: Serve, certificate: tuple[str, str], tmp_path: Path
) -> None:
    server = serve(str(tmp_path / "none"), certificate=certificate[0], key=certificate[1])
    client = server.client()
    client.send("GET /v2/ HTTP/1.1", "Host: x")
    with pytest.raises(ConnectionResetError):
        client.rest()


# Unix sockets


def test_a_unix_socket_is_for_this_user_alone(listen: Listen, place: Path) -> None:
    assert listen(f"unix://{place}").addresses == [f"unix://{place}"]
    assert stat.S_IMODE(place.lstat().st_mode) == 0o600


def test_the_file_of_a_unix_socket_goes_with_the_server(listen: Listen, place: Path) -> None:
    listen(f"unix://{place}").close()
    assert not place.exists()


def test_a_unix_socket_is_asked_without_login_and_by_any_name(
    serve: Serve, place: Path, users: str, store: Store
) -> None:
    server = serve(store, registry=(f"unix://{place}",), htpasswd=users)
    client = Client(str(place))
    client.send("GET /v2/ HTTP/1.1", "Host: whatever", "Connection: close")
    assert parsed(client.rest())[0] == 200
    client.close()
    assert server.address == str(place)


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_directory_where_others_may_write_is_refused(
    listen: Listen, place: Path, mode: int
) -> None:
    place.parent.chmod(mode)
    with pytest.raises(StorageError, match="others may write in"):
        listen(f"unix://{place}")
    assert not place.exists()


def test_a_socket_that_nobody_listens_at_is_replaced(listen: Listen, place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(place))
    assert listen(f"unix://{place}").addresses


def test_a_socket_that_somebody_listens_at_is_left_to_him(listen: Listen, place: Path) -> None:
    listen(f"unix://{place}")
    with pytest.raises(StorageError, match="another server listens"):
        listen(f"unix://{place}")
    assert place.exists()


def test_a_file_in_the_place_of_a_socket_is_left_alone(listen: Listen, place: Path) -> None:
    place.write_text("mine")
    with pytest.raises(StorageError, match="not a socket"):
        listen(f"unix://{place}")
    assert place.read_text() == "mine"


def test_a_directory_that_is_not_there_is_refused(listen: Listen, place: Path) -> None:
    with pytest.raises(StorageError, match="cannot listen"):
        listen(f"unix://{place}/none/s")


def test_a_path_that_is_too_long_for_a_socket_is_refused(listen: Listen, place: Path) -> None:
    longest = str(place).ljust(107, "s")
    assert listen(f"unix://{longest}").addresses == [f"unix://{longest}"]
    with pytest.raises(UsageError, match="at most 107 bytes"):
        listen(f"unix://{longest}s")


def test_nothing_listens_where_one_of_two_addresses_is_refused(listen: Listen, place: Path) -> None:
    with pytest.raises(UsageError):
        listen(f"unix://{place}", "nonsense")
    assert not os.path.lexists(place)
