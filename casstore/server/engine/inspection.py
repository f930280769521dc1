"""GET /images/{name}/json and /history: one image, in the shape of the version asked for.

What changed with a version is in Docker's version history of the API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from casstore.errors import NotFound, UsageError
from casstore.model.dockertypes import NO_TIME
from casstore.model.mediatype import is_index
from casstore.model.platform import parse_platform, shown, this_machine
from casstore.queries.history import image_history
from casstore.rules.resolve import resolve
from casstore.server.engine.call import json_answer
from casstore.server.engine.listing import SECOND
from casstore.server.engine.manifests import descriptor, summaries

if TYPE_CHECKING:
    from casstore.model.digest import Digest
    from casstore.server.engine.call import Call
    from casstore.server.message import Response
    from casstore.store import Store

_NO_SECONDS = -62135596800
# Fields of a container that stood beside those of an image's config, until 1.50.
_OF_CONTAINERS = (
    "Hostname", "Domainname", "AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin",
    "StdinOnce", "Image", "NetworkDisabled", "MacAddress", "StopTimeout",
)  # fmt: skip


def inspect_image(call: Call) -> Response:
    """One image."""
    wants_manifests = call.flag("manifests") and not call.before(48)
    platform = None if call.before(49) else call.platform()
    if wants_manifests and platform is not None:
        raise UsageError('conflicting options: "manifests" and "platform" options are exclusive')
    image = resolve(call.store.session.view(), call.name).image
    document = shape_of(call.store, image, platform)
    _for_version(call, document)
    if not call.before(48):
        document["Descriptor"] = descriptor(call.store.session.view().tops_of(image)[0])
    if wants_manifests:
        document["Manifests"] = summaries(call.store, image)
    return json_answer(200, document)


def shape_of(store: Store, image: Digest, platform: str | None = None) -> dict[str, Any]:
    """An image as Docker 20.10 shows it; of an index what it has for a platform.

    Without `platform` that is the one of this machine, or as little as is known of all.

    Raises:
        NotFound: there is nothing for the platform.
    """
    if platform is not None:
        document = store.inspect(image, platform=platform)
    else:
        document = store.inspect(image)
        if _is_index(store, image):
            try:
                document = store.inspect(image, platform=shown(this_machine()))
            except NotFound:
                pass
    # The ID by which the client can ask again; in an index each platform has one of its own.
    document["Id"] = image
    return document


def _is_index(store: Store, image: Digest) -> bool:
    return is_index(store.session.view().tops_of(image)[0].media_type)


def _for_version(call: Call, document: dict[str, Any]) -> None:
    if not call.before(44):
        del document["VirtualSize"]
        if document["Created"] == NO_TIME:
            del document["Created"]
    if not call.before(45):
        del document["Container"], document["ContainerConfig"]
    if not call.before(50):
        for name in _OF_CONTAINERS:
            document["Config"].pop(name, None)


def history(call: Call) -> Response:
    """The steps of an image, newest first."""
    text = None if call.before(48) else call.platform()
    platform = parse_platform(text) if text is not None else None
    view, blobs = call.store.session.view(), call.store.session.backend.blobs
    if platform is None and _is_index(call.store, resolve(view, call.name).image):
        platform = this_machine()
    rows = image_history(view, blobs, call.name, platform)
    unknown = _NO_SECONDS if call.before(44) else 0
    return json_answer(
        200,
        [
            {
                "Comment": row.comment,
                "Created": unknown if row.created is None else row.created // SECOND,
                "CreatedBy": row.created_by,
                "Id": row.id or "<missing>",
                "Size": row.size,
                "Tags": [name.familiar for name in row.tags] or None,
            }
            for row in rows
        ],
    )
