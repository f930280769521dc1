"""Containers, which are leases here: they hold an image, and nothing runs in them.

`docker create` makes a soft lease by the container's name, which ends with `docker rm`. All leases
of the store are listed: soft ones as containers that were created, hard ones, which a process
holds, as running. The ID of a container follows from the lease's name and image, so that each
process of the server knows it. Its lease is made for a century: its end tells when it was made.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from casstore.clock import current_time
from casstore.errors import NotFound, Unsupported, UsageError
from casstore.model.digest import is_hex
from casstore.model.rfc3339 import format_time
from casstore.rules.filters import BadFilter
from casstore.rules.resolve import resolve
from casstore.server.engine.call import json_answer
from casstore.server.engine.failures import InUse, container_id
from casstore.server.message import Response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from casstore.model.digest import Digest
    from casstore.results.leases import LeaseInfo
    from casstore.server.engine.call import Call
    from casstore.store import Store

SECOND = 1_000_000_000
CENTURY = 36_525 * 86_400  # seconds
# Marks the leases that `docker create` made: `docker container prune` ends no others.
PREFIX = "docker-"
MAX_NAME = 100
CREATED, RUNNING = "created", "running"

_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_LEGAL = _FIRST | frozenset("_.-")
# Filters of dockerd's that no lease can pass, for it has none of these.
_NEVER = frozenset(("label", "volume", "network", "publish", "expose", "exited", "annotation"))
_KNOWN = _NEVER | frozenset(
    ("id", "name", "status", "ancestor", "before", "since", "health", "isolation", "is-task")
)


class Container(NamedTuple):
    """A lease as a container."""

    id: str
    name: str  # without the slash that Docker puts before it
    lease: str
    image: Digest
    is_running: bool
    created: int  # ns; of a hard lease, and of one that docker create has not made, unknown: 0

    @property
    def state(self) -> str:
        """In Docker's word."""
        return RUNNING if self.is_running else CREATED

    @property
    def status(self) -> str:
        """As `docker ps` shows it."""
        return "Up" if self.is_running else "Created"


def containers_of(store: Store) -> list[Container]:
    """Every lease, the newest first, as far as that is known."""
    found = {one.id: one for one in map(_container, store.leases.list())}
    return sorted(found.values(), key=lambda one: (-one.created, one.name, one.id))


def _container(lease: LeaseInfo) -> Container:
    created = 0
    is_own = lease.kind == "soft" and lease.name.startswith(PREFIX)
    if is_own and lease.expires is not None:
        created = max(0, lease.expires - CENTURY * SECOND)
    name = lease.name.removeprefix(PREFIX) if is_own else lease.name
    own_id = container_id(lease.name, lease.image)
    return Container(own_id, name, lease.name, lease.image, lease.kind == "hard", created)


def container_counts(store: Store) -> dict[Digest, int]:
    """How many containers each image has."""
    counts: dict[Digest, int] = {}
    for one in containers_of(store):
        counts[one.image] = counts.get(one.image, 0) + 1
    return counts


def find(store: Store, wanted: str) -> Container:
    """A container by its name, its ID or a prefix of that. Raises NotFound."""
    every = containers_of(store)
    plain = wanted.removeprefix("/")
    for one in every:
        if plain in (one.id, one.name):
            return one
    fitting = [one for one in every if is_hex(plain) and one.id.startswith(plain)]
    if len(fitting) != 1:
        raise NotFound(f"No such container: {wanted}")
    return fitting[0]


def create_container(call: Call) -> Response:
    """POST /containers/create: a lease on the image."""
    given = call.document()
    wanted = given.get("Image")
    if not isinstance(wanted, str) or not wanted:
        raise UsageError("Config cannot be empty in order to create a container")
    name = call.argument("name").removeprefix("/")
    if name and (name[0] not in _FIRST or not _LEGAL.issuperset(name) or len(name) > MAX_NAME):
        raise UsageError(
            f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )
    name = name or f"{os.urandom(6).hex()}"
    image = resolve(call.store.session.view(), wanted).image
    for one in containers_of(call.store):
        if one.name == name:
            raise InUse(
                f'Conflict. The container name "/{name}" is already in use by container'
                f' "{one.id}". You have to remove (or rename) that container to be able to reuse'
                " that name."
            )
    call.store.leases.add(PREFIX + name, image, CENTURY)
    return json_answer(201, {"Id": container_id(PREFIX + name, image), "Warnings": []})


def list_containers(call: Call) -> Response:
    """GET /containers/json: leases that processes hold; with `all`, every one."""
    filters: dict[str, list[str]] = {}
    for name, value in call.filters():
        if name not in _KNOWN:
            raise BadFilter(f"Invalid filter '{name}'")
        filters.setdefault(name, []).append(value)
    limit = call.argument("limit")
    everything = call.flag("all") or bool(filters.get("status")) or _positive(limit)
    chosen = [one for one in containers_of(call.store) if everything or one.is_running]
    chosen = [one for one in chosen if _fits(call.store, one, filters)]
    if _positive(limit):
        chosen = chosen[: int(limit)]
    return json_answer(200, container_rows(call.store, chosen, sizes=call.flag("size")))


def _positive(text: str) -> bool:
    return text.isdecimal() and int(text) > 0


