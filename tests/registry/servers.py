"""Servers on the loopback: the real docker-registry, and a proxy before it that misbehaves."""

from __future__ import annotations

import http.client
import http.server
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {root}}}
  delete: {{enabled: true}}
http:
  addr: 127.0.0.1:{port}
{more}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RealRegistry:
    """Debian's docker-registry with a storage of its own."""

    def __init__(self, directory: Path, *, tls: str = "", auth: str = "") -> None:
        """`tls`, `auth`: lines of its configuration."""
        program = shutil.which("docker-registry")
        if program is None:
            pytest.skip("docker-registry is not installed")
        directory.mkdir(parents=True, exist_ok=True)
        self.root = directory / "storage"
        for _ in range(5):  # somebody else may take the port meanwhile
            self.port = free_port()
            config = directory / "config.yml"
            more = (f"  tls: {tls}\n" if tls else "") + (f"auth: {auth}\n" if auth else "")
            config.write_text(CONFIG.format(root=self.root, port=self.port, more=more))
            with (directory / "log").open("wb") as log:
                self._process = subprocess.Popen([program, "serve", config], stdout=log, stderr=log)
            if self._answers():
                break
        self.host = f"localhost:{self.port}"

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        for _ in range(500):
            if self._process.poll() is not None:
                return False
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5):
                    return True
            except OSError:
                time.sleep(0.02)
        return False


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes
    cut: int | None = None  # close the connection after so many bytes of the body


Ask = Callable[[], Reply]  # asks the registry behind
Rule = Callable[[Request, Ask], Reply | None]


class Proxy:
    """Passes requests on to a registry (or to nobody), unless a rule answers.

    A rule gets the request and a function that asks the registry; what it returns is sent, None
    leaves the request to the next rule.
    """

    def __init__(self, upstream: str | None = None) -> None:
        self.seen: list[Request] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.rules: list[Rule] = []
        self.upstream = upstream
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                proxy.connections += 1

            def _do(self) -> None:
                proxy.answer(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _do  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.host = f"localhost:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def rule(self, rule: Rule) -> Rule:
        self.rules.append(rule)
        return rule

    def gets(self, part: str) -> list[Request]:
        """GET requests of blobs or manifests whose path has this part."""
        return [one for one in self.seen if one.method == "GET" and part in one.path]

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        size = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(size)
        names = {key.lower() for key in handler.headers}  # a field may be there several times
        headers = {name: ", ".join(handler.headers.get_all(name, ())) for name in sorted(names)}
        request = Request(handler.command, handler.path, headers)
        self.seen.append(request)
        self.bodies.append(body)

        def ask() -> Reply:
            return self._pass_on(request, body)

        for rule in self.rules:
            reply = rule(request, ask)
            if reply is not None:
                break
        else:
            reply = ask()
        self._send(handler, reply)

    def _pass_on(self, request: Request, body: bytes) -> Reply:
        assert self.upstream is not None
        connection = http.client.HTTPConnection(self.upstream.replace("localhost", "127.0.0.1"))
        headers = {**request.headers, "host": self.host, "connection": "close"}
        connection.request(request.method, request.path, body or None, headers)
        response = connection.getresponse()
        told = {key: value for key, value in response.getheaders() if key != "Connection"}
        data = response.read()
        connection.close()
        return Reply(response.status, told, data)

    @staticmethod
    def _send(handler: http.server.BaseHTTPRequestHandler, reply: Reply) -> None:
        handler.send_response(reply.status)
        headers = {key.title(): value for key, value in reply.headers.items()}
        if "Transfer-Encoding" not in headers:
            headers.setdefault("Content-Length", str(len(reply.body)))
        for key, value in headers.items():
            handler.send_header(key, value)
        handler.end_headers()
        if handler.command != "HEAD":
            body = reply.body if reply.cut is None else reply.body[: reply.cut]
            try:
                handler.wfile.write(body)
                handler.wfile.flush()
            except OSError:
                pass  # the client has heard enough
        if reply.cut is not None:
            handler.close_connection = True
            try:
                handler.connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the client has closed it already


class Dripper:
    """A server on the loopback that answers each connection with pieces, as slowly as it is told.

    It hears no more than the head of a request; `sent` counts the pieces that have left.
    """

    def __init__(self, pieces: Callable[[], Iterable[bytes]], *, pause: float = 0.0) -> None:
        self.sent, self.connections = 0, 0
        self._pieces, self._pause = pieces, pause
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"localhost:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            try:
                while b"\r\n\r\n" not in connection.recv(1 << 16):
                    pass
                for piece in self._pieces():
                    connection.sendall(piece)
                    self.sent += 1
                    time.sleep(self._pause)
            except OSError:
                pass  # the client has had enough


class RawServer:
    """A server on the loopback that does with each connection what `serve` does; TLS by `context`.

    `heads` has the heads of the requests that `serve` has read with `head`.
    """

    def __init__(
        self, serve: Callable[[RawServer, socket.socket], None], *,
        context: ssl.SSLContext | None = None, address: str = "127.0.0.1",
    ) -> None:  # fmt: skip
        self.heads: list[bytes] = []
        self.connections = 0
        self._serve, self._context = serve, context
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, 0), family=family)
        self.port: int = self._listener.getsockname()[1]
        self.host = f"localhost:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        self._listener.close()

    def head(self, connection: socket.socket) -> bytes:
        """Read a request up to its body; nothing where the client has gone."""
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            piece = connection.recv(1)
            if not piece:
                return b""
            data += piece
        self.heads.append(data)
        return data

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        try:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            with connection:
                self._serve(self, connection)
        except OSError:
            pass  # the client has had enough


def pass_through(one: socket.socket, other: socket.socket) -> None:
    """Let two sockets talk to each other until one of them ends."""

    def copy(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
        except OSError:
            pass  # it has ended
        for sock in (source, target):
            try:
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                pass  # it has ended

    back = threading.Thread(target=copy, args=(other, one), daemon=True)
    back.start()
    copy(one, other)
    back.join()
