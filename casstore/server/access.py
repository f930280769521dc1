"""Who may ask over TCP: requests that this server is meant to get, and that no web page sent.

A web page can have a browser send requests to any address that the browser reaches, loopback too.
It cannot read the answers, as there are no CORS headers, unless its own name resolves to this
machine (DNS rebinding): hence the names that a Host may be. And it can send only some requests that
change something, those of forms, which are refused. On a unix socket no browser sends anything.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from casstore.errors import quote
from casstore.server.message import BrokenBody, Request

_CHANGE_NOTHING = frozenset(("GET", "HEAD", "OPTIONS"))
# What a form can send, and a script to another site without asking (Fetch, "CORS-safelisted").
_FORMS = frozenset(("application/x-www-form-urlencoded", "multipart/form-data", "text/plain"))


class HostRule:
    """The names that this server has."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        """`names`: those that it was given, without a port; `localhost` and its own it has."""
        self._names = {"localhost", socket.gethostname().lower()}
        self._names.update(_without_port(name.lower()) for name in names)

    def check(self, request: Request, local: str) -> None:
        """Refuse a request for another host. Raises BrokenBody.

        Args:
            local: the address at which the client has reached us.
        """
        host = request.headers.get("host")
        if not host:
            if "host" in request.headers:
                raise BrokenBody("an empty Host")
            return  # HTTP/1.0: no browser sends that
        name = _without_port(host.lower())
        if name in self._names or name == local:
            return
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            pass
        else:
            if address.is_loopback:
                return
        raise BrokenBody(
            f"this server is not known as {quote(name)}: start it with --name to have it so",
            status=421,
        )


def check_origin(request: Request) -> None:
    """Refuse what a page of another site may have sent, if it is to change something.

    Raises BrokenBody.
    """
    if request.method in _CHANGE_NOTHING:
        return
    if "origin" in request.headers:
        origin = urlsplit(request.headers.get("origin"))
        if not origin.netloc or origin.netloc.lower() != request.headers.get("host").lower():
            raise BrokenBody("a request from a page of another site is refused", status=403)
    if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise BrokenBody("a request from a page of another site is refused", status=403)
    kind = request.headers.get("content-type").partition(";")[0].strip().lower()
    if kind in _FORMS:
        raise BrokenBody(
            f"a body of the type {quote(kind)}, as forms send it, is refused", status=415
        )


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host
