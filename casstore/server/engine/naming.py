"""Names given and taken away: tag, DELETE and prune of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from casstore.errors import Unsupported
from casstore.model.reference import parse_name
from casstore.model.removal import UNTAGGED
from casstore.rules.filters import BadFilter
from casstore.server.engine.call import json_answer
from casstore.server.message import Response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from casstore.model.removal import Removed
    from casstore.server.engine.call import Call


def tag_image(call: Call) -> Response:
    """POST /images/{name}/tag: a name for an image."""
    call.store.tag(call.name, target_of(call.argument("repo"), call.argument("tag")))
    return Response(201)


def target_of(repository: str, tag: str) -> str:
    """A name from the arguments `repo` and `tag`; a tag there takes the place of one here."""
    if not tag:
        return repository
    name = parse_name(repository)
    return f"{name.repository}@{tag}" if ":" in tag else f"{name.repository}:{tag}"


def remove_image(call: Call) -> Response:
    """DELETE /images/{name}: what `rmi` does, told line by line."""
    if any(text.strip() for text in call.request.query.get("platforms", ())):
        raise Unsupported("casstore does not remove single platforms of an image")
    result = call.store.remove(
        [call.name], force=call.flag("force"), prune=not call.flag("noprune")
    )
    outcome = result.outcomes[0]
    if outcome.error is not None:
        raise outcome.error
    return json_answer(200, removed_lines(outcome.lines))


def prune_images(call: Call) -> Response:
    """POST /images/prune: dangling images, or with `dangling=false` all that nobody uses."""
    everything, filters = False, []
    for one in call.image_filters():
        name, _, value = one.partition("=")
        if name != "dangling":
            filters.append(one)
        elif value not in ("true", "false"):
            raise BadFilter(f"Invalid filter 'dangling=[{value}]'")
        else:
            everything = value == "false"
    result = call.store.prune(all=everything, filters=filters)
    if result.error is not None:
        raise result.error
    report = {
        "ImagesDeleted": removed_lines(result.removed) or None,
        "SpaceReclaimed": result.reclaimed,
    }
    return json_answer(200, report)


def removed_lines(lines: Iterable[Removed]) -> list[dict[str, Any]]:
    """What a removal did, in Docker's shape."""
    return [
        {"Untagged": line.text} if line.kind == UNTAGGED else {"Deleted": line.digest}
        for line in lines
    ]


def search(_: Call) -> Response:
    """GET /images/search: a store knows no other images than its own."""
    return json_answer(200, [])
