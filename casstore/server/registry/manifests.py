"""Manifests and indexes, by tag and by digest: the bytes that were stored, under their type.

Nothing is converted, whatever Accept says: another form would have another digest. Clients of
today read all four types.
"""

from __future__ import annotations

import json

from casstore.model import mediatype
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest
from casstore.model.reference import is_tag
from casstore.ports.view import View
from casstore.server.message import Response
from casstore.server.registry import uses
from casstore.server.registry.call import Call, digest_of
from casstore.server.registry.conditions import etag, is_known
from casstore.server.registry.refusals import MANIFEST_UNKNOWN, ApiError


def get_manifest(call: Call) -> Response:
    """GET and HEAD of a manifest."""
    view = call.view()
    with view.snapshot():
        found = find_manifest(call, view)
    if found is None:
        raise ApiError(
            404, MANIFEST_UNKNOWN, f"manifest {call.word} is not in {call.repository.asked}"
        )
    digest, media_type = found
    headers = [("Docker-Content-Digest", digest), ("ETag", etag(digest))]
    if is_known(call.request, digest):
        return Response(304, headers)
    content = call.backend.blobs.read(digest)
    headers.append(("Content-Type", media_type or type_of(content)))
    if call.request.method == "GET" and not call.options.read_only:
        uses.note(call.backend, view.holders_of(digest))
    return Response(200, headers, content)


def find_manifest(call: Call, view: View) -> tuple[Digest, str] | None:
    """The manifest that a path names, with its type, or "" where only the document has that."""
    repository, word = call.repository, call.word
    if ":" not in word:
        top = view.top_named(repository.tagged(word)) if is_tag(word) else None
        return _found(top)
    digest = digest_of(word)
    if digest is None:
        return None
    top = view.top_named(repository.with_digest(digest))
    if top is not None:
        return _found(top)
    return (digest, "") if repository.has(view, digest) else None


def _found(top: Descriptor | None) -> tuple[Digest, str] | None:
    return None if top is None else (top.digest, top.media_type)


def type_of(content: bytes) -> str:
    """The media type of a manifest or index, which it need not say itself (OCI image-spec)."""
    document = json.loads(content)
    said = document.get("mediaType")
    if isinstance(said, str) and said:
        return said
    return mediatype.OCI_INDEX if "manifests" in document else mediatype.OCI_MANIFEST
