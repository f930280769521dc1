"""Where a registry is: from the domain of a reference to a host, and what its name tells of it.

Source: Docker's registry package (docker.io is served by registry-1.docker.io; the names of this
machine may speak plain HTTP), Go's httpproxy for NO_PROXY.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urljoin, urlsplit
from urllib.parse import quote as percent

from casstore.errors import RegistryError, quote
from casstore.startup.value import Value

HTTP, HTTPS = "http", "https"
_PORTS = {HTTP: 80, HTTPS: 443}
_HOSTS = {"docker.io": "registry-1.docker.io"}
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_AUTHORITY = re.compile(r"\A[^/?]*")
_NO_NAME = frozenset(" []:/\\?#@")  # what no name of a host has in it
_UNSENDABLE = re.compile(r"[^!-~]")


class Origin(Value):
    """What decides whether a credential may be sent: scheme, host and port (RFC 6454)."""

    scheme: str
    host: str
    port: int


def host_of(domain: str) -> str:
    """`host[:port]` of the registry that a reference's domain means."""
    return _HOSTS.get(domain, domain)


def split(url: str) -> SplitResult:
    """The parts of a URL that a server chose, if it is one that may be followed.

    Raises:
        RegistryError: another scheme than http and https, no host, or no URL at all.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise RegistryError(f"the registry sent the invalid address {_told(url)}") from None
    if parts.scheme not in _PORTS or not parts.hostname or port == 0:
        raise RegistryError(f"the registry sent the address {_told(url)}, which is not followed")
    return parts


def resolve(base: str, location: str) -> str:
    """The URL that `location` means at `base`, its path and query as they were written.

    The standard library's `urljoin` writes them anew, and a signature may be over them.

    Raises:
        RegistryError: as `split`.
    """
    location = location.strip(" \t\r\n").partition("#")[0]
    here = split(base)
    root = f"{here.scheme}://{here.netloc}"
    if _SCHEME.match(location):
        url = location
    elif location.startswith("//"):
        url = f"{here.scheme}:{location}"
    elif location.startswith("/"):
        url = root + location
    else:
        path, mark, query = location.partition("?")
        try:
            url = urljoin(root + here.path, path) + mark + query
        except ValueError:
            raise RegistryError(
                f"the registry sent the invalid address {_told(location)}"
            ) from None
    split(url)
    return url


def target_of(url: str) -> str:
    """Path and query of a URL as they are sent: what cannot stand in a request is encoded."""
    target = _AUTHORITY.sub("", url.partition("://")[2].partition("#")[0], count=1)
    return _UNSENDABLE.sub(_encoded, target if target.startswith("/") else "/" + target)


def _encoded(match: re.Match[str]) -> str:
    char = match[0]
    return percent(char.encode("latin-1" if char <= "\xff" else "utf-8", "replace"))


def _told(url: str) -> str:
    """An address for a message: without a user, a password, or a query that may be signed."""
    return quote(re.sub(r"(?<=//)[^/]*@", "", url.partition("?")[0]))


def origin_of(url: str) -> Origin:
    """The origin of a URL. Raises RegistryError as `split`."""
    parts = split(url)
    return Origin(parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS[parts.scheme])


def place_of(url: str) -> str:
    """`host[:port]` of a URL, without a user or password. Raises RegistryError as `split`."""
    return split(url).netloc.rpartition("@")[2]


def endpoint_of(scheme: str, host: str) -> tuple[str, int]:
    """The name or address of `host[:port]`, in ASCII and without brackets, and the port.

    Raises:
        RegistryError: it is none.
    """
    name, mark, port = host.rpartition(":") if host[-1:] != "]" else (host, "", "")
    if not mark:
        name, port = host, ""
    if name[:1] == "[" and name[-1:] == "]":
        name = name[1:-1].replace("%25", "%", 1)
    elif _NO_NAME.intersection(name):
        name = ""
    try:
        if not name.isascii():
            name = name.encode("idna").decode("ascii")
    except UnicodeError:
        name = ""
    number = port or str(_PORTS[scheme])
    if not (name and name.isprintable() and number.isascii() and number.isdigit()):
        raise RegistryError(f"invalid address {quote(f'{scheme}://{host}')}")
    return name, int(number)


def is_loopback(host: str) -> bool:
    """Whether `host[:port]` is this machine by its name: localhost, 127.0.0.0/8 or ::1."""
    name = _name(host)
    if name == "localhost" or name.endswith(".localhost"):
        return True
    import ipaddress

    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_direct(host: str, no_proxy: str) -> bool:
    """Whether a proxy is passed by: the names of this machine, and what NO_PROXY lists.

    An entry is `*`, a domain (with all below it; with a leading dot only those below), an address,
    a network, each but the network with a port or without.
    """
    if is_loopback(host):
        return True
    name = _name(host)
    for entry in no_proxy.replace(" ", ",").lower().split(","):
        if entry == "*" or entry in (host.lower(), name):
            return True
        plain = entry.lstrip("*")
        if plain and name.endswith(plain if plain.startswith(".") else "." + plain):
            return True
        if "/" in entry:
            import ipaddress

            try:
                if ipaddress.ip_address(name) in ipaddress.ip_network(entry, strict=False):
                    return True
            except ValueError:
                continue
    return False


def _name(host: str) -> str:
    """`host[:port]` without port and brackets, in lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return (host if host.count(":") > 1 else host.partition(":")[0]).lower()
