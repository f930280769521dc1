"""GET /images/json: the list of images, in the shape of the version that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from casstore.server.engine.call import json_answer
from casstore.server.engine.containers import container_counts
from casstore.server.engine.manifests import descriptor, summaries

if TYPE_CHECKING:
    from casstore.model.digest import Digest
    from casstore.results.images import ImageSummary
    from casstore.server.engine.call import Call
    from casstore.server.message import Response

SECOND = 1_000_000_000
UNKNOWN = -1  # a size or count that was not asked for
_NO_TIME = -62135596800  # seconds from 1970 back to Go's zero time, which older dockerds send
_NONE_TAGS = ("<none>:<none>",)  # what an image without a name has before 1.43
_NONE_DIGESTS = ("<none>@<none>",)


def list_images(call: Call) -> Response:
    """The images, newest first."""
    filters = call.image_filters()
    if call.before(41) and call.argument("filter"):  # the singular form, which 1.41 took away
        filters.append(f"reference={call.argument('filter')}")
    store = call.store
    shared: dict[Digest, int] = {}
    if call.flag("shared-size"):
        shared = {row.id: row.file_shared for row in store.df().rows}
    held = {} if call.before(51) else container_counts(store)
    tops: dict[Digest, dict[str, Any]] = {}
    if not call.before(48):
        for image, top in store.session.view().all_tops():
            tops.setdefault(image, descriptor(top))
    everything = call.flag("all")
    rows = []
    for one in store.each_image(all=everything, filters=filters):
        row = image_row(
            call,
            one,
            shared=shared.get(one.id, UNKNOWN),
            containers=UNKNOWN if call.before(51) else held.get(one.id, 0),
        )
        if one.id in tops:
            row["Descriptor"] = tops[one.id]
        rows.append(row)
    if call.flag("manifests") and not call.before(47):
        for row in rows:
            row["Manifests"] = summaries(store, row["Id"])
    return json_answer(200, rows)


def image_row(call: Call, one: ImageSummary, *, shared: int, containers: int) -> dict[str, Any]:
    """An image as a row of a list and of /system/df."""
    tags = [name.familiar for name in one.names if name.tag is not None]
    digests = [name.familiar for name in one.names if name.tag is None]
    if call.before(43) and not tags and not digests:
        tags, digests = list(_NONE_TAGS), list(_NONE_DIGESTS)
    no_list: list[str] | None = None if call.before(43) else []
    unknown_time = _NO_TIME if call.before(44) else 0
    row: dict[str, Any] = {
        "Containers": containers,
        "Created": unknown_time if one.created is None else one.created // SECOND,
        "Id": one.id,
        "Labels": dict(one.labels) or None,
        "ParentId": one.parent or "",
        "RepoDigests": digests or no_list,
        "RepoTags": tags or no_list,
        "SharedSize": shared,
        "Size": one.size,
    }
    if call.before(44):
        row["VirtualSize"] = one.size
    return row
