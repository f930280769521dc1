"""Lists: the tags of a repository, the repositories of the store, what refers to a manifest."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any
from urllib.parse import quote as encoded
from urllib.parse import urlencode

from casstore.model import mediatype
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest
from casstore.model.manifest import Manifest, parse_document
from casstore.ports.view import View
from casstore.server.message import Response
from casstore.server.registry.call import Call, digest_of
from casstore.server.registry.refusals import NAME_UNKNOWN, SIZE_INVALID, ApiError
from casstore.server.registry.repository import shown_name

MOST = 10_000  # entries of one answer, where the client asks for more, or does not say


def get_tags(call: Call) -> Response:
    """GET of the tags of a repository."""
    count, last = _page(call)
    view, repository = call.view(), call.repository
    with view.snapshot():
        found = repository.tags(view, last, count + 1)
        if not found and not repository.is_there(view):
            raise ApiError(404, NAME_UNKNOWN, f"repository {repository.asked} is not in the store")
    tags = found[:count]
    path = f"/v2/{encoded(repository.asked)}/tags/list"
    headers = _link(call, path, count, tags[-1:] if len(found) > count else [])
    return Response.of_json(200, {"name": repository.asked, "tags": tags}, headers)


def get_catalog(call: Call) -> Response:
    """GET of all repositories."""
    count, last = _page(call)
    host = call.request.argument("ns", call.options.default_host)
    every = sorted({shown_name(name.repository, host) for name in call.view().all_names()})
    after = bisect_right(every, last) if last else 0
    names = every[after : after + count]
    more = len(every) > after + count
    headers = _link(call, "/v2/_catalog", count, names[-1:] if more else [])
    return Response.of_json(200, {"repositories": names}, headers)


def get_referrers(call: Call) -> Response:
    """GET of what refers to a manifest: an index of descriptors, empty where nothing does."""
    subject = digest_of(call.word)
    wanted = call.request.argument("artifactType")
    view = call.view()
    with view.snapshot():
        found = _referrers(call, view, subject) if subject is not None else []
    if wanted:
        found = [one for one in found if one["artifactType"] == wanted]
    index = {"schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": found}
    filters = [("OCI-Filters-Applied", "artifactType")] if wanted else []
    return Response.of_json(200, index, filters, media_type=mediatype.OCI_INDEX)


def _referrers(call: Call, view: View, subject: Digest) -> list[dict[str, Any]]:
    found = []
    for artifact in view.referrers_of(subject):
        for top in view.tops_of(artifact):
            described = _described(call.backend.blobs.read(top.digest), top, subject)
            if described is not None and call.repository.has(view, top.digest):
                found.append(described)
    return found


def _described(content: bytes, top: Descriptor, subject: Digest) -> dict[str, Any] | None:
    """The descriptor of a referrer (distribution-spec, "Listing Referrers"); None of another."""
    document = parse_document(content, top)
    if document.subject is None or document.subject.descriptor.digest != subject:
        return None
    config = document.config if isinstance(document, Manifest) else None
    kind = document.artifact_type or (config.descriptor.media_type if config else "")
    described: dict[str, Any] = {
        "mediaType": top.media_type,
        "digest": top.digest,
        "size": top.size,
        "artifactType": kind,
    }
    if document.annotations:
        described["annotations"] = document.annotations
    return described


def _page(call: Call) -> tuple[int, str]:
    """How many entries are wanted, and after which one. Raises ApiError."""
    text = call.request.argument("n")
    if text and not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ApiError(400, SIZE_INVALID, "n must be a number that is not negative")
    return min(int(text), MOST) if text else MOST, call.request.argument("last")


def _link(call: Call, path: str, count: int, last: list[str]) -> list[tuple[str, str]]:
    """The field that leads to the next page, if there is one."""
    if not last or not count:
        return []
    arguments = {"n": str(count), "last": last[0]}
    if ns := call.request.argument("ns"):
        arguments["ns"] = ns
    return [("Link", f'<{path}?{urlencode(arguments)}>; rel="next"')]
