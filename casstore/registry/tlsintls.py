"""TLS with a server, inside the TLS that is spoken with a proxy (an https:// proxy's tunnel)."""

from __future__ import annotations

import ssl

from casstore.startup.typed import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

_PIECE = 16 << 10  # what one record of TLS holds


class AnySocket(Protocol):
    """What of a socket a connection uses."""

    def recv(self, size: int, /) -> bytes: ...
    def sendall(self, data: bytes, /) -> None: ...
    def fileno(self) -> int: ...
    def gettimeout(self) -> float | None: ...
    def settimeout(self, seconds: float | None, /) -> None: ...
    def close(self) -> None: ...


class TlsInTls:
    """A socket to the server, over one to the proxy."""

    def __init__(self, outer: AnySocket, context: ssl.SSLContext, name: str) -> None:
        """Raises OSError: there is no TLS inside, or not as it should be."""
        self.outer = outer
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._came, self._goes, server_hostname=name)
        self._carried(self._tls.do_handshake)
        self.fileno, self.close = outer.fileno, outer.close
        self.gettimeout, self.settimeout = outer.gettimeout, outer.settimeout

    def recv(self, size: int) -> bytes:
        """Some bytes; none where the server has ended."""
        try:
            return self._carried(lambda: self._tls.read(size))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        for at in range(0, len(data), _PIECE):
            piece = data[at : at + _PIECE]
            while piece:
                piece = piece[self._carried(lambda: self._tls.write(piece)) :]  # noqa: B023

    def _carried(self, act: Callable[[], T]) -> T:
        """Call `act` until it succeeds, passing bytes both ways for it."""
        while True:
            try:
                result = act()
            except ssl.SSLWantReadError:
                self._flush()
                data = self.outer.recv(_PIECE)
                if data:
                    self._came.write(data)
                else:
                    self._came.write_eof()
            else:
                self._flush()
                return result

    def _flush(self) -> None:
        data = self._goes.read()
        if data:
            self.outer.sendall(data)
