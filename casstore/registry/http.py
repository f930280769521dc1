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
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError, LocationParseError

from casstore.errors import RegistryError, quote, warn
from casstore.registry.access import Access
from casstore.registry.address import (
    HTTP,
    HTTPS,
    is_loopback,
    origin_of,
    place_of,
    resolve,
    split,
    target_of,
)
from casstore.registry.answer import Answer
from casstore.registry.failures import (
    PROXY_LOGIN,
    BrokenConnection,
    Interrupted,
    Unreachable,
    failure,
    refused_by_proxy,
    retry_after,
)
from casstore.registry.proxies import Proxy, proxy_for
from casstore.registry.wire import HTTP_POOL, HTTPS_POOL, READ_SECONDS, Exchange, Wire

CONNECT_SECONDS = 15.0
ATTEMPTS = 5
FIRST_WAIT = 0.5  # seconds; doubles with each attempt
LONGEST_WAIT = 120.0  # a registry that wants more is not waited for
MAX_REDIRECTS = 10
CONNECTIONS = 16  # kept open to one host

RETRIED = frozenset((408, 429, 500, 502, 503, 504))
_REDIRECTS = frozenset((301, 302, 303, 307, 308))


class Body(Protocol):
    """What a request sends: told twice, it starts anew."""

    size: int

    def pieces(self) -> Iterable[bytes]: ...


class Transport:
    """Connections to all hosts that one command talks to. Safe to use from many threads.

    Whoever hands it to several calls closes it in the end, or uses it in a `with`, and may look at
    `take_notices` between. What else it can do is for the package itself.
    """

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
        self._wire = Wire(self._note_connection)
        self._notices: list[str] = []
        self._disconnect()

    def __repr__(self) -> str:
        return f"<casstore.Transport {self.access!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _disconnect(self) -> None:
        """Begin without connections, and forget those that there are."""
        self._process = os.getpid()
        self._managers: dict[tuple[Proxy | None, str], urllib3.PoolManager] = {}
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
        secret_body: bool = False,
        attempts: int = ATTEMPTS,
    ) -> Answer:
        """Send a request; the caller reads and closes the answer, whatever its status.

        Args:
            authorization: for the origin of `url` alone.
            secret_body: the body, too, is for the origin of `url` alone.
            attempts: how often to try in all; 1 for what must not be done twice.

        Raises:
            BrokenConnection: no answer in all attempts.
            RegistryError: TLS failed, or a redirect cannot be followed.
        """
        for attempt in range(1, attempts + 1):
            last = attempt == attempts
            try:
                answer = self._followed(
                    method, url, dict(headers or {}), body, authorization, secret_body=secret_body
                )
            except BrokenConnection as error:
                if last or (attempt > 1 and isinstance(error, Unreachable)):
                    raise
                self.pause(attempt, error.wait)
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
        if self._process != os.getpid():
            return  # forked: the connections are the parent's
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

    def notice(self, text: str) -> None:
        """Something that the user is to know, though the work goes on; told and logged once."""
        with self._guard:
            is_new = text not in self._notices
            if is_new:
                self._notices.append(text)
        if is_new:
            warn((text,))

    def take_notices(self) -> tuple[str, ...]:
        """The notices since the last time."""
        with self._guard:
            notices, self._notices = tuple(self._notices), []
        return notices

    def _worth_waiting(self, answer: Answer, attempt: int) -> bool:
        asked = retry_after(answer.header("Retry-After"))
        if asked is not None and asked > LONGEST_WAIT:
            return False
        answer.close()
        self.pause(attempt, asked)
        return True

    def _followed(
        self, method: str, url: str, headers: dict[str, str], body: Body | None,
        authorization: str | None, *, secret_body: bool,
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
            if here.scheme == HTTPS and there.scheme == HTTP and not is_loopback(place_of(target)):
                raise RegistryError(f"{place_of(url)} redirects from https to plain http")
            if secret_body and origin_of(target) != origin:
                raise RegistryError(
                    f"{place_of(url)} redirects a login to {place_of(target)}, which is not told it"
                )
            url = target
        raise RegistryError(f"{place_of(url)} redirects more than {MAX_REDIRECTS} times")

    def _once(self, method: str, url: str, headers: dict[str, str], body: Body | None) -> Answer:
        self.check()
        scheme, host = split(url).scheme, place_of(url)
        proxy = proxy_for(scheme, host, self.access)
        by = proxy.host if proxy is not None else ""
        sent = {"User-Agent": self.access.agent, **headers}
        if body is not None:
            sent["Content-Length"] = str(body.size)
        exchange = Exchange(host, target_of(url), self._clock)
        self._wire.carry(exchange)
        try:
            response = self._manager(proxy, host).request(
                method, f"{scheme}://{host}/", headers=sent,
                body=body.pieces() if body is not None else None,
                redirect=False, retries=False, preload_content=False, decode_content=False,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            )  # fmt: skip
        except LocationParseError:
            raise RegistryError(f"invalid address {quote(f'{scheme}://{host}')}") from None
        except (HTTPError, OSError, ValueError) as error:
            self.check()
            raise failure(host, error, by) from None
        answer = Answer(method, url, response, exchange, self.check)
        if proxy is not None and answer.status == PROXY_LOGIN:
            answer.close()
            raise refused_by_proxy(by, host, PROXY_LOGIN)
        return answer

    def _manager(self, proxy: Proxy | None, host: str) -> urllib3.PoolManager:
        if self._process != os.getpid():
            self._disconnect()  # forked: two cannot speak through one connection
        folder = next(
            filter(os.path.isdir, (os.path.join(b, host) for b in self.access.certificates)), ""
        )
        with self._guard:
            manager = self._managers.get((proxy, folder))
            if manager is None:
                manager = _new_manager(proxy, folder)
                manager.pool_classes_by_scheme = {
                    HTTP: self._wire.pool(HTTP_POOL),
                    HTTPS: self._wire.pool(HTTPS_POOL),
                }
                self._managers[proxy, folder] = manager
        return manager

    def _note_connection(self, connection: HTTPConnection) -> None:
        with self._guard:
            self._connections.add(connection)


def _hang_up(connection: HTTPConnection) -> None:
    """Let whoever waits for bytes of a connection see its end now."""
    try:
        if connection.sock is not None:
            # The plain socket's own shutdown: a TLS socket's would take its state from the reader.
            socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
    except OSError:
        pass  # it is closed already


def _new_manager(proxy: Proxy | None, folder: str) -> urllib3.PoolManager:
    context = ssl.create_default_context()  # honours SSL_CERT_FILE and SSL_CERT_DIR
    if folder:
        try:
            _add_certificates(context, folder)
        except (OSError, ssl.SSLError) as error:
            raise RegistryError(
                f"cannot use the certificates in {quote(folder)}: {error}"
            ) from None
    if proxy is None:
        return urllib3.PoolManager(maxsize=CONNECTIONS, ssl_context=context)
    return urllib3.ProxyManager(
        proxy.url, maxsize=CONNECTIONS, ssl_context=context,
        proxy_headers={"Proxy-Authorization": proxy.login} if proxy.login else {},
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
def connected(
    via: Access | Transport | None, told: Callable[[tuple[str, ...]], None] | None = None
) -> Iterator[Transport]:
    """A transport to use: the one given, or one of its own that is closed at the end.

    `told` hears, in the end, of the notices of one of its own that nobody has taken.
    """
    if isinstance(via, Transport):
        via.rearm()
        yield via
        return
    transport = Transport(via or Access())
    try:
        yield transport
    finally:
        transport.close()
        if told is not None:
            told(transport.take_notices())
