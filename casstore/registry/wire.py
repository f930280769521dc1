"""Bytes that come from a server, within limits that no server can stretch.

A socket bounds the wait for the next byte alone. So a server that sends one byte now and then, of a
header, of one `100 Continue` after the other, of what surrounds a chunk, would hold its reader for
ever. Here an answer is read through a meter: its head has a deadline, its body a least rate (or,
for a document, a deadline), and what surrounds the body a size.
"""

from __future__ import annotations

from casstore.errors import RegistryError
from casstore.registry.failures import BrokenConnection, Closed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from casstore.registry.tlsintls import AnySocket

READ_SECONDS = 60.0  # for the next bytes; to send one piece of a body
HEAD_SECONDS = 120.0  # for a whole head, and all the heads that come before it
DOCUMENT_SECONDS = 120.0  # for a whole manifest, token or error
DRAIN_SECONDS = 5.0  # for the rest of a body that nobody wants, to keep its connection
SLOW_SECONDS, SLOW_BYTES = 60.0, 60_000  # a body that brings less in such a time has stopped
MAX_FRAMING = 1 << 20  # bytes of heads, chunk lines and trailers, besides what MAX_RATIO allows
MAX_RATIO = 16  # bytes that are received for each byte of a body, in small chunks say
MAX_LINE = 64 << 10  # of a head, or around a chunk
_LINES = 16 << 10  # bytes that are asked for where a line is read


class Exchange:
    """One request with its answer: the limits of what is read at the moment."""

    def __init__(self, host: str, clock: Callable[[], float]) -> None:
        self.host = host
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


class Wire:
    """What comes over one socket, answer after answer, each within the limits of its exchange."""

    def __init__(self, sock: AnySocket) -> None:
        self._sock = sock
        self._pending = b""  # received, and not handed on

    @property
    def is_empty(self) -> bool:
        """Whether all that has come has been handed on."""
        return not self._pending

    def line(self, exchange: Exchange) -> bytes:
        """One line, without its end.

        Raises:
            Closed: the connection ended before the line did, or the line does not end.
            RegistryError, TimeoutError: beyond a limit.
        """
        parts = [self._pending]
        size = 0
        while b"\n" not in parts[-1]:
            size += len(parts[-1])
            more = self._receive(_LINES, exchange) if size <= MAX_LINE else b""
            if not more:
                raise Closed
            parts.append(more)
        line, _, self._pending = b"".join(parts).partition(b"\n")
        return line.removesuffix(b"\r")

    def some(self, size: int, exchange: Exchange) -> bytes:
        """At least one byte, and at most `size`; none where the connection has ended."""
        if not self._pending:
            return self._receive(size, exchange)
        data, self._pending = self._pending[:size], self._pending[size:]
        return data

    def _receive(self, size: int, exchange: Exchange) -> bytes:
        patience = exchange.patience()
        if patience != self._sock.gettimeout():
            self._sock.settimeout(patience)
        since = exchange.now()
        try:
            data = self._sock.recv(size)
        except TimeoutError:
            exchange.patience()  # says it better, if it was the deadline
            raise
        exchange.read(len(data), exchange.now() - since)
        return data
