"""import, as the store sees it: names, the parent, the platform."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, cast

from casstore.errors import InvalidReference, NotFound, Refused, Unsupported, quote
from casstore.files import durable
from casstore.model.descriptor import CONFIG, LAYER
from casstore.model.platform import of_machine, parse_platform
from casstore.model.record import Arrival
from casstore.model.reference import parse_name, parse_target
from casstore.rules.resolve import resolve
from casstore.transfer.compress import parse_compression
from casstore.transfer.counted import CountedReader
from casstore.transfer.rootfs import ParentImage, import_rootfs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from casstore.model.digest import Digest
    from casstore.model.reference import Reference
    from casstore.ports.ingest import Ingest
    from casstore.ports.view import View
    from casstore.progress import Progress


def import_source(
    view: View,
    ingest: Ingest,
    source: str | IO[bytes],
    name: str | None,
    *,
    changes: Sequence[str],
    message: str | None,
    parent: str | None,
    compression: str,
    platform: str | None,
    now: int,
    progress: Progress | None = None,
) -> Arrival:
    """Stage a root file system as an image; see `Store.import_image` for the arguments.

    Raises:
        NotFound: the source or the parent is not there.
        StorageError: the source cannot be read, or the store not written.
        InvalidReference, UsageError, Refused: a bad name, platform or change.
        Unsupported: the parent is an index or an artifact.
    """
    names = (_target(name),) if name is not None else ()
    below = parent_id = None
    if parent is not None:
        parent_id = resolve(view, parent).image
        below = _parent(view, ingest, parent_id)
    stream = _opened(source)
    try:
        if progress is not None:
            task = progress.task("Importing", _size(source))
            stream = cast("IO[bytes]", CountedReader(stream, task))
        image = import_rootfs(
            stream,
            ingest,
            compression=parse_compression(compression or "zstd"),
            changes=changes,
            message=message,
            created=now,
            platform=parse_platform(platform) if platform else of_machine(os.uname().machine),
            parent=below,
            may_be_empty=isinstance(source, str),
        )
    except OSError as error:  # the store's own are StorageErrors
        what = quote(source) if isinstance(source, str) else "the stream"
        raise durable.storage_error(error, f"cannot read {what}") from None
    finally:
        if stream is not source:
            stream.close()
    return Arrival(image, names, parent_id)


def _target(name: str) -> Reference:
    if parse_name(name).digest is not None:
        raise InvalidReference("cannot import digest reference")
    return parse_target(name)


def _opened(source: str | IO[bytes]) -> IO[bytes]:
    if not isinstance(source, str):
        return source
    try:
        return open(source, "rb")
    except FileNotFoundError:
        raise NotFound(f"open {quote(source)[1:-1]}: no such file or directory") from None
    except IsADirectoryError:
        raise Refused(f"{quote(source)} is a directory, not a tar archive") from None


def _size(source: str | IO[bytes]) -> int | None:
    return os.path.getsize(source) if isinstance(source, str) else None


def _parent(view: View, ingest: Ingest, image: Digest) -> ParentImage:
    """The parent's config and layers, pinned until the commit."""
    from casstore.model.imageconfig import parse_config

    for top in view.tops_of(image):
        needs = view.needs_of(top.digest)
        if ingest.has(top.digest) is None or all(n.digest != image for n in needs):
            continue
        layers = [
            record
            for need in needs
            if need.kind == LAYER and (record := ingest.layer(need.digest)) is not None
        ]
        if len(layers) != sum(need.kind != CONFIG for need in needs):
            continue
        return ParentImage(parse_config(ingest.read(image), image).document, tuple(layers))
    raise Unsupported(f"image {image.short} cannot be a parent: it is not an image of plain layers")
