"""The answer to one request: status and headers at hand, the body read once, within limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from urllib3.exceptions import HTTPError

from casstore.errors import RegistryError
from casstore.registry.address import place_of
from casstore.registry.failures import failure
from casstore.registry.wire import DOCUMENT_SECONDS, DRAIN_SECONDS, Exchange

if TYPE_CHECKING:
    from collections.abc import Callable

    import urllib3

MAX_ERROR = 64 << 10
_PIECE = 256 << 10


class Answer:
    """The answer to one request: status and headers; the body is read once, and then closed."""

    def __init__(
        self, method: str, url: str, response: urllib3.BaseHTTPResponse, exchange: Exchange,
        check: Callable[[], None],
    ) -> None:  # fmt: skip
        """`check` raises Interrupted where the work was called off meanwhile."""
        self.url = url
        self.method = method
        self.status = response.status
        self.host = place_of(url)
        self._response = response
        self._exchange = exchange
        self._check = check
        exchange.body()

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
        """Some bytes of the body, at most `size`; none at its end.

        Raises:
            BrokenConnection: it broke off, or comes too slowly.
        """
        try:
            data = self._response.read1(size)
        except (HTTPError, OSError, ValueError) as error:
            self._check()
            raise failure(self.host, error) from None
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
        length = self.length()
        try:
            if self.method == "HEAD" or (length is not None and length <= MAX_ERROR):
                self._exchange.limit(DRAIN_SECONDS, f"{self.host} does not end its answer")
                self._response.drain_conn()
            self._response.release_conn() if _is_read(self._response) else self._response.close()
        except (HTTPError, OSError, ValueError, RegistryError):
            self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        self.close()


def _is_read(response: urllib3.BaseHTTPResponse) -> bool:
    left = getattr(response, "length_remaining", None)
    return left == 0 or getattr(response, "_original_response", None) is None
