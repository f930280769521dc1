"""One connection, as HTTP/1.1 has it (RFC 9112): what is sent, how an answer ends, what is kept."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from casstore.errors import RegistryError
from casstore.registry.access import Access
from casstore.registry.connection import MAX_FIELDS
from casstore.registry.failures import BrokenConnection, Interrupted
from casstore.registry.http import Transport
from casstore.registry.wire import MAX_LINE
from tests.registry.servers import Proxy, RawServer, Reply, pass_through

Raw = Callable[..., RawServer]
Serve = Callable[[RawServer, socket.socket], None]
OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = OK + b"Content-Length: 0\r\n\r\n"


@pytest.fixture
def raw() -> Iterator[Raw]:
    servers: list[RawServer] = []

    def start(serve: Serve, context: ssl.SSLContext | None = None) -> RawServer:
        servers.append(RawServer(serve, context=context))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def answering(*answers: bytes) -> Serve:
    """Answers each request of a connection in turn, and then closes it."""

    def serve(server: RawServer, connection: socket.socket) -> None:
        for answer in answers:
            if not server.head(connection):
                return
            connection.sendall(answer)

    return serve


def body_of(transport: Transport, host: str, method: str = "GET") -> bytes:
    with transport.request(method, f"http://{host}/", attempts=1) as answer:
        return b"".join(iter(lambda: answer.read_some(1000), b""))


# How an answer ends


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (OK + b"Content-Length: 5\r\n\r\nhello", b"hello"),
        (OK + b"content-length:5\r\n\r\nhello", b"hello"),
        (OK + b"Content-Length: 5, 5\r\n\r\nhello", b"hello"),
        (OK + b"\r\nhello", b"hello"),
        (b"HTTP/1.0 200 OK\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
        (OK.replace(b"\r", b"") + b"Content-Length: 5\n\nhello", b"hello"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", b"hello"),
        (OK + b"Transfer-Encoding: Chunked\r\n\r\n005;x=1\r\nhello\r\n0\r\nX: 1\r\n\r\n", b"hello"),
        (
            OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            b"hello",
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi", b"hi"),
        (
            b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi",
            b"hi",
        ),
    ],
)
def test_a_body_ends_where_its_head_says(
    answer: bytes, body: bytes, raw: Raw, transport: Transport
) -> None:
    assert body_of(transport, raw(answering(answer)).host) == body


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 6\r\n\r\nhello",
        OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        OK + b"Content-Length: -1\r\n\r\nhello",
        OK + b"Content-Length: five\r\n\r\nhello",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n\r\n",
        OK + b"Content-Len",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"",
        OK + b"X: " + b"x" * (2 * MAX_LINE) + b"\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_what_breaks_off_or_is_no_http_passes_for_no_answer(
    answer: bytes, raw: Raw, transport: Transport
) -> None:
    with pytest.raises(BrokenConnection):
        body_of(transport, raw(answering(answer)).host)


def test_a_head_has_few_fields(raw: Raw, transport: Transport) -> None:
    allowed = OK + b"X: 1\r\n" * (MAX_FIELDS - 1) + b"Content-Length: 2\r\n\r\nhi"
    assert body_of(transport, raw(answering(allowed)).host) == b"hi"

    server = raw(answering(OK + b"X: 1\r\n" * MAX_FIELDS + b"Content-Length: 2\r\n\r\nhi"))
    with pytest.raises(RegistryError, match=f"more than {MAX_FIELDS} header fields"):
        body_of(transport, server.host)


def test_a_field_may_come_several_times_and_go_on(raw: Raw, transport: Transport) -> None:
    server = raw(answering(OK + b"A: 1\r\na:  2 \r\nB:one\r\n  two\r\nContent-Length: 0\r\n\r\n"))
    with transport.request("GET", f"http://{server.host}/") as answer:
        assert answer.headers("A") == ["1", "2"]
        assert answer.header("A") == "1, 2"
        assert answer.header("b") == "one two"
        assert answer.header("c") == ""


# What is sent


def test_a_request_says_no_more_than_is_needed(raw: Raw) -> None:
    server = raw(answering(EMPTY))
    with Transport(Access(agent="casstore/1")) as transport:
        transport.request("GET", f"http://{server.host}/x?y=%2f", authorization="Basic x").close()

    assert server.heads == [
        (
            f"GET /x?y=%2f HTTP/1.1\r\nHost: {server.host}\r\nAccept-Encoding: identity\r\n"
            "User-Agent: casstore/1\r\nAuthorization: Basic x\r\n\r\n"
        ).encode()
    ]


class Pieces:
    """A body."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces
        self.size = sum(map(len, pieces))

    def pieces(self) -> tuple[bytes, ...]:
        return self._pieces


