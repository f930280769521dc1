"""No server holds a command: an answer has a deadline, a least rate, and little around its body.

The limits are scaled down; what is looked at is that the server was left, not how long it took.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat

import pytest

from casstore.errors import RegistryError
from casstore.model.descriptor import Descriptor
from casstore.model.digest import sha256
from casstore.registry import answer as answers
from casstore.registry import wire
from casstore.registry.access import Access
from casstore.registry.blobstream import BlobStream
from casstore.registry.failures import BrokenConnection
from casstore.registry.http import ATTEMPTS, Transport
from casstore.registry.remote import Registry, Repository
from tests.registry.servers import Dripper, Proxy, Reply, Request

MANY = 20_000  # pieces that take minutes to drip
HEAD = b"HTTP/1.1 200 OK\r\n"
GOES_ON = b"HTTP/1.1 100 Continue\r\n\r\n"

Serve = Callable[..., Dripper]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[Dripper] = []

    def start(*parts: Iterable[bytes], pause: float = 0.01) -> Dripper:
        servers.append(Dripper(lambda: chain(*parts), pause=pause))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a test can wait for."""
    monkeypatch.setattr(wire, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(wire, "SLOW_SECONDS", 0.3)
    monkeypatch.setattr(answers, "DOCUMENT_SECONDS", 0.3)
    monkeypatch.setattr(answers, "DRAIN_SECONDS", 0.3)


def each(text: bytes, times: int = MANY) -> list[bytes]:
    return [text] * times


@pytest.mark.parametrize(
    "head",
    [
        [HEAD, b"X-Long: ", *each(b"x")],
        [HEAD, *each(b"X-One: 1\r\n")],
        each(GOES_ON),
        [b"HTTP/1.1 200 ", *each(b"o")],
        [GOES_ON, HEAD, b"X-Long: ", *each(b"x")],
    ],
    ids=["a field", "fields", "100 Continue", "the status", "a field after 100 Continue"],
)
def test_a_head_that_drips_is_not_waited_for(
    head: list[bytes], serve: Serve, hurried: None, transport: Transport
) -> None:
    server = serve(head)
    with pytest.raises(RegistryError, match="takes longer than"):
        transport.request("GET", f"http://{server.host}/")

    assert (server.connections, server.sent < MANY) == (1, True)


def test_heads_without_end_are_not_read_however_fast_they_come(
    serve: Serve, transport: Transport
) -> None:
    server = serve(repeat(GOES_ON * 1000), pause=0)
    with pytest.raises(RegistryError, match="no part of a body"):
        transport.request("GET", f"http://{server.host}/")

    assert server.sent * 1000 * len(GOES_ON) < 16 * wire.MAX_FRAMING


def test_chunk_lines_that_outweigh_the_body_are_not_read(
    serve: Serve, transport: Transport
) -> None:
    server = serve([CHUNKED], repeat(b"1;" + b"x" * 30_000 + b"\r\nx\r\n"), pause=0)
    with (
        transport.request("GET", f"http://{server.host}/") as answer,
        pytest.raises(RegistryError, match="no part of a body"),
    ):
        list(iter(lambda: answer.read_some(1000), b""))

    assert server.sent * 30_000 < 16 * wire.MAX_FRAMING


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "body",
    [
        [CHUNKED, b"5;", *each(b"x")],
        [CHUNKED, b"5\r\nhello\r\n0\r\n", *each(b"X: 1\r\n")],
        [HEAD, b"Content-Length: 50000\r\n\r\n", *each(b"x")],
        [CHUNKED, *each(b"1\r\nx\r\n")],
    ],
    ids=["an extension of a chunk", "a trailer", "a body", "chunks"],
)
def test_a_body_that_drips_has_stopped(
    body: list[bytes], serve: Serve, hurried: None, transport: Transport
) -> None:
    server = serve(body)
    with (
        transport.request("GET", f"http://{server.host}/") as answer,
        pytest.raises(BrokenConnection, match="sends less than"),
    ):
        list(iter(lambda: answer.read_some(1000), b""))

    assert server.sent < MANY


def test_a_document_has_a_deadline(serve: Serve, hurried: None, transport: Transport) -> None:
    server = serve([HEAD, b"Content-Length: 50000\r\n\r\n", *each(b"x" * 10)])
    answer = transport.request("GET", f"http://{server.host}/")
    with pytest.raises(RegistryError, match="the list took longer than"):
        answer.document(10**6, "the list")

    assert server.sent < MANY


def test_a_small_body_that_nobody_wants_is_not_waited_for(
    serve: Serve, hurried: None, transport: Transport
) -> None:
    server = serve([HEAD, b"Content-Length: 50000\r\n\r\n", *each(b"x")])
    transport.request("GET", f"http://{server.host}/").close()

    assert server.sent < MANY


def test_a_proxy_that_drips_its_answer_to_connect_is_not_waited_for(
    serve: Serve, hurried: None
) -> None:
    server = serve([HEAD, b"X-Long: ", *each(b"x")])
    transport = Transport(Access(https_proxy=f"http://{server.host}"))
    with pytest.raises(RegistryError, match="takes longer than"):
        transport.request("GET", "https://registry.example/v2/")
    transport.close()

    assert server.sent < MANY


@pytest.mark.parametrize("ranges", [True, False])
def test_attempts_that_bring_a_few_bytes_each_are_counted(
    ranges: bool,  # noqa: FBT001
    alone: Proxy,
    transport: Transport,
) -> None:
    content = b"some" * 12_500
    blob = Descriptor("application/octet-stream", sha256(content), len(content))

    def few(request: Request, ask: Callable[[], Reply]) -> Reply:
        start = int(request.headers.get("range", "bytes=0-")[6:].partition("-")[0])
        if not start or not ranges:
            return Reply(200, {}, content, cut=4)
        told = {"Content-Range": f"bytes {start}-{blob.size - 1}/{blob.size}"}
        return Reply(206, told, content[start:], cut=4)

    alone.rule(few)
    remote = Repository(Registry(transport, alone.host), "a/b")
    with pytest.raises(BrokenConnection), BlobStream(remote, blob) as stream:
        list(iter(lambda: stream.read(100), b""))

    assert len(alone.gets("blobs")) <= ATTEMPTS


def test_a_body_in_small_pieces_that_comes_fast_enough_is_read(
    serve: Serve, transport: Transport
) -> None:
    server = serve([CHUNKED, *each(b"1;x=y\r\nx\r\n", 5000), b"0\r\n\r\n"], pause=0)
    with transport.request("GET", f"http://{server.host}/") as answer:
        body = b"".join(iter(lambda: answer.read_some(1000), b""))

    assert body == b"x" * 5000
