"""What goes wrong between us and a registry: kinds of failure, and each in one clear line."""

from __future__ import annotations

import email.utils
import re
import socket
import ssl
import time
from collections.abc import Iterator

from urllib3.exceptions import NameResolutionError, ProxyError, ReadTimeoutError

from casstore.errors import RegistryError, printable, quote

PROXY_LOGIN = 407
_SERVER_ERROR = 500
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})\b *([^\r\n]*)")  # http.client says so


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


def retry_after(text: str) -> float | None:
    """Seconds that a server asks to wait."""
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(email.utils.parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (ValueError, OverflowError):
        return None


def failure(host: str, error: Exception, proxy: str = "") -> RegistryError:
    """What went wrong, in one line without the names of classes and objects.

    Args:
        host: that was asked.
        error: as urllib3 or the socket raised it.
        proxy: host of the proxy on the way, if there is one.
    """
    causes = list(_causes(error))
    if proxy:
        for cause in causes:
            refused = _TUNNEL.match(str(cause)) if isinstance(cause, OSError) else None
            if refused is not None:
                return refused_by_proxy(proxy, host, int(refused[1]), refused[2])
        if any(isinstance(cause, ProxyError) for cause in causes):
            host = f"the proxy {proxy}"
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return RegistryError(f"{host}: certificate verify failed: {cause.verify_message}")
        if isinstance(cause, (NameResolutionError, socket.gaierror)):
            of_proxy = f" of {host}" if host.startswith("the proxy ") else f" {quote(host)[1:-1]}"
            return Unreachable(f"cannot find the host{of_proxy}")
        if isinstance(cause, ConnectionRefusedError):
            return Unreachable(f"cannot connect to {host}: connection refused")
        if isinstance(cause, ssl.SSLError):
            reason = str(cause.reason or cause.strerror or "failure").lower().replace("_", " ")
            return NoTls(f"{host} does not speak TLS as it should: {reason}")
    for cause in causes:
        if isinstance(cause, (TimeoutError, ReadTimeoutError)):
            return BrokenConnection(f"{host} does not answer in time")
        if isinstance(cause, OSError) and cause.strerror:
            return BrokenConnection(f"the connection to {host} failed: {cause.strerror.lower()}")
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


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what led to it, each once."""
    seen: list[BaseException] = []
    todo = [error]
    while todo:
        cause = todo.pop()
        if cause is None or cause in seen:
            continue
        seen.append(cause)
        yield cause
        todo += [cause.__cause__, cause.__context__, getattr(cause, "reason", None)]
        todo = [one for one in todo if isinstance(one, BaseException)]
        todo += [one for one in cause.args if isinstance(one, BaseException)]
