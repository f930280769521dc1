"""The way to a server: TCP, TLS with the certificates that count there, a proxy.

A proxy passes on requests to servers of plain HTTP by itself. To one of HTTPS it opens a tunnel
(CONNECT), in which TLS is spoken with the server. `ssl` takes a third of a small pull to import and
to read the authorities, so it is imported where TLS is spoken.
"""

from __future__ import annotations

import os

from casstore.errors import RegistryError, quote
from casstore.registry.address import HTTPS, endpoint_of
from casstore.registry.connection import Connection, Request
from casstore.registry.endpoint import USUAL, Certificates
from casstore.registry.failures import failure, refused_by_proxy
from casstore.registry.proxies import Proxy
from casstore.registry.wire import Exchange
from casstore.startup.sockets import IPPROTO_TCP, TCP_NODELAY, connected, socket
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from typing import Any

    from casstore.registry.tlsintls import AnySocket

CONNECT_SECONDS = 15.0
_TUNNEL_IS_OPEN = 200


class Route(Value):
    """Where a connection leads, and how."""

    scheme: str
    host: str  # with its port, if that is told
    proxy: Proxy | None
    certificates: Certificates

    @property
    def passed_on(self) -> bool:
        """Whether the proxy reads the requests, and passes them on."""
        return self.proxy is not None and self.scheme != HTTPS


class Connector:
    """Makes connections; a TLS context is made once for all that goes by the same certificates."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._contexts: dict[Certificates, ssl.SSLContext] = {}

    def connect(self, route: Route) -> Connection:
        """A new connection.

        Raises:
            OSError: the server cannot be reached.
            RegistryError: the proxy cannot be, or refuses; certificates cannot be used.
        """
        if route.scheme == HTTPS:
            self._context(route.certificates)  # what is wrong with them is said before all else
        proxy = route.proxy
        if proxy is None:
            return Connection(self._reached(route.scheme, route.host, route.certificates))
        try:
            sock = self._reached(proxy.scheme, proxy.host, USUAL)
        except OSError as error:
            raise failure(f"the proxy {proxy.host}", error) from None
        if route.passed_on:
            return Connection(sock)
        try:
            self._open_tunnel(Connection(sock), route, proxy)
            name, _ = endpoint_of(route.scheme, route.host)
            return Connection(self._secured(sock, name, route.certificates))
        except BaseException:
            sock.close()
            raise

    def _reached(self, scheme: str, host: str, certificates: Certificates) -> AnySocket:
        name, port = endpoint_of(scheme, host)
        # Bytes, as they are not encoded as a domain name again: that imports much.
        sock = connected(name.encode(), port, CONNECT_SECONDS)
        try:
            sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            return self._secured(sock, name, certificates) if scheme == HTTPS else sock
        except BaseException:
            sock.close()
            raise

    def _open_tunnel(self, connection: Connection, route: Route, proxy: Proxy) -> None:
        name, port = endpoint_of(route.scheme, route.host)
        target = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
        fields = {"Host": target}
        if proxy.login:
            fields["Proxy-Authorization"] = proxy.login
        exchange = Exchange(f"the proxy {proxy.host}", self._clock)
        try:
            answer = connection.ask(Request("CONNECT", target, fields, None), exchange)
        except OSError as error:
            raise failure(exchange.host, error) from None
        if answer.status != _TUNNEL_IS_OPEN:
            raise refused_by_proxy(proxy.host, route.host, answer.status, answer.words)
        connection.sock.settimeout(CONNECT_SECONDS)

    def _context(self, certificates: Certificates) -> ssl.SSLContext:
        context = self._contexts.get(certificates)
        if context is None:
            context = self._contexts[certificates] = _new_context(certificates)
        return context

    def _secured(self, sock: AnySocket, name: str, certificates: Certificates) -> AnySocket:
        """TLS over a socket, which is closed where it fails."""
        import ssl

        context = self._context(certificates)
        if isinstance(sock, ssl.SSLSocket) or not isinstance(sock, socket):
            from casstore.registry.tlsintls import TlsInTls

            return TlsInTls(sock, context, name.rstrip("."))
        # `ssl` makes one of its own of it, and asks for no more than the C module's has.
        plain: Any = sock
        return context.wrap_socket(plain, server_hostname=name.rstrip("."))


def _new_context(certificates: Certificates) -> ssl.SSLContext:
    import ssl

    context = ssl.create_default_context()  # honours SSL_CERT_FILE and SSL_CERT_DIR
    context.set_alpn_protocols(["http/1.1"])
    if not certificates.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    where = f"certificates in {quote(certificates.folder)}"
    try:
        if certificates.folder:
            _add_certificates(context, certificates.folder)
        for path in certificates.authorities:
            where = f"certificate {quote(path)}"
            context.load_verify_locations(cafile=path)
        for path, key in certificates.clients:
            where = f"certificate {quote(path)}"
            context.load_cert_chain(path, key or None)
    except (OSError, ssl.SSLError) as error:
        raise RegistryError(f"cannot use the {where}: {error}") from None
    return context


def _add_certificates(context: ssl.SSLContext, folder: str) -> None:
    """Docker's folder of one registry: *.crt are authorities, NAME.cert and NAME.key a client."""
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if name.endswith(".crt"):
            context.load_verify_locations(cafile=path)
        elif name.endswith(".cert"):
            context.load_cert_chain(path, path.removesuffix(".cert") + ".key")
