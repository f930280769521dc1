"""save: getting images into the output, whole or not at all; selection.py says which."""

from __future__ import annotations

import os
from contextlib import contextmanager

from casstore.errors import NotFound, UsageError, quote
from casstore.files import durable
from casstore.files.output import replace_output
from casstore.flows.storedfiles import StoredFiles
from casstore.model.descriptor import INDEX, MANIFEST
from casstore.model.digest import Digest
from casstore.model.state import PROMISED
from casstore.rules.layers import layer_by_diff_id
from casstore.transfer.formats import FOLDER, IMAGES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import IO, BinaryIO

    from casstore.flows.thinning import Held
    from casstore.model.kept import LayerRecord
    from casstore.ports.backend import Backend
    from casstore.ports.blobs import StoredBlobs
    from casstore.ports.view import View
    from casstore.progress import Progress, Task
    from casstore.transfer.formats import Format
    from casstore.transfer.saved import SavedImage
    from casstore.transfer.tarout import Member
    from casstore.transfer.thin import Thin

    # What layers are that nobody has read, by blob digest. Raises Damaged where one is wrong.
    Settle = Callable[[Sequence[LayerRecord], Progress | None], Mapping[Digest, LayerRecord]]

LARGE = 8 << 20  # bytes of an archive from which several threads are worth their start


def write_saved(
    disk: Backend,
    view: View,
    saved: Sequence[SavedImage],
    out: str | BinaryIO,
    form: Format,
    *,
    progress: Progress | None = None,
    settle: Settle | None = None,
    held: Held | None = None,
) -> None:
    """Write a selection in a format; the caller holds its images by a lease.

    Args:
        disk: the store.
        view: of the same store.
        saved: what is written.
        out: a path, or a stream for a format that is an archive.
        form: the format.
        progress: is told what is written, as a task `Saving` of the layers' bytes.
        settle: reads the layers that nobody has read, where the format has them uncompressed.
        held: layers that are left out, because the other side has them.

    Raises:
        UsageError: a format that is a folder, without a path.
        Unsupported: the format has no place for an image.
        Damaged: a blob is missing or corrupt; no output file is left.
    """
    found: Mapping[Digest, LayerRecord] = {}
    if settle is not None:
        promised = _promised(view, saved) if form.holds == IMAGES else []
        promised += held.promised() if held is not None else []
        found = settle(promised, progress) if promised else {}
    blobs: StoredBlobs = StoredFiles(disk.blobs, view, found)
    thin = held.left_out(saved, blobs, form) if held is not None else None
    with _telling_where(out):
        if held is None or not held.makes_deltas:
            task = _saving(progress, view, saved, thin, form)
            _write(saved, blobs, thin, out, form=form, task=task)
            return
        from casstore.flows.deltas import with_deltas

        held.settle(found)
        folder = None
        if isinstance(out, str) and (os.path.isfile(out) or not os.path.exists(out)):
            folder = os.path.dirname(os.path.abspath(out))
        with with_deltas(thin, saved, blobs, form, held, folder=folder, progress=progress) as (
            thin,
            blobs,
        ):
            task = _saving(progress, view, saved, thin, form)
            _write(saved, blobs, thin, out, form=form, task=task)


@contextmanager
def _telling_where(out: str | BinaryIO) -> Iterator[None]:
    """Say of what the operating system refuses where that was."""
    try:
        yield
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        where = "standard output" if getattr(out, "name", "") == "<stdout>" else "the stream"
        if isinstance(out, str):
            where = quote(out)
        raise durable.storage_error(error, f"cannot save to {where}") from None


