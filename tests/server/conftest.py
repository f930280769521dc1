"""A server in a thread of the test, and clients that say what no library would."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from casstore.server.accesslog import AccessLog
from casstore.server.message import BrokenBody, FileRange, Request, Response
from casstore.server.metrics import Board
from casstore.server.server import Server, ServerOptions
from casstore.server.service import Door, Service
from casstore.server.site import Api, Site
from casstore.server.stores import Stores
from casstore.store import Store

WAIT = 20  # seconds for an answer, on the slowest machine

Serve = Callable[..., "Running"]


class Client:
    """A raw socket."""

    def __init__(self, address: Any) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(WAIT)
        self.socket.connect(address)

    def send(self, *lines: str, body: bytes = b"") -> None:
        """A request: its lines, an empty one, and a body."""
        self.socket.sendall("".join(f"{line}\r\n" for line in (*lines, "")).encode() + body)

    def rest(self) -> bytes:
        """All that comes until the server closes the connection."""
        pieces = []
        while piece := self.socket.recv(1 << 16):
            pieces.append(piece)
        return b"".join(pieces)

    def until(self, end: bytes) -> bytes:
        """What comes, up to and with `end`."""
        found = b""
        while not found.endswith(end):
            piece = self.socket.recv(1)
            assert piece, found
            found += piece
        return found

    def close(self) -> None:
        self.socket.close()


class Running:
    """A service in a thread, and what is needed to speak to it."""

    def __init__(self, service: Service, address: Any, board: Board) -> None:
        self.service, self.address, self.board = service, address, board
        self.clients: list[Client] = []
        self._thread = threading.Thread(target=service.run)
        self._thread.start()

    @property
    def host(self) -> str:
        return f"localhost:{self.address[1]}"

    def client(self) -> Client:
        self.clients.append(Client(self.address))
        return self.clients[-1]

    def ask(self, *lines: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
        """One request on a connection of its own: status, headers (in lower case), body."""
        client = self.client()
        client.send(*lines[:1], f"Host: {self.host}", "Connection: close", *lines[1:], body=body)
        return parsed(client.rest())

    def get(self, path: str, *lines: str) -> tuple[int, dict[str, str], bytes]:
        return self.ask(f"GET {path} HTTP/1.1", *lines)

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        self.service.stop()
        self._thread.join(WAIT)
        assert not self._thread.is_alive()


def parsed(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """The parts of an answer that is whole."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("transfer-encoding") == "chunked":
        body = unchunked(body)
    return int(first.split()[1]), headers, body


def unchunked(body: bytes) -> bytes:
    """The content of a body in chunks, which ends."""
    content = b""
    while True:
        size, _, rest = body.partition(b"\r\n")
        if int(size, 16) == 0:
            return content
        content += rest[: int(size, 16)]
        body = rest[int(size, 16) + 2 :]


class Echo:
    """An API whose answers are what the tests need: it is told by the path."""

    FILE = 64 << 20  # bytes of a file: more than a socket holds

    def __init__(self) -> None:
        self.closed = threading.Event()  # a body that goes on for ever has been closed
        self.reached = threading.Event()  # a request that waits has come
        self.go_on = threading.Event()

    def answer(self, request: Request, store: Store) -> Response:
        match request.path:
            case "/read":
                try:
                    content = request.body.read()
                except BrokenBody as error:
                    return self.failure(error.status, str(error))
                return Response(200, [], content)
            case "/unread":
                return Response(403, [], b"no\n")
            case "/wait":
                self.reached.set()
                self.go_on.wait(WAIT)
                return Response(200, [], b"waited\n")
            case "/endless":
                return Response(200, [], self._endless())
            case "/pieces":
                return Response(200, [], iter([b"one ", b"two"]))
            case "/file":
                file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - the server closes it
                file.truncate(self.FILE)
                return Response(200, [], FileRange(file, 0, self.FILE))
            case "/bug":
                raise ZeroDivisionError
            case "/injection":
                return Response(200, [("X", "a\r\nSet-Cookie: b")], b"")
        text = f"{request.method} {request.path} {dict(request.query)} {request.base}"
        return Response(200, [], text.encode())

    @staticmethod
    def failure(status: int, message: str) -> Response:
        return Response(status, [("Content-Type", "text/plain")], f"{message}\n".encode())

    def _endless(self) -> Iterator[bytes]:
        try:
            yield b"begun"
            while True:
                self.reached.set()
                self.go_on.wait(0.01)
                yield b""
        finally:
            self.closed.set()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with Store(str(tmp_path / "store")) as store:
        with store.session.change(create=True) as change:
            change.commit()
        yield store


@pytest.fixture
def place() -> Iterator[Path]:
    """Where a socket can be: in a directory that is this user's alone, whose path is short.

    tmp_path can be too long for a socket, for it has the name of the user and of the test.
    """
    directory = Path(tempfile.mkdtemp(prefix="s-"))
    yield directory / "s"
    shutil.rmtree(directory)


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def log_of(tmp_path: Path) -> Iterator[Callable[[], str]]:
    """The access log so far; what a server of the test writes goes there."""
    path = tmp_path / "access.log"
    path.touch()
    return path.read_text  # type: ignore[return-value]  # a fixture without an end


@pytest.fixture
def serve_echo(echo: Echo, tmp_path: Path) -> Iterator[Serve]:
    """Serves that API; arguments are those of Service."""
    running: list[Running] = []
    log = os.open(tmp_path / "access.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def start(**arguments: Any) -> Running:
        listening = socket.create_server(("127.0.0.1", 0))
        board = Board()
        form = arguments.pop("form", "text")
        stores = Stores(lambda: Store(str(tmp_path / "none")))
        site = Site(Api(echo.answer, echo.failure), stores, board, AccessLog(form, log))
        service = Service([Door(listening, site)], board, **arguments)
        running.append(Running(service, listening.getsockname(), board))
        return running[-1]

    yield start
    echo.go_on.set()
    for one in running:
        one.stop()
    os.close(log)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Serves a store as a registry; arguments are those of ServerOptions, and `lock_timeout`."""
    running: list[tuple[Running, Server]] = []

    def start(store: Store | str, *, lock_timeout: float = 60.0, **arguments: Any) -> Running:
        path = store if isinstance(store, str) else store.path
        options = ServerOptions(**{"registry": ("0",), **arguments})
        server = Server(lambda: Store(path, lock_timeout=lock_timeout), options)
        door = server.doors[0]
        one = Running(server.service(), door.socket.getsockname(), server.board)
        running.append((one, server))
        return one

    yield start
    for one, server in running:
        one.stop()
        server.close()