@pytest.mark.parametrize("pieces", [(), (b"one",), (b"one", b"", b"two")])
def test_a_body_is_sent_with_its_length(
    pieces: tuple[bytes, ...], alone: Proxy, transport: Transport
) -> None:
    alone.rule(lambda request, ask: Reply(200, {}, b""))
    transport.request("PUT", f"http://{alone.host}/", body=Pieces(*pieces)).close()
    transport.request("GET", f"http://{alone.host}/").close()

    assert alone.bodies == [b"".join(pieces), b""]
    assert alone.seen[0].headers["content-length"] == str(len(alone.bodies[0]))
    assert "content-length" not in alone.seen[1].headers


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nX: y", "a\rb", "a\0b"])
def test_no_header_can_become_two(value: str, alone: Proxy, transport: Transport) -> None:
    with pytest.raises(RegistryError, match="cannot be sent"):
        transport.request("GET", f"http://{alone.host}/", headers={"Content-Type": value})

    assert alone.seen == []


@pytest.mark.parametrize("host", ["a b", "a\\b", "[::1", "a[b]", "\udc80", "é" * 64])
def test_what_is_no_host_is_not_looked_for(host: str, transport: Transport) -> None:
    with pytest.raises(RegistryError, match="invalid address"):
        transport.request("GET", f"http://{host}/")


def test_an_upload_that_is_refused_before_it_ends_is_told_as_the_server_tells_it(
    raw: Raw, transport: Transport
) -> None:
    def refuse(server: RawServer, connection: socket.socket) -> None:
        server.head(connection)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nlong")
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)

    body = Pieces(*[bytes(1 << 16)] * 200)
    answer = transport.request("PUT", f"http://{raw(refuse).host}/", body=body, attempts=1)
    assert (answer.status, answer.document(10, "answer")) == (413, b"long")


# What is kept


@pytest.mark.parametrize(
    ("first", "connections"),
    [
        (EMPTY, 1),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 1),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n", 1),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", 2),
        (OK + b"Connection: x, Close\r\nContent-Length: 0\r\n\r\n", 2),
        (EMPTY + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong", 2),
    ],
)
def test_a_connection_is_used_again_where_that_is_safe(
    first: bytes, connections: int, raw: Raw, transport: Transport
) -> None:
    server = raw(answering(first, OK + b"Content-Length: 5\r\n\r\nright"))
    body_of(transport, server.host)
    if connections == 2:
        server._serve = answering(OK + b"Content-Length: 5\r\n\r\nright")
    assert body_of(transport, server.host) == b"right"

    assert server.connections == connections


def test_an_answer_that_is_left_unread_closes_its_connection(
    raw: Raw, transport: Transport
) -> None:
    long = OK + b"Content-Length: 1000000\r\n\r\n" + bytes(1000)
    server = raw(answering(long, EMPTY))
    transport.request("GET", f"http://{server.host}/").close()
    server._serve = answering(EMPTY)
    body_of(transport, server.host)

    assert server.connections == 2


def closing(server: RawServer, connection: socket.socket) -> None:
    """Hears a second request on a connection, and closes it as if it had waited too long."""
    server.head(connection)
    connection.sendall(EMPTY)
    server.head(connection)


@pytest.mark.parametrize(("method", "asked"), [("GET", 1), ("HEAD", 1), ("POST", 2)])
def test_a_connection_that_the_server_gives_up_costs_no_wait_where_asking_twice_is_safe(
    method: str, asked: int, raw: Raw, transport: Transport, waits: list[float]
) -> None:
    server = raw(closing)
    transport.request("GET", f"http://{server.host}/").close()
    transport.request(method, f"http://{server.host}/").close()

    assert len(waits) == asked - 1
    assert server.connections == 2


