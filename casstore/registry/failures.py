"""What goes wrong between us and a registry: kinds of failure, and each in one clear line."""

from __future__ import annotations

from casstore.errors import RegistryError, printable, quote
from casstore.startup.sockets import gaierror

PROXY_LOGIN = 407
_SERVER_ERROR = 500
_OF_PROXY = "the proxy "


class BrokenConnection(RegistryError):
    """The connection failed, or brought nothing for too long: trying again can work.

    `wait` is how many seconds the server asks to wait first.
    """

    wait: float | None = None


class Unreachable(BrokenConnection):
    """Nobody listens there, or there is no such host."""


class NoTls(RegistryError):
    """The server does not speak TLS, or not as it should."""


class Interrupted(Exception):
    """The work was called off; whoever called it off knows why."""


class Closed(OSError):
    """The other side has ended the connection before its answer was over."""


def retry_after(text: str) -> float | None:
    """Seconds that a server asks to wait."""
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return float(text[:9])
    import email.utils
    import time

    try:
        return max(email.utils.parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (ValueError, OverflowError):
        return None


def failure(host: str, error: Exception) -> RegistryError:
    """What went wrong, in one line without the names of classes and objects.

    Args:
        host: that was asked; `the proxy HOST` for one on the way.
        error: as the socket raised it.
    """
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        return RegistryError(f"{host}: certificate verify failed: {error.verify_message}")
    if isinstance(error, gaierror):
        of_proxy = f" of {host}" if host.startswith(_OF_PROXY) else f" {quote(host)[1:-1]}"
        return Unreachable(f"cannot find the host{of_proxy}")
    if isinstance(error, ConnectionRefusedError):
        return Unreachable(f"cannot connect to {host}: connection refused")
    if isinstance(error, ssl.SSLError) and not isinstance(error, TimeoutError):
        reason = str(error.reason or error.strerror or "failure").lower().replace("_", " ")
        return NoTls(f"{host} does not speak TLS as it should: {reason}")
    if isinstance(error, TimeoutError):
        return BrokenConnection(f"{host} does not answer in time")
    if isinstance(error, OSError) and error.strerror:
        return BrokenConnection(f"the connection to {host} failed: {error.strerror.lower()}")
    return BrokenConnection(f"the connection to {host} broke off")


def refused_by_proxy(proxy: str, host: str, status: int, words: str = "") -> RegistryError:
    """A proxy that does not let us through to a host."""
    if status == PROXY_LOGIN:
        return RegistryError(
            f"the proxy {proxy} does not take the login, or wants one (status 407)"
        )
    told = printable(f"{status} {words}".strip())[:80]
    kind = BrokenConnection if status >= _SERVER_ERROR else RegistryError
    return kind(f"the proxy {proxy} does not connect to {host}: status {told}")
