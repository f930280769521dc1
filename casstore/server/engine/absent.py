"""What a daemon has and a store has not: networks, volumes, plugins, builds, a swarm.

Lists are empty, and what is asked for by name is not there: `docker inspect NAME` looks through
all kinds of things, and goes on only after a 404.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from casstore.errors import NotFound, Unsupported
from casstore.server.engine.call import json_answer
from casstore.server.engine.failures import NoSwarm

if TYPE_CHECKING:
    from casstore.server.engine.call import Call
    from casstore.server.message import Response


def nothing(_: Call) -> Response:
    """An empty list."""
    return json_answer(200, [])


def no_volumes(_: Call) -> Response:
    """GET /volumes."""
    return json_answer(200, {"Volumes": [], "Warnings": None})


def no_network(call: Call) -> NoReturn:
    """GET /networks/{name}."""
    raise NotFound(f"network {call.name} not found")


def no_volume(call: Call) -> NoReturn:
    """GET /volumes/{name}."""
    raise NotFound(f"get {call.name}: no such volume")


def no_plugin(call: Call) -> NoReturn:
    """GET /plugins/{name}/json."""
    raise NotFound(f'plugin "{call.name}" not found')


def no_exec(call: Call) -> NoReturn:
    """GET /exec/{name}/json."""
    raise NotFound(f"No such exec instance: {call.name}")


def no_swarm(_: Call) -> NoReturn:
    """Whatever only a manager of a swarm has."""
    raise NoSwarm("This node is not a swarm manager. casstore takes no part in a swarm.")


def prune_networks(_: Call) -> Response:
    """POST /networks/prune."""
    return json_answer(200, {"NetworksDeleted": None})


def prune_volumes(_: Call) -> Response:
    """POST /volumes/prune."""
    return json_answer(200, {"VolumesDeleted": [], "SpaceReclaimed": 0})


def prune_builds(_: Call) -> Response:
    """POST /build/prune."""
    return json_answer(200, {"CachesDeleted": None, "SpaceReclaimed": 0})


def no_builds(_: Call) -> NoReturn:
    """POST /build."""
    raise Unsupported("casstore builds no images: build elsewhere, and load the result")


def no_commit(_: Call) -> NoReturn:
    """POST /commit."""
    raise Unsupported("casstore runs no containers, so there is nothing to commit")


def no_networks(_: Call) -> NoReturn:
    """POST /networks/create."""
    raise Unsupported("casstore runs no containers, and has no networks for them")


def no_new_volumes(_: Call) -> NoReturn:
    """POST /volumes/create."""
    raise Unsupported("casstore runs no containers, and has no volumes for them")


def no_plugins(_: Call) -> NoReturn:
    """POST /plugins/…."""
    raise Unsupported("casstore has no plugins")


def no_copy_in(_: Call) -> NoReturn:
    """PUT /containers/{name}/archive."""
    raise Unsupported("casstore writes no files into a container: images do not change")