def test_a_connection_that_has_ended_meanwhile_is_not_used(
    raw: Raw, transport: Transport, waits: list[float]
) -> None:
    server = raw(answering(EMPTY))  # which then closes
    for _ in range(3):
        transport.request("POST", f"http://{server.host}/", attempts=1).close()
        ended.wait(0.1)

    assert (server.connections, waits) == (3, [])


ended = threading.Event()


def test_threads_share_connections(alone: Proxy, transport: Transport) -> None:
    alone.rule(lambda request, ask: Reply(200, {}, request.path.encode()))
    wrong: list[object] = []

    def ask(thread: int) -> None:
        for number in range(50):
            with transport.request("GET", f"http://{alone.host}/{thread}/{number}") as answer:
                if answer.document(100, "answer") != f"/{thread}/{number}".encode():
                    wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (wrong, len(alone.seen)) == ([], 200)
    assert alone.connections <= 4


def test_a_child_process_has_connections_of_its_own(alone: Proxy, transport: Transport) -> None:
    alone.rule(lambda request, ask: Reply(200, {}, b"x"))
    body_of(transport, alone.host)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if body_of(transport, alone.host) == b"x" else 1
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    body_of(transport, alone.host)

    assert alone.connections == 2


@pytest.mark.parametrize("head", [b"", OK, OK + b"\r\nsome", OK + b"Content-Length: 9\r\n\r\nsome"])
def test_who_waits_for_bytes_is_woken_by_an_abort(
    head: bytes, raw: Raw, transport: Transport
) -> None:
    waiting = threading.Event()

    def stall(server: RawServer, connection: socket.socket) -> None:
        server.head(connection)
        connection.sendall(head)
        waiting.set()
        connection.recv(1)

    server = raw(stall)

    def call_off() -> None:
        waiting.wait(30)
        transport.abort()

    threading.Thread(target=call_off, daemon=True).start()
    with pytest.raises(Interrupted):
        body_of(transport, server.host)


def test_a_wait_before_another_attempt_is_cut_short_by_an_abort(raw: Raw) -> None:
    transport = Transport(Access())
    server = raw(answering(b"HTTP/1.1 503 Busy\r\nRetry-After: 110\r\nContent-Length: 0\r\n\r\n"))
    outcome: list[BaseException] = []

    def ask() -> None:
        try:
            transport.request("GET", f"http://{server.host}/")
        except Interrupted as error:
            outcome.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(0.3)  # it waits by now, or will find that the work is called off
    transport.abort()
    asking.join(60)
    transport.close()

    assert outcome


def test_after_an_abort_there_is_no_wait_at_all(raw: Raw) -> None:
    transport = Transport(Access())
    transport.abort()
    with pytest.raises(Interrupted):
        transport.pause(1, 60)
    transport.close()


def test_a_server_may_have_an_address_of_ipv6(transport: Transport) -> None:
    try:
        server = RawServer(answering(EMPTY), address="::1")
    except OSError:
        pytest.skip("there is no IPv6 here")
    body_of(transport, f"[::1]:{server.port}")
    server.stop()

    assert f"\r\nHost: [::1]:{server.port}\r\n".encode() in server.heads[0]


# TLS and proxies

NAME = "registry.example"


class Certificate:
    """A self-signed certificate for a server that is none of this machine's, and its key."""

    def __init__(self, folder: Path) -> None:
        self.certificate, self.key = folder / "ca.crt", folder / "ca.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", f"/CN={NAME}", "-addext",
             f"subjectAltName=DNS:{NAME},DNS:localhost,IP:127.0.0.1", "-out", self.certificate,
             "-keyout", self.key],
            check=True, capture_output=True,
        )  # fmt: skip

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    try:
        return Certificate(tmp_path_factory.mktemp("certificate"))
    except FileNotFoundError:
        pytest.skip("openssl is not installed")


def large(server: RawServer, connection: socket.socket) -> None:
    """A server that reads a body of a million bytes, and sends one of three."""
    while b"PUT" in server.head(connection):
        left = 1_000_000
        while left and (data := connection.recv(left)):
            left -= len(data)
        connection.sendall(OK + b"Content-Length: 3000000\r\n\r\n" + b"xyz" * 1_000_000)


