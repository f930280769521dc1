"""The files of a container, which are those of its image: docker export and docker cp."""

from __future__ import annotations

import base64
import json
import posixpath
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from casstore.errors import NotFound, Refused, UsageError
from casstore.model.fileentry import DIRECTORY, SYMLINK
from casstore.model.rfc3339 import format_time
from casstore.server.engine.archives import TAR
from casstore.server.engine.containers import find
from casstore.server.engine.lines import Output, Pieces
from casstore.server.engine.workshop import borrowed
from casstore.server.message import Response

if TYPE_CHECKING:
    from casstore.results.files import ImageFile
    from casstore.server.engine.call import Call
    from casstore.server.engine.lines import Give
    from casstore.store.files import ImageFiles

STAT = "X-Docker-Container-Path-Stat"
_BLOCK = 4096  # the size of a directory, where a file system has to say one
# The bits of Go's os.FileMode, beside the nine of permissions.
_KINDS = {
    "directory": 1 << 31,
    "symlink": 1 << 27,
    "block device": 1 << 26,
    "fifo": 1 << 25,
    "character device": 1 << 26 | 1 << 21,
}
_SPECIAL = {0o4000: 1 << 23, 0o2000: 1 << 22, 0o1000: 1 << 20}


def export(call: Call) -> Response:
    """GET /containers/{name}/export: all files as one tar."""
    image = find(call.store, call.name).image
    return _tar(call, lambda files, give: files.export(cast("BinaryIO", Output(give))), image)


def _tar(call: Call, write: Any, image: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    def work(give: Give) -> None:
        with borrowed(call.store) as store, store.files(image) as files:
            write(files, give)

    headers_too = [("Content-Type", TAR), *headers]
    if call.request.method == "HEAD":
        return Response(200, headers_too)
    return Response(200, headers_too, Pieces(work).started())


def archive(call: Call) -> Response:
    """GET and HEAD /containers/{name}/archive?path=…: a file or directory as a tar."""
    path = call.argument("path")
    if not path:
        raise UsageError("missing parameter: path")
    one = find(call.store, call.name)
    with call.store.files(one.image) as files:
        try:
            header = (STAT, _packed(_stat(files, path)))
        except NotFound:
            raise NotFound(f"Could not find the file {path} in container {call.name}") from None
    if call.request.method == "HEAD":
        return Response(200, [header])
    return _tar(
        call,
        lambda files, give: files.copy(path, cast("BinaryIO", Output(give))),
        one.image,
        (header,),
    )


def _stat(files: ImageFiles, path: str) -> dict[str, Any]:
    """What Docker's clients are told of a path. Raises NotFound."""
    last = path.rstrip("/").rpartition("/")[2]
    must_be_directory = path.endswith("/") or last in ("", ".", "..")
    file = files.resolve(path, follow_last=must_be_directory)
    if must_be_directory and file.kind != DIRECTORY:
        raise NotFound(f"{path} is not a directory")
    return {
        "name": posixpath.basename(path.rstrip("/")) or "/",
        "size": _size(file),
        "mode": go_mode(file),
        "mtime": format_time(file.mtime),
        "linkTarget": _link_target(files, path, file) if file.kind == SYMLINK else "",
    }


def _size(file: ImageFile) -> int:
    if file.kind == DIRECTORY:
        return _BLOCK
    return len(file.raw_target) if file.kind == SYMLINK else file.size


def go_mode(file: ImageFile) -> int:
    """A file's kind and permissions as Go's os.FileMode has them."""
    mode = file.mode & 0o777 | _KINDS.get(file.kind, 0)
    for bit, special in _SPECIAL.items():
        if file.mode & bit:
            mode |= special
    return mode


def _link_target(files: ImageFiles, path: str, link: ImageFile) -> str:
    """Where a link leads within the container, through all others; empty where to nothing."""
    try:
        return files.resolve(path).path
    except (NotFound, Refused):
        return posixpath.normpath(posixpath.join(posixpath.dirname(link.path), link.target or ""))


def _packed(stat: dict[str, Any]) -> str:
    return base64.b64encode(json.dumps(stat, separators=(",", ":")).encode()).decode("ascii")