def _write(
    saved: Sequence[SavedImage],
    blobs: StoredBlobs,
    thin: Thin | None,
    out: str | BinaryIO,
    *,
    form: Format,
    task: Task | None,
) -> None:
    if form.shape == FOLDER:
        if not isinstance(out, str):
            raise UsageError(f"{form.about} needs a path")
        from casstore.files.outputdir import OutputDirectory

        writer = form.folder_writer()
        with OutputDirectory(out, writer.LAST) as staging:
            writer.write(staging, saved, blobs, thin, link=durable.share, task=task)
            _finish(task)
        return
    from casstore.transfer.tarout import tar_size

    members = form.archive_writer().members(saved, blobs, thin)
    if not isinstance(out, str):
        _stream(out, members, blobs, task)
        _finish(task)
        return
    if os.path.exists(out) and not os.path.isfile(out):
        with open(out, "wb") as device:  # /dev/stdout, a fifo: nothing to rename over
            _stream(device, members, blobs, task)
        _finish(task)
        return
    with replace_output(out) as new:
        if tar_size(members) < LARGE:
            _stream(new.file, members, blobs, task)
        else:
            _place(new.file.fileno(), members, blobs, task)
        _finish(task)  # whoever is told can still end it, and then there is no output


def _stream(
    out: IO[bytes], members: Sequence[Member], blobs: StoredBlobs, task: Task | None
) -> None:
    if task is not None:
        from casstore.transfer.counted import CountedWriter

        out = CountedWriter(out, task)  # type: ignore[assignment]
    from casstore.transfer.tarout import stream_tar

    stream_tar(out, members, blobs)


def _place(
    descriptor: int, members: Sequence[Member], blobs: StoredBlobs, task: Task | None
) -> None:
    from casstore.files.placedfile import PlacedFile
    from casstore.transfer.counted import CountedTarget
    from casstore.transfer.tarout import place_tar, tar_size

    path = f"/proc/self/fd/{descriptor}"  # it may have no name
    with PlacedFile(path, descriptor, tar_size(members)) as file:
        if task is None:
            place_tar(file, members, blobs)
        else:
            place_tar(CountedTarget(file, task), members, blobs, pulse=task.pulse)


def _promised(view: View, saved: Sequence[SavedImage]) -> list[LayerRecord]:
    """Layers of images that nobody has read."""
    if next(view.unsettled_layers(), None) is None:
        return []
    layers = {
        layer.digest: layer
        for image in saved
        for _, layer in view.needs_and_layers_of(image.top.digest)
        if layer is not None and layer.state == PROMISED
    }
    return list(layers.values())


def _finish(task: Task | None) -> None:
    if task is not None:
        task.finish()


def _saving(
    progress: Progress | None,
    view: View,
    saved: Sequence[SavedImage],
    thin: Thin | None,
    form: Format,
) -> Task | None:
    if progress is None:
        return None
    return progress.task("Saving", _expected(view, saved, thin, plain=form.holds == IMAGES))


def _expected(view: View, saved: Sequence[SavedImage], thin: Thin | None, *, plain: bool) -> int:
    """Bytes of the layers that will be written, each once; `plain`: uncompressed."""
    layers: dict[Digest, int] = {}
    ahead = [image.top.digest for image in saved]
    seen = set(ahead)
    while ahead:
        for need in view.needs_of(ahead.pop()):
            if need.digest in seen:
                continue
            seen.add(need.digest)
            record = view.layer(need.digest) if plain else None
            if record is not None:
                layers[record.diff_id] = record.diff_size
            elif not plain:
                layers[need.digest] = need.size
            if need.kind in (INDEX, MANIFEST):
                ahead.append(need.digest)
    if thin is None:
        return sum(layers.values())
    left_out = thin.digests
    whole = sum(size for digest, size in layers.items() if digest not in left_out)
    return whole + sum(delta.size for delta in thin.deltas)


def open_layer(
    disk: Backend, view: View, layer: Digest | str, settle: Settle | None = None
) -> IO[bytes]:
    """A stored layer, by blob digest or diff ID, as its uncompressed tar."""
    from casstore.transfer.openlayer import open_layer as uncompressed

    digest = Digest.parse(layer)
    record = view.layer(digest) or layer_by_diff_id(view, digest)
    if record is None:
        raise NotFound(f"No such layer: {digest}")
    if record.state == PROMISED and settle is not None:
        record = settle([record], None)[record.digest]
    return uncompressed(disk.blobs.open(record.digest), record)
