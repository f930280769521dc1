"""Listening sockets: TCP, unix, and those that systemd hands over.

A unix socket is as good as the store's directory to whoever can connect to it: it is 0600 from its
first moment, and in a directory where nobody else can put another one in its place.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import stat
from collections.abc import Mapping

from casstore.errors import StorageError, UsageError, quote

BACKLOG = 512
_FIRST = 3  # descriptor that systemd hands over (sd_listen_fds(3))
_UNIX = "unix://"
_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_MAX_PATH = 107  # bytes of a unix socket's path: sockaddr_un has 108, and the last is a NUL


def listen_tcp(address: str) -> socket.socket:
    """A socket at `[HOST:]PORT`; the host is 127.0.0.1 by default, the port may be 0.

    Raises:
        UsageError: that is not what it is.
        StorageError: the address is in use, or not one of this machine.
    """
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if colon else "127.0.0.1"
    if not (port.isascii() and port.isdigit() and int(port) < 1 << 16) or not host:
        raise UsageError(
            f"expected [HOST:]PORT, such as 5000 or 0.0.0.0:5000, not {quote(address)}"
        )
    try:
        family, _, _, _, where = socket.getaddrinfo(
            host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(where)
            made.listen(BACKLOG)
        except OSError:
            made.close()
            raise
    except OSError as error:
        raise StorageError(f"cannot listen at {quote(address)}: {_reason(error)}") from None
    return made


def listen_unix(path: str) -> socket.socket:
    """A socket at a path, which only this user can connect to.

    Raises:
        UsageError: no socket can have so long a path.
        StorageError: others may write in its directory, another server listens there, or what is
            there is not a socket.
    """
    path = os.path.abspath(path)
    if len(os.fsencode(path)) > _MAX_PATH:
        raise UsageError(
            f"the path of a unix socket has at most {_MAX_PATH} bytes, unlike {quote(path)}"
        )
    directory = os.path.dirname(path)
    try:
        status = os.stat(directory)
        if status.st_mode & _OTHERS or status.st_uid not in (0, os.geteuid()):
            raise StorageError(
                f"others may write in {quote(directory)}: the socket would not be safe there"
            )
        _remove_stale(path)
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            made.bind(path)
            made.listen(BACKLOG)
        except OSError:
            made.close()
            raise
        finally:
            os.umask(before)
    except OSError as error:
        raise StorageError(f"cannot listen at {quote(path)}: {_reason(error)}") from None
    return made


def unix_path(address: str) -> str | None:
    """The path in `unix://PATH`; None of another address. Raises UsageError."""
    if not address.startswith(_UNIX):
        return None
    path = address[len(_UNIX) :]
    if not path.startswith("/"):
        raise UsageError(f"expected unix:// and an absolute path, not {quote(address)}")
    return path


def remove_unix(path: str) -> None:
    """Remove the file of a socket that `listen_unix` made."""
    try:
        os.unlink(path)
    except OSError:
        pass


def handed_over(environment: Mapping[str, str]) -> list[tuple[str, socket.socket]]:
    """The sockets that systemd has handed to this process, each with its name (sd_listen_fds(3)).

    Raises:
        UsageError: one of them is not a listening stream socket.
    """
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = environment.get("LISTEN_FDS", "")
    if not (count.isascii() and count.isdigit()):
        return []
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    found = []
    for number in range(int(count)):
        made = _adopted(_FIRST + number)
        os.set_inheritable(made.fileno(), False)  # noqa: FBT003 - its name says it
        found.append((names[number] if number < len(names) else "", made))
    return found


def is_local(made: socket.socket) -> bool:
    """Whether only this machine can connect."""
    if made.family == socket.AF_UNIX:
        return True
    return ipaddress.ip_address(made.getsockname()[0].partition("%")[0]).is_loopback


def shown(made: socket.socket, scheme: str) -> str:
    """Where a socket listens, as an address that a client takes."""
    if made.family == socket.AF_UNIX:
        return f"{_UNIX}{made.getsockname()}"
    host, port = made.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"


def _adopted(descriptor: int) -> socket.socket:
    try:
        made = socket.socket(fileno=descriptor)
        listens = made.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if listens and made.type == socket.SOCK_STREAM:
            return made
    except OSError:
        pass
    raise UsageError(
        f"descriptor {descriptor} is not a listening socket: the unit needs ListenStream= and"
        " Accept=no"
    )


def _remove_stale(path: str) -> None:
    """Remove the file of a server that has ended. Raises StorageError where one listens."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise StorageError(f"{quote(path)} is there, and is not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(1.0)
        try:
            client.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except FileNotFoundError:
            return
        except OSError:
            pass  # its queue is full, say: somebody is there
    raise StorageError(f"another server listens at {quote(path)}")


def _reason(error: OSError) -> str:
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]