@pytest.mark.parametrize("proxy_speaks_tls", [False, True])
def test_a_tunnel_leads_through_a_proxy(
    proxy_speaks_tls: bool,  # noqa: FBT001
    certificate: Certificate, raw: Raw, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certificate))
    registry = raw(large, context=certificate.context())

    def tunnel(server: RawServer, connection: socket.socket) -> None:
        server.head(connection)
        connection.sendall(b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n")
        with socket.create_connection(("127.0.0.1", registry.port)) as other:
            if isinstance(connection, ssl.SSLSocket):
                relayed(connection, other)
            else:
                pass_through(connection, other)

    proxy = raw(tunnel, context=certificate.context() if proxy_speaks_tls else None)
    scheme = "https" if proxy_speaks_tls else "http"
    body = Pieces(*[b"0123456789" * 10_000] * 10)
    with Transport(Access(https_proxy=f"{scheme}://me:secret@{proxy.host}")) as transport:
        for _ in range(2):
            with transport.request("PUT", f"https://{NAME}/v2/?a=%2f", body=body) as answer:
                data = b"".join(iter(lambda: answer.read_some(100_000), b""))
            assert data == b"xyz" * 1_000_000

    assert proxy.heads == [
        f"CONNECT {NAME}:443 HTTP/1.1\r\nHost: {NAME}:443\r\n"
        "Proxy-Authorization: Basic bWU6c2VjcmV0\r\n\r\n".encode()
    ]
    assert [head.partition(b"\r\n")[0] for head in registry.heads] == 2 * [
        b"PUT /v2/?a=%2f HTTP/1.1"
    ]
    assert b"Proxy-Authorization" not in registry.heads[0]


def relayed(connection: ssl.SSLSocket, other: socket.socket) -> None:
    """As `pass_through`, in one thread: a TLS socket is no thing for two."""
    connection.setblocking(False)  # noqa: FBT003
    import select

    while True:
        ready = (
            [connection]
            if connection.pending()
            else select.select([connection, other], [], [], 30)[0]
        )
        if connection in ready:
            try:
                data = connection.recv(1 << 16)
            except ssl.SSLWantReadError:
                data = None
            if data == b"":
                return
            if data:
                other.sendall(data)
        if other in ready:
            data = other.recv(1 << 14)
            if not data:
                return
            connection.settimeout(30)
            connection.sendall(data)
            connection.setblocking(False)  # noqa: FBT003


def test_in_a_tunnel_the_certificate_must_be_the_registrys(
    certificate: Certificate, raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certificate))
    registry = raw(large, context=certificate.context())

    def tunnel(server: RawServer, connection: socket.socket) -> None:
        server.head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with socket.create_connection(("127.0.0.1", registry.port)) as other:
            relayed(connection, other) if isinstance(connection, ssl.SSLSocket) else pass_through(
                connection, other
            )

    for context in (None, certificate.context()):
        proxy = raw(tunnel, context=context)
        scheme = "http" if context is None else "https"
        with (
            Transport(Access(https_proxy=f"{scheme}://{proxy.host}")) as transport,
            pytest.raises(RegistryError, match=r"other\.example: certificate verify failed"),
        ):
            transport.request("GET", "https://other.example/")

    assert registry.heads == []


def test_a_certificate_of_ours_is_shown_where_one_is_kept_for_the_host(
    certificate: Certificate, raw: Raw, tmp_path: Path
) -> None:
    context = certificate.context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificate.certificate)
    server = raw(answering(EMPTY), context=context)
    folder = tmp_path / server.host
    folder.mkdir()
    (folder / "ca.crt").write_bytes(certificate.certificate.read_bytes())
    without = Transport(Access(certificates=(str(tmp_path),)), wait=lambda _: None)
    with without, pytest.raises(RegistryError):
        without.request("GET", f"https://{server.host}/").document(10, "answer")
    (folder / "client.cert").write_bytes(certificate.certificate.read_bytes())
    (folder / "client.key").write_bytes(certificate.key.read_bytes())
    with Transport(Access(certificates=(str(tmp_path),))) as transport:
        transport.request("GET", f"https://{server.host}/").close()

    assert len(server.heads) == 1
