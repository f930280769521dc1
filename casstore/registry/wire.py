"""Connections on which no server can hold a command, and which send an address as it was given.

http.client and urllib3 bound the wait for the next byte alone. So a server that sends one byte now
and then, of a header, of one `100 Continue` after the other, of what surrounds a chunk, holds its
reader for ever. Here an answer is read through a meter: its head has a deadline, its body a least
rate (or, for a document, a deadline), and what surrounds the body a size.

urllib3 also normalizes what it sends: `%2f` becomes `%2F`. A signed address must arrive as it was
signed, so the target of a request goes past it.
"""

from __future__ import annotations

import http.client
import io
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool

from casstore.errors import RegistryError
from casstore.registry.failures import BrokenConnection

if TYPE_CHECKING:
    import socket

    from urllib3.connection import HTTPConnection

READ_SECONDS = 60.0  # for the next bytes; to send one piece of a body
HEAD_SECONDS = 120.0  # for a whole head, and all the heads that come before it
DOCUMENT_SECONDS = 120.0  # for a whole manifest, token or error
DRAIN_SECONDS = 5.0  # for the rest of a body that nobody wants, to keep its connection
SLOW_SECONDS, SLOW_BYTES = 60.0, 60_000  # a body that brings less in such a time has stopped
MAX_FRAMING = 1 << 20  # bytes of heads, chunk lines and trailers, besides what MAX_RATIO allows
MAX_RATIO = 16  # bytes that are received for each byte of a body, in small chunks say


class Exchange:
    """One request with its answer: what is sent, and the limits of what is read at the moment."""

    def __init__(self, host: str, target: str, clock: Callable[[], float]) -> None:
        self.host = host
        self.target = target  # path and query
        self._clock = clock
        self._until: float | None = None
        self._late = ""
        self._received, self._handed_on = 0, 0
        self._waited, self._bytes = 0.0, 0

    def head(self) -> None:
        """From here on a head is read."""
        self.limit(HEAD_SECONDS, f"{self.host} takes longer than {HEAD_SECONDS:g} s to answer")

    def limit(self, seconds: float, late: str) -> None:
        """What is read from here on must be there in so many seconds; `late` is said else."""
        self._until, self._late = self._clock() + seconds, late
        self._received, self._handed_on = 0, 0

    def body(self) -> None:
        """From here on a body is read, which may last as long as it keeps the least rate."""
        self._until = None
        self._received, self._handed_on = 0, 0
        self._waited, self._bytes = 0.0, 0

    def delivered(self, count: int) -> None:
        """So many bytes of the body have been handed on."""
        self._handed_on += count
        self._bytes += count

    def patience(self) -> float:
        """How long the next bytes may take. Raises RegistryError where the time is over."""
        if self._until is not None:
            left = self._until - self._clock()
            if left <= 0:
                raise RegistryError(self._late)
            return min(left, READ_SECONDS)
        if self._waited > SLOW_SECONDS:
            if self._bytes < SLOW_BYTES:
                raise BrokenConnection(
                    f"{self.host} sends less than {SLOW_BYTES} bytes in {SLOW_SECONDS:g} s"
                )
            self._waited, self._bytes = 0.0, 0
        return READ_SECONDS

    def read(self, count: int, seconds: float) -> None:
        """So many bytes have come after so long a wait. Raises RegistryError."""
        self._waited += seconds
        self._received += count
        if self._received > MAX_FRAMING + MAX_RATIO * self._handed_on:
            raise RegistryError(
                f"{self.host} sends more than {MAX_FRAMING} bytes that are no part of a body"
            )

    def now(self) -> float:
        """Seconds, by the clock that the limits go by."""
        return self._clock()


class Meter(io.RawIOBase):
    """The bytes of one answer, each read within the limits of its exchange."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, exchange: Exchange) -> None:
        self._raw, self._sock, self._exchange = raw, sock, exchange

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        exchange = self._exchange
        patience = exchange.patience()
        if patience != self._sock.gettimeout():
            self._sock.settimeout(patience)
        since = exchange.now()
        try:
            count: int | None = self._raw.readinto(buffer)
        except TimeoutError:
            exchange.patience()  # says it better, if it was the deadline
            raise
        exchange.read(count or 0, exchange.now() - since)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer that is read through a meter: also the answer of a proxy to CONNECT."""

    def __init__(self, sock: socket.socket, *args: Any, exchange: Exchange, **more: Any) -> None:
        super().__init__(sock, *args, **more)
        exchange.head()
        raw = self.fp.detach()
        self.fp = io.BufferedReader(Meter(raw, sock, exchange))


class Wire:
    """Makes the kinds of connections that one Transport uses, and hands each its exchange."""

    def __init__(self, connected: Callable[[HTTPConnection], None]) -> None:
        """`connected` hears of each connection."""
        self._connected = connected
        self._thread = threading.local()

    def carry(self, exchange: Exchange) -> None:
        """What this thread asks for next is this exchange."""
        self._thread.exchange = exchange

    def pool(self, base: type[HTTPConnectionPool]) -> type[HTTPConnectionPool]:
        """A kind of pool, of HTTP or HTTPS connections."""
        wire = self
        kind: Any = base.ConnectionCls

        def connect(connection: HTTPConnection) -> None:
            kind.connect(connection)
            wire._connected(connection)

        def putrequest(connection: HTTPConnection, method: str, url: str, **more: Any) -> None:
            # Asked for is the root of the host (behind a proxy, as an absolute address).
            kind.putrequest(connection, method, url[:-1] + wire._exchange().target, **more)

        def send(connection: HTTPConnection, data: Any) -> None:
            if connection.sock is not None:
                connection.sock.settimeout(READ_SECONDS)
            kind.send(connection, data)

        def response(sock: socket.socket, *args: Any, **more: Any) -> _Response:
            return _Response(sock, *args, exchange=wire._exchange(), **more)

        own = {
            "connect": connect, "putrequest": putrequest, "send": send,
            "response_class": staticmethod(response),
        }  # fmt: skip
        metered = type(kind.__name__, (kind,), own)
        return type(base.__name__, (base,), {"ConnectionCls": metered})

    def _exchange(self) -> Exchange:
        exchange: Exchange = self._thread.exchange
        return exchange


HTTP_POOL, HTTPS_POOL = HTTPConnectionPool, HTTPSConnectionPool
