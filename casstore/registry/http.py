"""One HTTP request at a time, over one pool of connections: redirects, retries, limits.

What this promises, whatever a server does: it ends (connecting, each wait for bytes, slow bodies
and small documents have time limits), its memory is bounded, redirects are few, stay on http and
https, never go from TLS to the clear, and never carry a credential to another origin.

Retried are requests that failed before an answer, and the answers 408, 429, 500, 502, 503 and 504,
after a wait that doubles, or as long as `Retry-After` says. The wait is cut short by `abort`.
"""

from __future__ import annotations

import os
import time

from casstore.errors import RegistryError, warn
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
from casstore.registry.connection import Request
from casstore.registry.endpoint import USUAL, Certificates
from casstore.registry.failures import (
    PROXY_LOGIN,
    BrokenConnection,
    Interrupted,
    Unreachable,
    failure,
    refused_by_proxy,
    retry_after,
)
from casstore.registry.pool import Pool
from casstore.registry.proxies import proxy_for
from casstore.registry.routes import Route
from casstore.registry.wire import Exchange
from casstore.startup import allocate_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from threading import Event
    from typing import Self

    from casstore.registry.connection import Body, Connection, Incoming

ATTEMPTS = 5
FIRST_WAIT = 0.5  # seconds; doubles with each attempt
LONGEST_WAIT = 120.0  # a registry that wants more is not waited for
MAX_REDIRECTS = 10

RETRIED = frozenset((408, 429, 500, 502, 503, 504))
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_TWICE = frozenset(("GET", "HEAD"))  # asking does not change what the next answer is


class Transport:
    """Connections to all hosts that one command talks to. Safe to use from many threads.

    Whoever hands it to several calls closes it in the end, or uses it in a `with`, and may look at
    `take_notices` between. What else it can do is for the package itself.
    """

    def __init__(
        self,
        access: Access,
        *,
        login: tuple[str, str, str] | None = None,
        mirror: str = "",
        wait: Callable[[float], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect to nothing yet.

        Args:
            access: how registries are reached.
            login: user, password and identity token for the one registry that is asked, in place
                of what files say.
            mirror: where docker.io is looked for: `http://host:port`, or a host.
            wait, clock: for tests.
        """
        self.access = access
        self.login, self.mirror = login, mirror
        self.certificates: dict[str, Certificates] = {}  # by host, where a file says which
        self._clock = clock
        self._is_stopped = False
        self._stop: Event | None = None  # what waits for it; made for the first that waits
        self._wait = wait or self._wait_for_stop
        self._pool = Pool(clock)
        self._guard = allocate_lock()
        self._notices: list[str] = []

    def __repr__(self) -> str:
        return f"<casstore.Transport {self.access!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        authorization: str | None = None,
        own_headers: Mapping[str, str] | None = None,
        secret_body: bool = False,
        attempts: int = ATTEMPTS,
    ) -> Answer:
        """Send a request; the caller reads and closes the answer, whatever its status.

        Args:
            authorization: for the origin of `url` alone.
            own_headers: likewise.
            secret_body: the body, too, is for the origin of `url` alone.
            attempts: how often to try in all; 1 for what must not be done twice.

        Raises:
            BrokenConnection: no answer in all attempts.
            RegistryError: TLS failed, or a redirect cannot be followed.
        """
        own = dict(own_headers or {})
        if authorization is not None:
            own["Authorization"] = authorization
        for attempt in range(1, attempts + 1):
            last = attempt == attempts
            try:
                answer = self._followed(
                    method, url, dict(headers or {}), body, own, secret_body=secret_body
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

    def _wait_for_stop(self, seconds: float) -> None:
        from threading import Event  # half a millisecond, which few requests need

        with self._guard:
            stop = self._stop = self._stop or Event()
            if self._is_stopped:
                return
        stop.wait(seconds)

    def check(self) -> None:
        """Raises Interrupted once `abort` was called."""
        if self._is_stopped:
            raise Interrupted

    def abort(self) -> None:
        """End all waiting and reading in other threads."""
        with self._guard:
            self._is_stopped = True
            if self._stop is not None:
                self._stop.set()
        self._pool.hang_up()

    def rearm(self) -> None:
        """Work again after an `abort`."""
        with self._guard:
            self._is_stopped = False
            self._stop = None

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

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
        own: Mapping[str, str], *, secret_body: bool,
    ) -> Answer:  # fmt: skip
        origin = origin_of(url)
        for _ in range(MAX_REDIRECTS + 1):
            here = origin_of(url)
            if here != origin:
                own = {}  # nor if it comes back
            answer = self._once(method, url, {**headers, **own}, body)
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
        route = Route(scheme, host, proxy, self._certificates(host) if scheme == HTTPS else USUAL)
        target = target_of(url)
        sent = {"Host": host, "Accept-Encoding": "identity", "User-Agent": self.access.agent}
        sent |= headers
        if body is not None:
            sent["Content-Length"] = str(body.size)
        if proxy is not None and route.passed_on:
            target = f"{scheme}://{host}{target}"
            if proxy.login:
                sent["Proxy-Authorization"] = proxy.login
        exchange = Exchange(host, self._clock)
        try:
            connection, incoming = self._asked(route, Request(method, target, sent, body), exchange)
        except OSError as error:
            self.check()
            raise failure(host, error) from None

        def done() -> None:
            if incoming.frees:
                self._pool.give_back(route, connection)
            else:
                self._pool.drop(connection)

        answer = Answer(url, incoming, exchange, self.check, done)
        if proxy is not None and answer.status == PROXY_LOGIN:
            answer.close()
            raise refused_by_proxy(proxy.host, host, PROXY_LOGIN)
        return answer

    def _asked(
        self, route: Route, request: Request, exchange: Exchange
    ) -> tuple[Connection, Incoming]:
        """Ask over a connection that is open, or over a new one; again where the open one is not.

        A server may close a connection that has been idle in the moment in which it is used.
        """
        connection = self._pool.take(route)
        try:
            return connection, connection.ask(request, exchange)
        except OSError as error:
            self._pool.drop(connection)
            stale = connection.is_used and not isinstance(error, TimeoutError)
            if not stale or request.method not in _TWICE or request.body is not None:
                raise
            self.check()
        except BaseException:
            self._pool.drop(connection)
            raise
        connection = self._pool.take(route, fresh=True)
        try:
            return connection, connection.ask(request, exchange)
        except BaseException:
            self._pool.drop(connection)
            raise

    def _certificates(self, host: str) -> Certificates:
        """Those that were configured for a host, and Docker's folder if it has one."""
        folders = (os.path.join(base, host) for base in self.access.certificates)
        given, folder = self.certificates.get(host, USUAL), next(filter(os.path.isdir, folders), "")
        return given._replace(folder=folder) if folder else given


class connected:  # noqa: N801 - to be used in a `with`
    """A transport to use: the one given, or one of its own that is closed at the end.

    Not a generator: `contextlib` costs a millisecond with what it imports.
    """

    def __init__(
        self,
        via: Access | Transport | None,
        told: Callable[[tuple[str, ...]], None] | None = None,
    ) -> None:
        """`told` hears, in the end, of the notices of one of its own that nobody has taken."""
        self._via = via
        self._told = told
        self._own: Transport | None = None

    def __enter__(self) -> Transport:
        if isinstance(self._via, Transport):
            self._via.rearm()
            return self._via
        self._own = Transport(self._via or Access())
        return self._own

    def __exit__(self, *_: object) -> None:
        if self._own is None:
            return
        self._own.close()
        if self._told is not None:
            self._told(self._own.take_notices())
