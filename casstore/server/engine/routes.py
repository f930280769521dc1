"""The routes of the Engine API: which function answers which call.

A name may hold slashes, as those of images do. The first row that fits counts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from casstore.server.engine import (
    absent,
    archives,
    containerfiles,
    containers,
    events,
    exchange,
    inspection,
    listing,
    naming,
    system,
)
from casstore.server.engine.failures import NoSuchRoute

if TYPE_CHECKING:
    from collections.abc import Callable

    from casstore.server.engine.call import Call
    from casstore.server.message import Response

    Handler = Callable[[Call], Response]

GET, HEAD, POST, DELETE, PUT = "GET", "HEAD", "POST", "DELETE", "PUT"


class Route(NamedTuple):
    """A row of the table."""

    methods: tuple[str, ...]
    pattern: str
    handler: Handler
    since: int = 24  # the minor version of the API that brought it
    changes: bool = False  # something in the store; not for one that is only read

    def matches(self, path: str) -> re.Match[str] | None:
        """The parts of a path that fits."""
        return _compiled(self.pattern).fullmatch(path)


LOOK = (GET, HEAD)

ROUTES = (
    # The server
    Route(LOOK, "/_ping", system.ping),
    Route(LOOK, "/version", system.version),
    Route(LOOK, "/info", system.info),
    Route(LOOK, "/system/df", system.disk_usage, since=25),
    Route((POST,), "/auth", exchange.check_login),
    Route(LOOK, "/events", events.events),
    # Images
    Route(LOOK, "/images/json", listing.list_images),
    Route(LOOK, "/images/search", naming.search),
    Route(LOOK, "/images/get", archives.save_images),
    Route(LOOK, "/images/{name}/json", inspection.inspect_image),
    Route(LOOK, "/images/{name}/history", inspection.history),
    Route(LOOK, "/images/{name}/get", archives.save_image),
    Route((POST,), "/images/load", archives.load, changes=True),
    Route((POST,), "/images/create", archives.create, changes=True),
    Route((POST,), "/images/prune", naming.prune_images, since=25, changes=True),
    Route((POST,), "/images/{name}/push", exchange.push, changes=True),
    Route((POST,), "/images/{name}/tag", naming.tag_image, changes=True),
    Route((DELETE,), "/images/{name}", naming.remove_image, changes=True),
    Route(LOOK, "/distribution/{name}/json", exchange.distribution, since=30),
    # Containers, which are leases
    Route(LOOK, "/containers/json", containers.list_containers),
    Route((POST,), "/containers/create", containers.create_container, changes=True),
    Route((POST,), "/containers/prune", containers.prune_containers, since=25, changes=True),
    Route(LOOK, "/containers/{name}/json", containers.inspect_container),
    Route(LOOK, "/containers/{name}/changes", containers.changes),
    Route(LOOK, "/containers/{name}/export", containerfiles.export),
    Route(LOOK, "/containers/{name}/archive", containerfiles.archive),
    Route((PUT,), "/containers/{name}/archive", absent.no_copy_in),
    Route((DELETE,), "/containers/{name}", containers.remove_container, changes=True),
    Route((GET, HEAD, POST), "/containers/{name}/{verb}", containers.not_run),
    Route((GET, POST), "/exec/{name}/{verb}", absent.no_exec),
    Route((POST,), "/commit", absent.no_commit),
    # What there is nothing of
    Route((POST,), "/build", absent.no_builds),
    Route((POST,), "/build/prune", absent.prune_builds, since=31),
    Route(LOOK, "/networks", absent.nothing),
    Route((POST,), "/networks/create", absent.no_networks),
    Route((POST,), "/networks/prune", absent.prune_networks, since=25),
    Route((GET, HEAD, DELETE), "/networks/{name}", absent.no_network),
    Route(LOOK, "/volumes", absent.no_volumes),
    Route((POST,), "/volumes/create", absent.no_new_volumes),
    Route((POST,), "/volumes/prune", absent.prune_volumes, since=25),
    Route((GET, HEAD, DELETE), "/volumes/{name}", absent.no_volume),
    Route(LOOK, "/plugins", absent.nothing, since=25),
    Route(LOOK, "/plugins/{name}/json", absent.no_plugin, since=25),
    Route((GET, POST, DELETE), "/plugins/{name}", absent.no_plugins, since=25),
    Route((GET, HEAD, POST), "/swarm{name}", absent.no_swarm),
    *(
        Route((GET, HEAD, POST, DELETE), f"/{kind}{{name}}", absent.no_swarm)
        for kind in ("nodes", "services", "tasks", "secrets", "configs")
    ),
)

_PATTERNS: dict[str, re.Pattern[str]] = {}


def _compiled(pattern: str) -> re.Pattern[str]:
    known = _PATTERNS.get(pattern)
    if known is None:
        text = re.escape(pattern).replace(r"\{verb\}", r"[^/]+")
        # what has no slash before it may be empty: the whole of /nodes
        text = text.replace(r"/\{name\}", r"/(?P<name>.+)").replace(
            r"\{name\}", r"(?P<name>(?:/.*)?)"
        )
        known = _PATTERNS[pattern] = re.compile(text, re.DOTALL)
    return known


def route_for(method: str, path: str, version: tuple[int, int]) -> tuple[Route, dict[str, str]]:
    """The row for a call, and what its pattern names. Raises NoSuchRoute."""
    for route in ROUTES:
        if method in route.methods and version >= (1, route.since):
            match = route.matches(path)
            if match is not None:
                return route, match.groupdict()
    raise NoSuchRoute("page not found")
