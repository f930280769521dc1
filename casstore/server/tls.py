"""TLS for a listening socket: a certificate and its key, read again when they have changed.

So a renewed certificate counts from the next connection on, without a restart.
"""

from __future__ import annotations

import os
import socket
import ssl

from casstore.errors import StorageError, quote


class Certificate:
    """A certificate with what it is used for."""

    def __init__(self, certificate: str, key: str) -> None:
        """Read both files (PEM). Raises StorageError."""
        self._paths = certificate, key
        self._context, self._seen = self._read()

    def wrap(self, connected: socket.socket) -> ssl.SSLSocket:
        """The connection under TLS; the handshake is left to the caller. Raises OSError."""
        self._refresh()
        return self._context.wrap_socket(connected, server_side=True, do_handshake_on_connect=False)

    def _refresh(self) -> None:
        try:
            if self._state() != self._seen:
                self._context, self._seen = self._read()
        except (OSError, StorageError):
            pass  # half of a renewal: the old one serves until both files fit

    def _read(self) -> tuple[ssl.SSLContext, list[tuple[int, int]]]:
        certificate, key = self._paths
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["http/1.1"])
        try:
            seen = self._state()
            context.load_cert_chain(certificate, key, password=_no_password)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            raise StorageError(
                f"cannot use the certificate {quote(certificate)} with the key {quote(key)}:"
                f" {reason}"
            ) from None
        return context, seen

    def _state(self) -> list[tuple[int, int]]:
        states = [os.stat(path) for path in self._paths]
        return [(status.st_mtime_ns, status.st_ino) for status in states]


def _no_password() -> str:
    return ""  # rather than ask on a terminal that nobody looks at
