"""Manifests that are pushed, and manifests and tags that are removed.

Source: OCI distribution-spec 1.1, "Pushing Manifests" and "Content Management". What a removal
takes along, and what forbids it, are the rules of rmi.
"""

from __future__ import annotations

from urllib.parse import quote as encoded

from casstore.errors import Refused, Unsupported, quote
from casstore.flows.receive import BlobUnknown, type_of
from casstore.model.digest import sha256
from casstore.model.document import MAX_DOCUMENT
from casstore.model.reference import is_tag
from casstore.server.message import BrokenBody, Response, read_whole
from casstore.server.registry.call import Call, digest_of
from casstore.server.registry.refusals import (
    DENIED,
    DIGEST_INVALID,
    MANIFEST_BLOB_UNKNOWN,
    MANIFEST_INVALID,
    NAME_INVALID,
    ApiError,
)
from casstore.store.receiving import NotTrusted, Target, receive, remove, untag

MAX_TAGS = 32  # that one request gives (`?tag=`); each is a name that is looked up and written


def put_manifest(call: Call) -> Response:
    """PUT of a manifest or an index, whose blobs are there."""
    tags = _tags(call)
    data = read_whole(call.request.body, MAX_DOCUMENT)
    if ":" in call.word:
        digest = digest_of(call.word)
        if digest is None:
            raise ApiError(400, DIGEST_INVALID, "this registry knows sha256 alone")
        if sha256(data) != digest:
            raise ApiError(400, DIGEST_INVALID, f"the manifest is {sha256(data)}, not {digest}")
    told = call.request.headers.get("content-type").partition(";")[0].strip().lower()
    repository = call.repository
    try:
        media_type = type_of(data, told)
        target = Target(repository.name, tuple(tags), repository.has)
        received = receive(call.store.session, data, media_type, target)
    except BlobUnknown as error:
        raise ApiError(404, MANIFEST_BLOB_UNKNOWN, str(error)) from None
    except NotTrusted as error:
        raise ApiError(403, DENIED, str(error)) from None
    except BrokenBody:
        raise
    except (Refused, Unsupported) as error:
        raise ApiError(400, MANIFEST_INVALID, str(error)) from None
    headers = [
        ("Location", f"/v2/{encoded(repository.asked)}/manifests/{received.top.digest}"),
        ("Docker-Content-Digest", received.top.digest),
    ]
    if received.subject is not None:
        headers.append(("OCI-Subject", received.subject))
    headers += [("OCI-Tag", tag) for tag in tags if ":" in call.word]
    return Response(201, headers)


def delete_manifest(call: Call) -> Response:
    """DELETE of a tag, or by digest of a manifest with all its tags in the repository."""
    repository, session = call.repository, call.store.session
    if ":" not in call.word:
        if not is_tag(call.word):
            raise ApiError(400, NAME_INVALID, f"invalid tag {quote(call.word)}")
        untag(session, repository.tagged(call.word))
        return Response(202)
    digest = digest_of(call.word)
    if digest is None:
        raise ApiError(400, DIGEST_INVALID, "this registry knows sha256 alone")
    remove(session, repository.name, digest, repository.has)
    return Response(202)


def _tags(call: Call) -> list[str]:
    """The tags that a manifest is to have. Raises ApiError."""
    given = [call.word] if ":" not in call.word else list(call.request.query.get("tag", ()))
    for tag in given:
        if not is_tag(tag):
            raise ApiError(400, NAME_INVALID, f"invalid tag {quote(tag)}")
    if len(given) > MAX_TAGS:
        raise ApiError(400, NAME_INVALID, f"more than {MAX_TAGS} tags at once")
    return list(dict.fromkeys(given))
