"""`casstore serve --docker`: the API at a unix socket, over the wire."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from casstore.errors import UsageError
from casstore.server.server import Server, ServerOptions
from casstore.store import Store
from tests.architecture.sources import ROOT
from tests.server.conftest import Client, Running, parsed
from tests.transfer.building import docker_archive, layer

ARCHIVE = ROOT / "fixtures" / "images" / "docker-save" / "commit.tar"

Ask = Callable[..., tuple[int, dict[str, str], bytes]]


@pytest.fixture
def running(store: Store, place: Path) -> Iterator[Running]:
    options = ServerOptions(docker=(f"unix://{place}",))
    with Server(lambda: Store(store.path), options) as server:
        one = Running(server.service(), str(place), server.board)
        yield one
        one.stop()


@pytest.fixture
def ask(running: Running) -> Ask:
    def ask(*lines: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
        client = running.client()
        client.send(*lines[:1], "Host: docker", "Connection: close", *lines[1:], body=body)
        return parsed(client.rest())

    return ask


def chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def test_a_ping_is_answered(ask: Ask) -> None:
    status, headers, body = ask("GET /_ping HTTP/1.1")

    assert (status, body) == (200, b"OK")
    assert headers["api-version"] == "1.51"


def test_a_ping_by_head_has_no_body(ask: Ask) -> None:
    status, headers, body = ask("HEAD /_ping HTTP/1.1")

    assert (status, body) == (200, b"")
    assert headers["builder-version"] == "1"


def test_a_load_in_chunks_is_answered_in_chunks(ask: Ask) -> None:
    content = ARCHIVE.read_bytes()
    half = len(content) // 2

    status, headers, body = ask(
        "POST /v1.41/images/load?quiet=0 HTTP/1.1",
        "Transfer-Encoding: chunked",
        "Content-Type: application/x-tar",
        body=chunks(content[:half], content[half:]),
    )

    assert status == 200
    assert headers["transfer-encoding"] == "chunked"
    assert json.loads(body.splitlines()[-1]) == {"stream": "Loaded image: shop/imported:1\n"}


def test_a_load_with_a_length_is_taken_too(ask: Ask) -> None:
    content = ARCHIVE.read_bytes()

    ask("POST /images/load HTTP/1.1", f"Content-Length: {len(content)}", body=content)

    _, _, body = ask("GET /images/json HTTP/1.1")
    assert len(json.loads(body)) == 2


def test_a_load_whose_client_goes_leaves_nothing(running: Running, ask: Ask) -> None:
    client = running.client()
    content = ARCHIVE.read_bytes()
    client.send(
        "POST /images/load HTTP/1.1", "Host: docker", f"Content-Length: {len(content)}",
        body=content[:5000],
    )  # fmt: skip
    client.close()

    _, _, body = ask("GET /images/json HTTP/1.1")
    assert json.loads(body) == []


def test_a_save_comes_in_chunks(ask: Ask, store: Store) -> None:
    store.load(io.BytesIO(docker_archive({"layers": [layer("x")], "tags": ["a:1"]})))

    status, headers, body = ask("GET /images/get?names=a:1 HTTP/1.1")

    assert (status, headers["content-type"]) == (200, "application/x-tar")
    assert headers["transfer-encoding"] == "chunked"
    assert store.load(io.BytesIO(body)).images[0].names == ("docker.io/library/a:1",)


def test_a_request_that_is_none_is_refused_in_the_form_of_the_api(running: Running) -> None:
    client = running.client()
    client.send("NONSENSE")

    status, _, body = parsed(client.rest())

    assert status == 400
    assert list(json.loads(body)) == ["message"]


def test_a_call_that_needs_a_process_is_answered_though_its_body_is_not_read(ask: Ask) -> None:
    status, _, body = ask(
        "POST /build HTTP/1.1", "Transfer-Encoding: chunked", body=chunks(b"x" * 100_000)
    )

    assert status == 501
    assert json.loads(body) == {
        "message": "casstore builds no images: build elsewhere, and load the result"
    }


def test_it_is_announced_as_docker(store: Store, place: Path) -> None:
    options = ServerOptions(docker=(f"unix://{place}",))

    with Server(lambda: Store(store.path), options) as server:
        assert server.announcements == [f"Docker: unix://{place}"]


@pytest.mark.parametrize("address", ["5000", "127.0.0.1:2375", "tcp://127.0.0.1:2375"])
def test_it_is_served_at_unix_sockets_alone(store: Store, address: str) -> None:
    with pytest.raises(UsageError, match="at unix sockets alone"):
        Server(lambda: Store(store.path), ServerOptions(docker=(address,)))


def test_a_read_only_server_changes_nothing(store: Store, place: Path) -> None:
    options = ServerOptions(docker=(f"unix://{place}",), read_only=True)
    with Server(lambda: Store(store.path), options) as server:
        one = Running(server.service(), str(place), server.board)
        client = Client(str(place))
        client.send("POST /images/load HTTP/1.1", "Host: docker", "Content-Length: 0")
        status = client.until(b"\r\n")
        client.close()
        one.stop()

    assert status.startswith(b"HTTP/1.1 403")


def test_a_socket_of_systemd_may_be_dockers(store: Store, place: Path) -> None:
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(place))
    made.listen()
    script = f'exec 3<&{made.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=docker exec "$@"'
    command = [sys.executable, "-m", "casstore", "--store", store.path, "serve"]
    with subprocess.Popen(
        ["bash", "-c", script, "bash", *command],
        cwd=ROOT, stderr=subprocess.PIPE, text=True, pass_fds=(made.fileno(),),
    ) as process:  # fmt: skip
        assert process.stderr is not None
        first = process.stderr.readline()
        process.terminate()
    made.close()

    assert first == f"Docker: unix://{place}\n"
