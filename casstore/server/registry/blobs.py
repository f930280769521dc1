"""Blobs: read whole or in part, out of their files.

A blob is served in every repository if the store's index has it. A client that is about to push
asks for the layers first, and need not send those; and whoever may ask at all may see every
repository, so that nothing is given away.
"""

from __future__ import annotations

import os
from typing import IO

from casstore.errors import Damaged, NotFound
from casstore.model.digest import Digest
from casstore.server.message import FileRange, Response
from casstore.server.registry.call import Call, digest_of
from casstore.server.registry.conditions import Unsatisfiable, etag, is_known, wanted_range
from casstore.server.registry.refusals import BLOB_UNKNOWN, SIZE_INVALID, ApiError

_ANYTHING = "application/octet-stream"


def get_blob(call: Call) -> Response:
    """GET and HEAD of a blob."""
    digest = digest_of(call.word)
    size, is_upload = (None, False) if digest is None else _size(call, digest)
    if digest is None or size is None:
        raise ApiError(404, BLOB_UNKNOWN, f"blob {call.word} is not in the store")
    headers = [
        ("Docker-Content-Digest", digest),
        ("ETag", etag(digest)),
        ("Accept-Ranges", "bytes"),
        ("Cache-Control", "max-age=31536000"),
    ]
    if is_known(call.request, digest):
        return Response(304, headers)
    headers.append(("Content-Type", _ANYTHING))
    try:
        part = wanted_range(call.request, digest, size)
    except Unsatisfiable:
        raise ApiError(
            416, SIZE_INVALID, f"blob {digest} has {size} bytes",
            headers=(("Content-Range", f"bytes */{size}"),),
        ) from None  # fmt: skip
    status, start, length = 200, 0, size
    if part is not None:
        status, (start, length) = 206, part
        headers.append(("Content-Range", f"bytes {start}-{start + length - 1}/{size}"))
    if call.request.method == "HEAD":
        return Response(status, [*headers, ("Content-Length", str(length))])
    file = _open(call, digest, is_upload=is_upload)
    if os.fstat(file.fileno()).st_size != size:
        file.close()
        raise Damaged(f"blob {digest} has not the size that it had when it came")
    return Response(status, headers, FileRange(file, start, length))


def _size(call: Call, digest: Digest) -> tuple[int | None, bool]:
    """Bytes of a blob; and whether it is one that was uploaded, and that no manifest names yet."""
    size = call.view().blob_size(digest)
    if size is not None:
        return size, False
    if call.options.read_only:  # to find one is to note that somebody wants it
        return None, False
    return call.backend.uploads().find(digest), True


def _open(call: Call, digest: Digest, *, is_upload: bool) -> IO[bytes]:
    if is_upload:
        try:
            return call.backend.uploads().open(digest)
        except NotFound:
            pass  # a manifest names it since
    return call.backend.blobs.open(digest)
