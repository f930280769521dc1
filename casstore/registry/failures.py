"""What goes wrong between us and a registry: kinds of failure, and each in one clear line."""

from __future__ import annotations

import email.utils
import socket
import ssl
import time
from collections.abc import Iterator

from urllib3.exceptions import NameResolutionError, ReadTimeoutError

from casstore.errors import RegistryError, quote


class BrokenConnection(RegistryError):
    """The connection failed, or brought nothing for too long: trying again can work."""


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


def failure(host: str, error: Exception) -> RegistryError:
    """What went wrong, in one line without the names of classes and objects."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return RegistryError(f"{host}: certificate verify failed: {cause.verify_message}")
        if isinstance(cause, (NameResolutionError, socket.gaierror)):
            return Unreachable(f"cannot find the host {quote(host)[1:-1]}")
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
