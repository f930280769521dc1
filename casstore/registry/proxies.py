"""The proxy before a registry: what the environment says of it, without its password in any word.

User and password stand percent-encoded in its address, as curl and Go read them.
"""

from __future__ import annotations

from casstore.errors import RegistryError
from casstore.registry.access import Access
from casstore.registry.address import HTTP, HTTPS, is_direct
from casstore.startup.value import Value

_HOST = r"(?:[\w.-]+|\[[0-9A-Fa-f:.%]+\])(?::(\d{1,5}))?"
_SOCKS = frozenset(("socks", "socks4", "socks4a", "socks5", "socks5h"))


class Proxy(Value):
    """A proxy that speaks HTTP."""

    scheme: str
    host: str  # with its port, if that is told
    login: str  # the value of Proxy-Authorization, or nothing

    @property
    def url(self) -> str:
        """Its address, which may be told to everybody."""
        return f"{self.scheme}://{self.host}"

    def __repr__(self) -> str:
        return f"Proxy({self.url})"


def proxy_for(scheme: str, host: str, access: Access) -> Proxy | None:
    """The proxy to go through to a host, if there is one.

    Raises:
        RegistryError: the setting cannot be used. It is not quoted: a password may be in it.
    """
    text = (access.https_proxy if scheme == HTTPS else access.http_proxy).strip()
    if not text or is_direct(host, access.no_proxy):
        return None
    import re

    kind, mark, rest = text.partition("://")
    if not mark:
        kind, rest = HTTP, text
    kind = kind.lower()
    authority, *path = re.split(r"[/?#]", rest, maxsplit=1)
    user_info, _, where = authority.rpartition("@")
    setting = f"{scheme.upper()}_PROXY"
    found = re.fullmatch(_HOST, where, re.ASCII)
    # A slash in the password ends the address too early: what follows has the real host.
    if found is None or not 0 < int(found[1] or 1) < 1 << 16 or "@" in "".join(path):
        raise RegistryError(
            f"{setting} is not the address of a proxy: expected http://HOST:PORT or"
            " http://USER:PASSWORD@HOST:PORT, with special characters percent-encoded"
        )
    if kind in _SOCKS:
        raise RegistryError(
            f"{setting} names the SOCKS proxy {where}: casstore uses HTTP proxies alone"
        )
    if kind not in (HTTP, HTTPS):
        raise RegistryError(f"{setting} names no HTTP proxy: expected http:// or https://")
    return Proxy(kind, where, _login(user_info))


def _login(user_info: str) -> str:
    if not user_info:
        return ""
    import binascii
    from urllib.parse import unquote_to_bytes

    user, _, password = user_info.partition(":")
    plain = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return "Basic " + binascii.b2a_base64(plain, newline=False).decode("ascii")
