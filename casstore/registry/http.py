"""One HTTP request at a time, over one pool of connections: redirects, retries, limits.

What this promises, whatever a server does: it ends (connecting, each wait for bytes, slow bodies
and small documents have time limits), its memory is bounded, redirects are few, stay on http and
https, never go from TLS to the clear, and never carry a credential to another origin.

Retried are requests that failed before an answer, and the answers 408, 429, 500, 502, 503 and 504,
after a wait that doubles, or as long as `Retry-After` says. The wait is cut short by `abort`.
"""

from __future__ import annotations

import contextlib
import encodings.idna  # noqa: F401 - host names need it; loaded later, a failure would have no name
import os
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol, Self

import urllib3
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError, LocationParseError

from casstore.errors import RegistryError, quote
from casstore.registry.access import Access
from casstore.registry.address import HTTP, HTTPS, is_direct, is_loopback, origin_of, resolve, split
from casstore.registry.failures import (
    BrokenConnection,
    Interrupted,
    Unreachable,
    failure,
    retry_after,
)

CONNECT_SECONDS = 15.0
READ_SECONDS = 60.0  # for the next bytes
DOCUMENT_SECONDS = 120.0  # for a whole manifest, token or error
SLOW_SECONDS, SLOW_BYTES = 60.0, 6000  # a body that brings less in such a time has stopped
ATTEMPTS = 5
FIRST_WAIT = 0.5  # seconds; doubles with each attempt
LONGEST_WAIT = 120.0  # a registry that wants more is not waited for
MAX_REDIRECTS = 10
MAX_ERROR = 64 << 10
CONNECTIONS = 16  # kept open to one host

RETRIED = frozenset((408, 429, 500, 502, 503, 504))
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_PIECE = 256 << 10


class Body(Protocol):
    """What a request sends: told twice, it starts anew."""

    size: int

    def pieces(self) -> Iterable[bytes]: ...