def _fits(store: Store, one: Container, filters: dict[str, list[str]]) -> bool:
    if not _NEVER.isdisjoint(filters):
        return False
    checks = {
        "id": one.id.startswith,
        "name": lambda value: value.removeprefix("/") in one.name,
        "status": lambda value: value == one.state,
        "health": lambda value: value == "none",
        "is-task": lambda value: value in ("false", "0"),
        "ancestor": lambda value: _descends(store, one.image, value),
    }
    return all(any(map(checks[name], values)) for name, values in filters.items() if name in checks)


def _descends(store: Store, image: Digest, ancestor: str) -> bool:
    view = store.session.view()
    try:
        wanted = resolve(view, ancestor).image
    except NotFound:
        return False
    above: Digest | None = image
    while above is not None and above != wanted:
        above = view.parent_of(above)
    return above is not None


def container_rows(
    store: Store, chosen: Iterable[Container], *, sizes: bool
) -> list[dict[str, Any]]:
    """Containers as a list and /system/df have them."""
    view = store.session.view()
    rows = []
    for one in chosen:
        names = [kept.name for kept in view.references_of(one.image)]
        tags = [name.familiar for name in names if name.tag is not None]
        size = {"SizeRootFs": view.facts_of(one.image).size} if sizes else {}
        rows.append(
            {
                "Id": one.id,
                "Names": [f"/{one.name}"],
                "Image": tags[0] if tags else one.image,
                "ImageID": one.image,
                "Command": "",
                "Created": one.created // SECOND,
                "Ports": [],
                **size,
                "Labels": {},
                "State": one.state,
                "Status": one.status,
                "HostConfig": {"NetworkMode": "none"},
                "NetworkSettings": {"Networks": {}},
                "Mounts": [],
            }
        )
    return rows


def inspect_container(call: Call) -> Response:
    """GET /containers/{name}/json."""
    from casstore.server.engine.inspection import shape_of

    one = find(call.store, call.name)
    image = shape_of(call.store, one.image)
    config = {**image["Config"], "Image": one.image, "Hostname": one.id[:12]}
    command = [*(config.get("Entrypoint") or []), *(config.get("Cmd") or [])]
    no_time = "0001-01-01T00:00:00Z"
    shape: dict[str, Any] = {
        "Id": one.id,
        "Created": format_time(one.created),
        "Path": command[0] if command else "",
        "Args": command[1:],
        "State": {
            "Status": one.state, "Running": one.is_running, "Paused": False, "Restarting": False,
            "OOMKilled": False, "Dead": False, "Pid": 0, "ExitCode": 0, "Error": "",
            "StartedAt": no_time, "FinishedAt": no_time,
        },
        "Image": one.image,
        "ResolvConfPath": "", "HostnamePath": "", "HostsPath": "", "LogPath": "",
        "Name": f"/{one.name}",
        "RestartCount": 0,
        "Driver": "casstore",
        "Platform": "linux",
        "MountLabel": "", "ProcessLabel": "", "AppArmorProfile": "",
        "ExecIDs": None,
        "HostConfig": {"NetworkMode": "none"},
        "GraphDriver": {"Data": None, "Name": "casstore"},
        "Mounts": [],
        "Config": config,
        "NetworkSettings": {"Networks": {}, "Ports": {}},
    }  # fmt: skip
    if call.flag("size"):
        shape |= {"SizeRw": 0, "SizeRootFs": image["Size"]}
    return json_answer(200, shape)


def remove_container(call: Call) -> Response:
    """DELETE /containers/{name}: the end of a lease, but of none that a process holds."""
    one = find(call.store, call.name)
    if one.is_running:
        raise InUse(
            f"You cannot remove a running container {one.id}. Stop the container before attempting"
            " removal or force remove: a process holds the lease, which ends with it"
        )
    call.store.leases.remove(one.lease)
    return Response(204)


def prune_containers(call: Call) -> Response:
    """POST /containers/prune: ends the leases that `docker create` has made, and no others."""
    filters = call.filters()
    for name, _ in filters:
        if name not in ("until", "label", "label!"):
            raise BadFilter(f"Invalid filter '{name}'")
    if any(name == "label" for name, _ in filters):  # a lease has no labels
        return json_answer(200, {"ContainersDeleted": None, "SpaceReclaimed": 0})
    ends = [value for name, value in filters if name == "until"]
    until = current_time() if not ends else _moment(ends)
    going = [
        one
        for one in containers_of(call.store)
        if not one.is_running and one.lease.startswith(PREFIX) and one.created <= until
    ]
    for one in going:
        call.store.leases.remove(one.lease)
    deleted = [one.id for one in going]
    return json_answer(200, {"ContainersDeleted": deleted or None, "SpaceReclaimed": 0})


def _moment(texts: list[str]) -> int:
    from casstore.rules.filters import parse_moment

    if len(texts) > 1:
        raise BadFilter("more than one until filter specified")
    return parse_moment(texts[0], current_time())


def changes(call: Call) -> Response:
    """GET /containers/{name}/changes: nothing has run, so nothing has changed."""
    find(call.store, call.name)
    return json_answer(200, None)


def not_run(call: Call) -> Response:
    """Whatever needs a process: there is none."""
    find(call.store, call.name)
    raise Unsupported(
        "casstore runs no containers: a container here holds an image, and its files can be read"
    )
