"""Uploads: blobs that arrive in one request, or in as many as the client likes.

Source: OCI distribution-spec 1.1, "Pushing blobs". An upload is known to the store alone, so that
any process that serves it can take the next piece. A blob that is there, in whatever repository, is
mounted for who asks: whoever may push may see every repository.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote as encoded
from urllib.parse import urlencode

from casstore.errors import NotFound, Refused, WrongOffset
from casstore.server.message import BrokenBody, Response
from casstore.server.registry.call import Call, digest_of
from casstore.server.registry.refusals import (
    BLOB_UPLOAD_INVALID,
    BLOB_UPLOAD_UNKNOWN,
    DIGEST_INVALID,
    SIZE_INVALID,
    ApiError,
)
from casstore.store.receiving import uploads_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from casstore.model.digest import Digest
    from casstore.ports.uploads import Uploads

    T = TypeVar("T")


def post_upload(call: Call) -> Response:
    """POST: begin an upload; or mount a blob; or take a whole blob at once."""
    uploads = uploads_of(call.store.session)
    mount, digest = call.request.argument("mount"), call.request.argument("digest")
    if mount:
        wanted = digest_of(mount)
        if wanted is not None and _is_there(call, uploads, wanted):
            return _created(call, wanted)
    if not digest:
        return _accepted(call, uploads.begin(), 0)
    wanted = _digest(digest)
    upload = uploads.begin()
    try:
        uploads.append(upload, call.request.body)
        return _finished(call, uploads, upload, wanted)
    except BaseException:
        _cancel(uploads, upload)
        raise


def get_upload(call: Call) -> Response:
    """GET: how much of an upload has arrived."""
    uploads = uploads_of(call.store.session)
    return _progress(call, 204, call.word, _known(uploads.size, call.word))


def patch_upload(call: Call) -> Response:
    """PATCH: another piece."""
    uploads = uploads_of(call.store.session)
    return _accepted(call, call.word, _append(call, uploads))


def put_upload(call: Call) -> Response:
    """PUT: the last piece, or none, and the digest of the whole."""
    uploads = uploads_of(call.store.session)
    digest = call.request.argument("digest")
    if not digest:
        raise ApiError(400, DIGEST_INVALID, "the digest of the blob is missing")
    wanted = _digest(digest)
    _append(call, uploads)
    return _finished(call, uploads, call.word, wanted)


def delete_upload(call: Call) -> Response:
    """DELETE: the client has given up."""
    _known(uploads_of(call.store.session).cancel, call.word)
    return Response(204)


def _append(call: Call, uploads: Uploads) -> int:
    """Add the body; how much there is then."""
    upload, body = call.word, call.request.body
    offset = _offset(call)
    try:
        return uploads.append(upload, body, offset)
    except WrongOffset as error:
        raise ApiError(
            416, BLOB_UPLOAD_INVALID, str(error),
            headers=tuple(_progress(call, 416, upload, error.size).headers),
        ) from None  # fmt: skip
    except NotFound as error:
        raise _unknown(error) from None


def _offset(call: Call) -> int | None:
    """Where the piece begins, if the client says so. Raises ApiError."""
    text = call.request.headers.get("content-range").strip()
    if not text:
        return None
    # `<start>-<end>`, not as HTTP has it; some clients write that all the same
    first, dash, last = text.removeprefix("bytes").strip().partition("/")[0].partition("-")
    if not (dash and all(part.isascii() and part.isdigit() for part in (first, last))):
        raise ApiError(400, BLOB_UPLOAD_INVALID, "Content-Range is not of the form start-end")
    start, end = int(first[:19]), int(last[:19])
    length = call.request.body.length
    if length is not None and end - start + 1 != length:
        raise ApiError(
            400, SIZE_INVALID, f"Content-Range is of {end - start + 1} bytes, the body of {length}"
        )
    return start


def _finished(call: Call, uploads: Uploads, upload: str, digest: Digest) -> Response:
    try:
        uploads.finish(upload, digest)
    except NotFound as error:
        raise _unknown(error) from None
    except BrokenBody:
        raise
    except Refused as error:
        raise ApiError(400, DIGEST_INVALID, str(error)) from None
    return _created(call, digest)


def _cancel(uploads: Uploads, upload: str) -> None:
    try:
        uploads.cancel(upload)
    except NotFound:
        pass  # it is finished, or its content was wrong


def _known(act: Callable[[str], T], upload: str) -> T:
    try:
        return act(upload)
    except NotFound as error:
        raise _unknown(error) from None


def _unknown(error: NotFound) -> ApiError:
    return ApiError(404, BLOB_UPLOAD_UNKNOWN, str(error))


def _digest(text: str) -> Digest:
    digest = digest_of(text)
    if digest is None:
        raise ApiError(400, DIGEST_INVALID, "this registry knows sha256 alone")
    return digest


def _is_there(call: Call, uploads: Uploads, digest: Digest) -> bool:
    return call.view().blob_size(digest) is not None or uploads.find(digest) is not None


def _accepted(call: Call, upload: str, size: int) -> Response:
    return _progress(call, 202, upload, size)


def _progress(call: Call, status: int, upload: str, size: int) -> Response:
    headers = [
        ("Location", _location(call, f"blobs/uploads/{upload}")),
        ("Range", f"0-{max(size - 1, 0)}"),
        ("Docker-Upload-UUID", upload),
    ]
    return Response(status, headers)


def _created(call: Call, digest: Digest) -> Response:
    headers = [
        ("Location", _location(call, f"blobs/{digest}")),
        ("Docker-Content-Digest", digest),
    ]
    return Response(201, headers)


def _location(call: Call, rest: str) -> str:
    path = f"/v2/{encoded(call.repository.asked)}/{rest}"
    ns = call.request.argument("ns")
    return f"{path}?{urlencode({'ns': ns})}" if ns else path
