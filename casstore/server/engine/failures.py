"""What went wrong, in dockerd's words: a status and `{"message": ...}`.

The one place that knows which error is which status. Texts of errors are dockerd's already where
they come from rules that are Docker's; of conflicts they are made here, from what the error knows.
"""

from __future__ import annotations

import hashlib

from casstore.errors import (
    CasstoreError,
    Conflict,
    Damaged,
    InvalidReference,
    Locked,
    NotFound,
    Refused,
    StorageError,
    Unsupported,
    UsageError,
)
from casstore.model.digest import Digest
from casstore.registry.auth import Unauthorized
from casstore.rules.filters import BadFilter
from casstore.server.engine.call import json_answer
from casstore.server.message import BrokenBody, Response

RETRY_SECONDS = 5  # what a client is told to wait while another process keeps the store


class NoSuchRoute(CasstoreError):
    """Nothing is served under a path, or not by this method, or not in this version."""


class Forbidden(CasstoreError):
    """The server only reads, and the call would change something."""


class NoSwarm(CasstoreError):
    """What only a manager of a swarm answers."""


class InUse(CasstoreError):
    """A name that is taken, or a container that cannot go."""


# The first that fits counts.
_STATUS: tuple[tuple[type[CasstoreError], int], ...] = (
    (NoSuchRoute, 404),
    (NotFound, 404),
    (Conflict, 409),
    (InUse, 409),
    (UsageError, 400),
    (InvalidReference, 400),
    (BadFilter, 400),
    (Forbidden, 403),
    (NoSwarm, 503),
    (Unauthorized, 401),
    (Locked, 503),
    (Unsupported, 501),
    (Refused, 400),
    (StorageError, 500),
    (Damaged, 500),
    (CasstoreError, 500),
)


def failed(error: CasstoreError) -> Response:
    """The answer to a call that failed."""
    answer = json_answer(status_of(error), {"message": message_of(error)})
    if isinstance(error, Locked):
        answer.headers.append(("Retry-After", str(RETRY_SECONDS)))
    return answer


def status_of(error: CasstoreError) -> int:
    """The status that stands for an error."""
    if isinstance(error, BrokenBody):
        return error.status
    return next(status for kind, status in _STATUS if isinstance(error, kind))


def message_of(error: CasstoreError) -> str:
    """What dockerd says."""
    if isinstance(error, Conflict) and error.cause:
        return _conflict(error)
    return str(error)


def _conflict(error: Conflict) -> str:
    short = Digest(error.image).short
    if error.cause == "last name":
        said = f'unable to remove repository reference "{error.argument}" (must force)'
        if not error.lease:
            return f"conflict: {said} - image {short} is pinned"
        holder = container_id(error.lease, error.image)[:12]
        return f"conflict: {said} - container {holder} is using its referenced image {short}"
    why = {
        "children": "has dependent child images",
        "names": "is referenced in multiple repositories",
        "pin": "is pinned",
    }.get(error.cause)
    if why is None:
        kind = "stopped" if error.forceable else "running"
        why = f"is being used by {kind} container {container_id(error.lease, error.image)[:12]}"
    force = "must" if error.forceable else "cannot"
    return f"conflict: unable to delete {short} ({force} be forced) - image {why}"


def container_id(lease: str, image: str) -> str:
    """The ID of the container that a lease stands for: 64 hex digits, the same in every process."""
    return hashlib.sha256(f"casstore lease\0{lease}\0{image}".encode()).hexdigest()
