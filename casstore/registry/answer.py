"""The answer to one request: status and headers at hand, the body read once, within limits."""

from __future__ import annotations

from casstore.errors import RegistryError
from casstore.registry.address import place_of
from casstore.registry.failures import failure
from casstore.registry.wire import DOCUMENT_SECONDS, DRAIN_SECONDS, Exchange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from casstore.registry.connection import Incoming

MAX_ERROR = 64 << 10
_PIECE = 256 << 10


class Answer:
    """The answer to one request: status and headers; the body is read once, and then closed."""

    def __init__(
        self, url: str, incoming: Incoming, exchange: Exchange, check: Callable[[], None],
        done: Callable[[], None],
    ) -> None:  # fmt: skip
        """`check` raises Interrupted where the work was called off; `done` is called at the end."""
        self.url = url
        self.status = incoming.status
        self.host = place_of(url)
        self._incoming = incoming
        self._exchange = exchange
        self._check, self._done = check, done
        self._is_closed = False
        exchange.body()

    def header(self, name: str) -> str:
        """A header's value; empty if there is none."""
        return ", ".join(self._incoming.all(name))

    def headers(self, name: str) -> list[str]:
        """All values of a header that may be there several times."""
        return self._incoming.all(name)

    def length(self) -> int | None:
        """Bytes of the body, where the server says so."""
        text = self.header("Content-Length")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None

    def read_some(self, size: int) -> bytes:
        """Some bytes of the body, at most `size`; none at its end.

        Raises:
            BrokenConnection: it broke off, or comes too slowly.
        """
        try:
            data = self._incoming.some(size)
        except OSError as error:
            self._check()
            raise failure(self.host, error) from None
        if not data:
            self._check()  # the end may be that of a connection which was called off
        self._exchange.delivered(len(data))
        return data

    def document(self, limit: int, what: str) -> bytes:
        """The whole body, which is closed then.

        Raises:
            RegistryError: larger than `limit` bytes, or too slow.
            BrokenConnection: it broke off.
        """
        parts, left = [], limit
        self._exchange.limit(DOCUMENT_SECONDS, f"{what} took longer than {DOCUMENT_SECONDS:g} s")
        if (self.length() or 0) > limit:
            left = -1
        with self:
            while left >= 0 and (data := self.read_some(min(_PIECE, left + 1))):
                parts.append(data)
                left -= len(data)
            if left < 0:
                raise RegistryError(f"{what} exceeds the limit of {limit} bytes")
        return b"".join(parts)

    def close(self) -> None:
        """Give the connection back if the body has been read, or nearly; else close it."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if (self.length() or MAX_ERROR + 1) <= MAX_ERROR:
                self._exchange.limit(DRAIN_SECONDS, f"{self.host} does not end its answer")
                while data := self._incoming.some(MAX_ERROR):
                    self._exchange.delivered(len(data))
        except (OSError, RegistryError):
            pass  # it is not used again, as it has not been read
        finally:
            self._done()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        self.close()
