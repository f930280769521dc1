"""hosts.toml, as containerd and nerdctl read it: which hosts have what a registry has.

A folder `certs.d/HOST` (or `HOST_PORT_`, `HOST:PORT`, `_default`) is a registry's; the first that
is there counts. Its hosts are asked in their order, then its `server`. `dial_timeout` is passed
over.

Source: containerd, docs/hosts.md and core/remotes/docker/config/hosts.go.
"""

from __future__ import annotations

import os

from casstore.errors import RegistryError, printable, quote
from casstore.model.reference import DEFAULT_DOMAIN
from casstore.registry.address import host_of
from casstore.registry.endpoint import ALL, BY_DIGEST, BY_TAG, ROOT, Certificates, Endpoint
from casstore.registry.tomlfile import boolean, read_toml, text, texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

NAME = "hosts.toml"
_CAPABILITIES = frozenset(("pull", "resolve", "push"))
_FORBIDDEN = frozenset("\r\n\0")


def hosts_for(folders: Sequence[str], domain: str, path: str) -> list[Endpoint] | None:
    """Where a repository is looked for, in order; None where no file says so.

    Raises:
        RegistryError: a file cannot be read, or is not what it should be.
    """
    for base in folders:
        for name in dict.fromkeys((_with_port(domain), domain, "_default")):
            folder = os.path.join(base, name)
            if os.path.isdir(folder):
                file = os.path.join(folder, NAME)
                found = read_toml(file)
                if found is not None:
                    return _endpoints(found, file, domain, path)
                break  # Docker's certificates are there, or nothing is
    return None


def _with_port(domain: str) -> str:
    """`HOST_PORT_`, as containerd writes `HOST:PORT` where a name can have no colon."""
    name, colon, port = domain.rpartition(":")
    return f"{name}_{port}_" if colon else domain


def _endpoints(found: dict[str, Any], file: str, domain: str, path: str) -> list[Endpoint]:
    hosts = found.get("host", {})
    if not isinstance(hosts, dict) or not all(isinstance(one, dict) for one in hosts.values()):
        raise RegistryError(f"{printable(file)}: host is not a table of tables")
    made = [_endpoint(url, table, file, domain, path) for url, table in hosts.items()]
    server = text(found, "server", file)
    return [one for one in (*made, _endpoint(server, found, file, domain, path)) if one is not None]


def _endpoint(
    url: str, table: dict[str, Any], file: str, domain: str, path: str
) -> Endpoint | None:
    """A host; None for one that nothing may be pulled from."""
    if "proxy" in table:
        raise RegistryError(
            f"{printable(file)}: a proxy of a host is not supported: set HTTPS_PROXY"
        )
    scheme, host, root = _place(url, file, override=boolean(table, "override_path", file))
    usage = _usage(table, file)
    if usage is None:
        return None
    host = host or host_of(domain)
    is_mirror = host not in (domain, host_of(domain))
    return Endpoint(
        # A login for docker.io is one for the host that serves it.
        domain if not is_mirror else DEFAULT_DOMAIN if host == host_of(DEFAULT_DOMAIN) else host,
        path,
        scheme=scheme,
        root=root,
        namespace=domain if is_mirror else "",
        headers=_headers(table, file),
        certificates=_certificates(table, file),
        usage=usage,
        is_mirror=is_mirror,
    )


def _place(url: str, file: str, *, override: bool) -> tuple[str, str, str]:
    """Scheme, host and the root of the API."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        scheme, rest = "", url
    host, slash, path = rest.partition("/")
    if scheme not in ("", "http", "https") or (url and not host) or "@" in host or "?" in url:
        raise RegistryError(f"{printable(file)}: {quote(url)} is no address of a host")
    path = path.strip("/")
    if override:
        return scheme, host, slash and f"/{path}" if path else ""
    if not path:
        return scheme, host, ROOT
    return scheme, host, f"/{path}" if path.endswith(ROOT[1:]) else f"/{path}{ROOT}"


def _usage(table: dict[str, Any], file: str) -> str | None:
    said = set(texts(table, "capabilities", file))
    if said - _CAPABILITIES:
        raise RegistryError(
            f"{printable(file)}: unknown capability {quote(min(said - _CAPABILITIES))}"
        )
    if not said or said >= {"pull", "resolve"}:
        return ALL
    return BY_DIGEST if "pull" in said else BY_TAG if "resolve" in said else None


def _certificates(table: dict[str, Any], file: str) -> Certificates:
    base = os.path.dirname(file)
    clients = table.get("client", [])
    clients = [clients] if isinstance(clients, str) else clients
    pairs = []
    for one in clients if isinstance(clients, list) else [None]:
        pair = [one, ""] if isinstance(one, str) else one
        if (
            not isinstance(pair, list)
            or len(pair) != 2
            or not all(isinstance(p, str) for p in pair)
        ):
            raise RegistryError(
                f"{printable(file)}: client is no path, nor an array of paths or pairs"
            )
        certificate, key = (path and os.path.join(base, path) for path in pair)
        pairs.append((certificate, key))
    return Certificates(
        authorities=tuple(os.path.join(base, one) for one in texts(table, "ca", file)),
        clients=tuple(pairs),
        verify=not boolean(table, "skip_verify", file),
    )


def _headers(table: dict[str, Any], file: str) -> tuple[tuple[str, str], ...]:
    given = table.get("header", {})
    if not isinstance(given, dict):
        raise RegistryError(f"{printable(file)}: header is not a table")
    found = []
    for name in given:
        value = ", ".join(texts(given, name, file))
        plain = f"{name}{value}"
        if not name or not plain.isascii() or not plain.isprintable() or set(name) & set(": "):
            raise RegistryError(f"{printable(file)}: {quote(name)} is no header that can be sent")
        found.append((name, value))
    return tuple(found)
