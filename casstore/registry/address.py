"""Where a registry is: from the domain of a reference to a host, and what its name tells of it.

Source: Docker's registry package (docker.io is served by registry-1.docker.io; the names of this
machine may speak plain HTTP), Go's httpproxy for NO_PROXY.
"""

from __future__ import annotations

from casstore.errors import RegistryError, quote
from casstore.startup.value import Value

HTTP, HTTPS = "http", "https"
_PORTS = {HTTP: 80, HTTPS: 443}
_HOSTS = {"docker.io": "registry-1.docker.io"}
_NO_NAME = frozenset(" []:/\\?#@")  # what no name of a host has in it
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_OF_A_SCHEME = frozenset(f"{_LETTERS}0123456789+.-")
_OF_A_NAME = frozenset(f"{_LETTERS}0123456789_.-")  # besides what IDNA is for
_HIGHEST_PORT = (1 << 16) - 1


class Origin(Value):
    """What decides whether a credential may be sent: scheme, host and port (RFC 6454)."""

    scheme: str
    host: str
    port: int


def host_of(domain: str) -> str:
    """`host[:port]` of the registry that a reference's domain means."""
    return _HOSTS.get(domain, domain)


class Parts(Value):
    """What a URL is made of, its query left out."""

    scheme: str
    netloc: str  # user, password, host and port, as they are written
    path: str
    hostname: str | None  # in lower case
    port: int | None


def split(url: str) -> Parts:
    """The parts of a URL that a server chose, if it is one that may be followed.

    Raises:
        RegistryError: another scheme than http and https, no host, or no URL at all.
    """
    usual = _usual_parts(url)
    if usual is not None:
        return usual
    from urllib.parse import urlsplit  # imports `re` and more: two milliseconds

    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise RegistryError(f"the registry sent the invalid address {_told(url)}") from None
    if parts.scheme not in _PORTS or not parts.hostname or port == 0:
        raise RegistryError(f"the registry sent the address {_told(url)}, which is not followed")
    return Parts(parts.scheme, parts.netloc, parts.path, parts.hostname, port)


def _usual_parts(url: str) -> Parts | None:
    """The parts of `http://host[:port]…` where nothing in it asks for a closer look."""
    scheme, _, rest = url.partition("://")
    if scheme not in _PORTS or not _is_sendable(rest):
        return None
    netloc, path = _cut(rest.partition("#")[0].partition("?")[0])
    name, colon, digits = netloc.partition(":")
    if not name or not _OF_A_NAME.issuperset(name):
        return None
    port = int(digits) if digits.isdigit() and len(digits) <= len(str(_HIGHEST_PORT)) else 0
    if colon and not 0 < port <= _HIGHEST_PORT:
        return None
    return Parts(scheme, netloc, path, name.lower(), port or None)


def _is_sendable(text: str) -> bool:
    """Whether each character can stand in a request: ASCII, and neither control nor space."""
    return text.isascii() and text.isprintable() and " " not in text


def _cut(rest: str) -> tuple[str, str]:
    """What stands before the first slash, and the rest with it."""
    netloc, slash, path = rest.partition("/")
    return netloc, slash + path


def resolve(base: str, location: str) -> str:
    """The URL that `location` means at `base`, its path and query as they were written.

    The standard library's `urljoin` writes them anew, and a signature may be over them.

    Raises:
        RegistryError: as `split`.
    """
    location = location.strip(" \t\r\n").partition("#")[0]
    here = split(base)
    root = f"{here.scheme}://{here.netloc}"
    if _begins_with_scheme(location):
        url = location
    elif location.startswith("//"):
        url = f"{here.scheme}:{location}"
    elif location.startswith("/"):
        url = root + location
    else:
        from urllib.parse import urljoin

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
    rest = url.partition("://")[2].partition("#")[0]
    path, mark, query = rest.partition("?")
    target = (_cut(path)[1] or "/") + mark + query
    return target if _is_sendable(target) else "".join(map(_encoded, target))


def _begins_with_scheme(location: str) -> bool:
    scheme, colon, _ = location.partition(":")
    return bool(colon) and scheme[:1].isalpha() and _OF_A_SCHEME.issuperset(scheme)


def _encoded(char: str) -> str:
    if _is_sendable(char):
        return char
    from urllib.parse import quote as percent

    return percent(char.encode("latin-1" if char <= "\xff" else "utf-8", "replace"))


def _told(url: str) -> str:
    """An address for a message: without a user, a password, or a query that may be signed."""
    import re

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
    from casstore.startup.sockets import is_loopback_address

    return is_loopback_address(name)


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
