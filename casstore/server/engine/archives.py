"""Archives over the Engine API: images saved, loaded, and made from a file system."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from casstore.errors import Unsupported, UsageError
from casstore.flows.selection import chosen_images
from casstore.server.engine.lines import Output, Pieces, counted, line_of, progress_lines
from casstore.server.engine.naming import target_of
from casstore.server.engine.workshop import borrowed
from casstore.server.message import Response
from casstore.transfer.archive import LOADING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from casstore.progress import ProgressUpdate
    from casstore.results.exchange import LoadedImage
    from casstore.server.engine.call import Call
    from casstore.server.engine.lines import Give, Tell
    from casstore.server.message import Body

TAR = "application/x-tar"
_LOADING = "Loading layer"  # dockerd's words
_WHOLE = "archive"  # what is counted, where dockerd counts layer by layer


def save_image(call: Call) -> Response:
    """GET /images/{name}/get."""
    return _saved(call, [call.name])


def save_images(call: Call) -> Response:
    """GET /images/get?names=…: several, in one archive."""
    return _saved(call, list(call.request.query.get("names", ())))


def _saved(call: Call, names: Sequence[str]) -> Response:
    platform = None if call.before(48) else call.platform()
    if not names:
        raise UsageError("no image given")
    if call.request.method == "HEAD":  # nothing is written for nobody
        chosen_images(call.store.session.view(), names)
        return Response(200, [("Content-Type", TAR)])

    def work(give: Give) -> None:
        with borrowed(call.store) as store:
            store.save(names, cast("BinaryIO", Output(give)), platform=platform)

    return Response(200, [("Content-Type", TAR)], Pieces(work).started())


def load(call: Call) -> Response:
    """POST /images/load: what comes in, and how far it is, while it comes."""
    quiet = call.flag("quiet")
    if not call.before(48) and call.platform() is not None:
        raise Unsupported("casstore loads an archive with all of its platforms")
    body = cast("BinaryIO", _BodyFile(call.request.body))

    def work(tell: Tell) -> None:
        def reached(update: ProgressUpdate) -> None:
            if update.name == LOADING:  # and not while the body is read: see lines.py
                tell(counted(_LOADING, _WHOLE, update.done, update.total))

        with borrowed(call.store, progress=None if quiet else reached) as store:
            result = store.load(body)
        for image in result.images:
            for line in _loaded(image):
                tell({"stream": f"{line}\n"})

    return progress_lines(work, always=True)


def _loaded(image: LoadedImage) -> list[str]:
    """What is told of an image; docker-py reads the IDs and names out of it."""
    lines = []
    old = {renamed.name: renamed.old for renamed in image.renamed}
    for name in image.names:
        before = old.pop(name, None)  # a name may stand twice, and moves once
        if before is not None:
            lines.append(
                f"The image {name.familiar} already exists, "
                f"renaming the old one with ID {before} to empty string"
            )
        lines.append(f"Loaded image: {name.familiar}")
    return lines or [f"Loaded image ID: {image.id}"]


def import_image(call: Call) -> Response:
    """POST /images/create?fromSrc=-: an image of one layer from the body."""
    source = call.argument("fromSrc")
    if source != "-":
        raise Unsupported(f"casstore fetches no archive from {source}: send it as the body")
    repository = call.argument("repo")
    name = target_of(repository, call.argument("tag")) if repository else None
    image = call.store.import_image(
        cast("BinaryIO", _BodyFile(call.request.body)),
        name,
        changes=[change for change in call.request.query.get("changes", ()) if change],
        message=call.argument("message") or None,
        platform=call.plain_platform(),
    )
    line: dict[str, Any] = {"status": image}
    return Response(200, [("Content-Type", "application/json")], iter([line_of(line)]))


class _BodyFile(io.RawIOBase):
    """A request's body as a file; to close it leaves the connection as it is."""

    def __init__(self, body: Body) -> None:
        self._body = body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # narrower
        return self._body.readinto(buffer)


def create(call: Call) -> Response:
    """POST /images/create: a pull, or an import."""
    if call.argument("fromImage"):
        from casstore.server.engine.exchange import pull

        return pull(call)
    if call.argument("fromSrc"):
        return import_image(call)
    raise UsageError("neither fromImage nor fromSrc is given")