class Transport:
    """Connections to all hosts that one command talks to. Safe to use from many threads."""

    def __init__(
        self,
        access: Access,
        *,
        wait: Callable[[float], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`wait` and `clock` are for tests."""
        self.access = access
        self._clock = clock
        self._stopped = threading.Event()
        self._wait = wait or self._stopped.wait
        self._managers: dict[tuple[str, str], urllib3.PoolManager] = {}
        self._guard = threading.Lock()
        self._connections: weakref.WeakSet[HTTPConnection] = weakref.WeakSet()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        authorization: str | None = None,
        attempts: int = ATTEMPTS,
    ) -> Answer:
        """Send a request; the caller reads and closes the answer, whatever its status.

        Args:
            authorization: for the origin of `url` alone.
            attempts: how often to try in all; 1 for what must not be done twice.

        Raises:
            BrokenConnection: no answer in all attempts.
            RegistryError: TLS failed, or a redirect cannot be followed.
        """
        for attempt in range(1, attempts + 1):
            last = attempt == attempts
            try:
                answer = self._followed(method, url, dict(headers or {}), body, authorization)
            except BrokenConnection as error:
                if last or (attempt > 1 and isinstance(error, Unreachable)):
                    raise
                self.pause(attempt)
                continue
            if last or answer.status not in RETRIED or not self._worth_waiting(answer, attempt):
                return answer
        raise AssertionError

    def pause(self, attempt: int, asked: float | None = None) -> None:
        """Wait before attempt number `attempt + 1`. Raises Interrupted."""
        seconds = FIRST_WAIT * 2.0 ** (attempt - 1)
        self._wait(min(max(seconds, asked or 0.0), LONGEST_WAIT))
        self.check()

    def check(self) -> None:
        """Raises Interrupted once `abort` was called."""
        if self._stopped.is_set():
            raise Interrupted

    def abort(self) -> None:
        """End all waiting and reading in other threads."""
        self._stopped.set()
        with self._guard:
            connections = list(self._connections)
        for connection in connections:
            _hang_up(connection)

    def rearm(self) -> None:
        """Work again after an `abort`."""
        self._stopped.clear()

    def close(self) -> None:
        """Close all connections."""
        with self._guard:
            managers, self._managers = list(self._managers.values()), {}
        for manager in managers:
            for key in manager.pools.keys():  # noqa: SIM118 - this container has no __iter__
                pool = manager.pools.get(key)
                if pool is not None:
                    pool.close()
            manager.clear()

    def _worth_waiting(self, answer: Answer, attempt: int) -> bool:
        asked = retry_after(answer.header("Retry-After"))
        if asked is not None and asked > LONGEST_WAIT:
            return False
        answer.close()
        self.pause(attempt, asked)
        return True

    def _followed(
        self, method: str, url: str, headers: dict[str, str], body: Body | None,
        authorization: str | None,
    ) -> Answer:  # fmt: skip
        origin = origin_of(url)
        for _ in range(MAX_REDIRECTS + 1):
            here = origin_of(url)
            if authorization is not None and here == origin:
                headers["Authorization"] = authorization
            else:
                headers.pop("Authorization", None)
                authorization = None  # nor if it comes back
            answer = self._once(method, url, headers, body)
            location = answer.header("Location")
            if answer.status not in _REDIRECTS or not location:
                return answer
            answer.close()
            target = resolve(url, location)
            there = split(target)
            if here.scheme == HTTPS and there.scheme == HTTP and not is_loopback(there.netloc):
                raise RegistryError(f"{split(url).netloc} redirects from https to plain http")
            url = target
        raise RegistryError(f"{split(url).netloc} redirects more than {MAX_REDIRECTS} times")

    def _once(self, method: str, url: str, headers: dict[str, str], body: Body | None) -> Answer:
        self.check()
        parts = split(url)
        sent = {"User-Agent": self.access.agent, **headers}
        if body is not None:
            sent["Content-Length"] = str(body.size)
        try:
            response = self._manager(parts.scheme, parts.netloc).request(
                method, url, headers=sent, body=body.pieces() if body is not None else None,
                redirect=False, retries=False, preload_content=False, decode_content=False,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            )  # fmt: skip
        except LocationParseError:
            raise RegistryError(f"invalid address {quote(url)}") from None
        except (HTTPError, OSError, ValueError) as error:
            self.check()
            raise failure(parts.netloc, error) from None
        return Answer(self, method, url, response)

    def _manager(self, scheme: str, host: str) -> urllib3.PoolManager:
        access = self.access
        proxy = access.https_proxy if scheme == HTTPS else access.http_proxy
        if proxy and is_direct(host, access.no_proxy):
            proxy = ""
        if proxy and "://" not in proxy:
            proxy = "http://" + proxy
        folder = next(
            (path for base in access.certificates if os.path.isdir(path := f"{base}/{host}")), ""
        )
        with self._guard:
            manager = self._managers.get((proxy, folder))
            if manager is None:
                manager = _new_manager(proxy, folder)
                manager.pool_classes_by_scheme = {
                    HTTP: self._pool(HTTPConnectionPool),
                    HTTPS: self._pool(HTTPSConnectionPool),
                }
                self._managers[proxy, folder] = manager
        return manager

    def _pool(self, base: type[HTTPConnectionPool]) -> type[HTTPConnectionPool]:
        """A kind of pool whose connections `abort` can reach, whatever they wait for."""
        transport, kind = self, base.ConnectionCls

        def connect(connection: HTTPConnection) -> None:
            kind.connect(connection)
            with transport._guard:
                transport._connections.add(connection)

        reachable = type(kind.__name__, (kind,), {"connect": connect})
        return type(base.__name__, (base,), {"ConnectionCls": reachable})

    def now(self) -> float:
        """Seconds, for time limits."""
        return self._clock()


class Answer:
    """The answer to one request: status and headers; the body is read once, and then closed."""

    def __init__(
        self, transport: Transport, method: str, url: str, response: urllib3.BaseHTTPResponse
    ) -> None:
        self.url = url
        self.method = method
        self.status = response.status
        self.host = split(url).netloc
        self._transport = transport
        self._response = response
        self._since, self._bytes = transport.now(), 0

    def header(self, name: str) -> str:
        """A header's value; empty if there is none."""
        return str(self._response.headers.get(name, ""))

    def headers(self, name: str) -> list[str]:
        """All values of a header that may be there several times."""
        return [str(value) for value in self._response.headers.getlist(name)]

    def length(self) -> int | None:
        """Bytes of the body, where the server says so."""
        text = self.header("Content-Length")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None

    def read_some(self, size: int) -> bytes:
        """Some bytes of the body, at most `size`; none at its end. Raises BrokenConnection."""
        try:
            data = self._response.read1(size)
        except (HTTPError, OSError, ValueError) as error:
            self._transport.check()
            raise failure(self.host, error) from None
        self._bytes += len(data)
        now = self._transport.now()
        if now - self._since > SLOW_SECONDS:
            if self._bytes < SLOW_BYTES and data:
                raise BrokenConnection(f"{self.host} sends less than {SLOW_BYTES} bytes a minute")
            self._since, self._bytes = now, 0
        return data

    def document(self, limit: int, what: str) -> bytes:
        """The whole body, which is closed then.

        Raises:
            RegistryError: larger than `limit` bytes, or too slow.
            BrokenConnection: it broke off.
        """
        parts, left, until = [], limit, self._transport.now() + DOCUMENT_SECONDS
        if (self.length() or 0) > limit:
            left = -1
        with self:
            while left >= 0 and (data := self.read_some(min(_PIECE, left + 1))):
                parts.append(data)
                left -= len(data)
                if self._transport.now() > until:
                    raise RegistryError(f"{what} took longer than {DOCUMENT_SECONDS:g} s")
            if left < 0:
                raise RegistryError(f"{what} exceeds the limit of {limit} bytes")
        return b"".join(parts)

    def close(self) -> None:
        """Give the connection back if the body has been read, or nearly; else close it."""
        length = self.length()
        try:
            if self.method == "HEAD" or (length is not None and length <= MAX_ERROR):
                self._response.drain_conn()
            self._response.release_conn() if _is_read(self._response) else self._response.close()
        except (HTTPError, OSError, ValueError):
            self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        self.close()


def _hang_up(connection: HTTPConnection) -> None:
    """Let whoever waits for bytes of a connection see its end now."""
    try:
        if connection.sock is not None:
            # The plain socket's own shutdown: a TLS socket's would take its state from the reader.
            socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
    except OSError:
        pass  # it is closed already


def _is_read(response: urllib3.BaseHTTPResponse) -> bool:
    left = getattr(response, "length_remaining", None)
    return left == 0 or getattr(response, "_original_response", None) is None


def _new_manager(proxy: str, folder: str) -> urllib3.PoolManager:
    context = ssl.create_default_context()  # honours SSL_CERT_FILE and SSL_CERT_DIR
    if folder:
        try:
            _add_certificates(context, folder)
        except (OSError, ssl.SSLError) as error:
            raise RegistryError(
                f"cannot use the certificates in {quote(folder)}: {error}"
            ) from None
    if not proxy:
        return urllib3.PoolManager(maxsize=CONNECTIONS, ssl_context=context)
    parts = split(proxy)
    login = urllib3.make_headers(
        proxy_basic_auth=f"{parts.username}:{parts.password or ''}" if parts.username else None
    )
    return urllib3.ProxyManager(
        f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
        maxsize=CONNECTIONS, ssl_context=context, proxy_headers=login,
    )  # fmt: skip


def _add_certificates(context: ssl.SSLContext, folder: str) -> None:
    """Docker's folder of one registry: *.crt are authorities, NAME.cert and NAME.key a client."""
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if name.endswith(".crt"):
            context.load_verify_locations(cafile=path)
        elif name.endswith(".cert"):
            context.load_cert_chain(path, path.removesuffix(".cert") + ".key")


@contextlib.contextmanager
def connected(via: Access | Transport | None) -> Iterator[Transport]:
    """A transport to use: the one given, or one of its own that is closed at the end."""
    if isinstance(via, Transport):
        via.rearm()
        yield via
        return
    transport = Transport(via or Access())
    try:
        yield transport
    finally:
        transport.close()
