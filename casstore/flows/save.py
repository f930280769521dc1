"""save: which images and names go into the output, and getting it there whole or not at all."""

from __future__ import annotations

import os

from casstore.errors import NotFound, UsageError, quote
from casstore.files import durable
from casstore.model.descriptor import INDEX, MANIFEST, OTHER
from casstore.model.digest import Digest
from casstore.model.reference import parse_name, subject_of
from casstore.model.state import PROMISED, SETTLED
from casstore.rules.layers import layer_by_diff_id
from casstore.rules.resolve import resolve
from casstore.transfer.formats import DEFAULT, FOLDER, IMAGES, MANIFESTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import IO, BinaryIO

    from casstore.model.descriptor import Descriptor
    from casstore.model.reference import Reference
    from casstore.model.state import LayerRecord
    from casstore.ports.backend import Backend
    from casstore.ports.blobs import Blobs
    from casstore.ports.view import View
    from casstore.progress import Progress, Task
    from casstore.transfer.formats import Format
    from casstore.transfer.saved import SavedImage
    from casstore.transfer.tarout import Member

    # What layers are that nobody has read, by blob digest. Raises Damaged where one is wrong.
    Settle = Callable[[Sequence[LayerRecord], Progress | None], Mapping[Digest, LayerRecord]]

LARGE = 8 << 20  # bytes of an archive from which several threads are worth their start


def save_images(
    disk: Backend,
    view: View,
    images: Sequence[str],
    out: str | BinaryIO,
    form: Format,
    *,
    progress: Progress | None = None,
    settle: Settle | None = None,
) -> None:
    """Write images in a format; the caller holds them by a lease.

    With `progress`, what is written is counted, as a task `Saving` of the layers' bytes.

    Raises:
        UsageError: a format that is a folder, without a path.
        NotFound, InvalidReference: a bad argument; nothing is written.
        Damaged: a blob is missing or corrupt; no output file is left.
    """
    saved = selection(view, images, form)
    write_saved(disk, view, saved, out, form, progress=progress, settle=settle)


def write_saved(
    disk: Backend,
    view: View,
    saved: Sequence[SavedImage],
    out: str | BinaryIO,
    form: Format,
    *,
    progress: Progress | None = None,
    settle: Settle | None = None,
) -> None:
    """Write a selection; as `save_images`.

    `settle` reads the layers that nobody has read, where the format has them uncompressed.
    """
    found: Mapping[Digest, LayerRecord] = {}
    if settle is not None and form.holds == IMAGES:
        promised = _promised(view, saved)
        found = settle(promised, progress) if promised else {}
    blobs = StoredFiles(disk.blobs, view, found)
    task = None
    if progress is not None:
        task = progress.task("Saving", _expected(view, saved, plain=form.holds == IMAGES))
    try:
        if form.shape == FOLDER:
            if not isinstance(out, str):
                raise UsageError(f"{form.about} needs a path")
            from casstore.files.outputdir import OutputDirectory

            writer = form.folder_writer()
            with OutputDirectory(out, writer.LAST) as staging:
                writer.write(staging, saved, blobs, link=durable.share, task=task)
                _finish(task)
            return
        from casstore.transfer.tarout import tar_size

        members = form.archive_writer().members(saved, blobs)
        if not isinstance(out, str):
            _stream(out, members, blobs, task)
            _finish(task)
            return
        if os.path.exists(out) and not os.path.isfile(out):
            with open(out, "wb") as device:  # /dev/stdout, a fifo: nothing to rename over
                _stream(device, members, blobs, task)
            _finish(task)
            return
        with durable.replace_output(out) as new:
            if tar_size(members) < LARGE:
                _stream(new.file, members, blobs, task)
            else:
                _place(new.file.fileno(), members, blobs, task)
            _finish(task)  # whoever is told can still end it, and then there is no output
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        where = "standard output" if getattr(out, "name", "") == "<stdout>" else "the stream"
        if isinstance(out, str):
            where = quote(out)
        raise durable.storage_error(error, f"cannot save to {where}") from None


def _stream(
    out: IO[bytes], members: Sequence[Member], blobs: StoredFiles, task: Task | None
) -> None:
    if task is not None:
        from casstore.transfer.counted import CountedWriter

        out = CountedWriter(out, task)  # type: ignore[assignment]
    from casstore.transfer.tarout import stream_tar

    stream_tar(out, members, blobs)


def _place(
    descriptor: int, members: Sequence[Member], blobs: StoredFiles, task: Task | None
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


def _expected(view: View, saved: Sequence[SavedImage], *, plain: bool) -> int:
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
    return sum(layers.values())


def chosen_images(view: View, arguments: Sequence[str], form: Format = DEFAULT) -> list[str]:
    """IDs of the images of `selection`, each once."""
    return list(dict.fromkeys(one.image_id for one in selection(view, arguments, form)))


def selection(view: View, arguments: Sequence[str], form: Format) -> list[SavedImage]:
    """Images to save in a format, parents before children.

    As Docker does it: a repository alone is all its tags, `NAME:TAG` that tag, an ID or a digest
    reference the image without a name. In formats that hold manifests a digest reference keeps its
    name, and there is an entry for each manifest that is named, not one for each image. Where they
    hold more than one, what refers to it comes too: its signatures, SBOMs and attestations.
    """
    if not arguments:
        raise UsageError("no image given")
    with view.snapshot():  # an image may go between two looks
        return _selected(view, arguments, form)


def _selected(view: View, arguments: Sequence[str], form: Format) -> list[SavedImage]:
    from casstore.transfer.saved import SavedImage

    names: dict[tuple[Digest, Digest], list[Reference]] = {}
    for argument in arguments:
        for image, manifest, name in _meant(view, argument, each_manifest=form.holds != IMAGES):
            entry = names.setdefault((image, manifest), [])
            if name is not None and name not in entry:
                entry.append(name)
    if form.holds == MANIFESTS:
        _add_referrers(view, names)
    images = {image for image, _ in names}
    entries = [
        SavedImage(
            image,
            next(top for top in view.tops_of(image) if top.digest == manifest),
            tuple(entry),
            parent if (parent := view.parent_of(image)) in images else None,
        )
        for (image, manifest), entry in names.items()
    ]
    return _parents_first(view, entries)


def _meant(
    view: View, argument: str, *, each_manifest: bool
) -> list[tuple[Digest, Digest, Reference | None]]:
    """Image, manifest and name for each image that an argument means."""
    attached: Sequence[Reference] = ()
    last = argument.rpartition("/")[2]
    if "@" not in argument and ":" not in last and not _is_full_id(argument):
        repository = parse_name(argument).repository
        attached = [
            name
            for all_names in view.all_references().values()
            for name in all_names
            if name.repository == repository and (name.tag is not None or each_manifest)
        ]
    if not attached:
        found = resolve(view, argument)
        if found.name is None:
            return [(found.image, readable_top(view, found.image).digest, None)]
        attached = [found.name.reference]
    meant: list[tuple[Digest, Digest, Reference | None]] = []
    for name in attached:
        image, top = view.image_named(name), view.top_named(name)
        if image is None or top is None:
            raise NotFound(f"No such image: {name.familiar}")
        if each_manifest or not is_readable(view, top):  # what cannot be read is refused as such
            manifest = top.digest
        else:
            manifest = readable_top(view, image).digest
        keep = name.tag is not None or each_manifest
        meant.append((image, manifest, name if keep else None))
    return meant


def _add_referrers(view: View, chosen: dict[tuple[Digest, Digest], list[Reference]]) -> None:
    """What refers to a chosen manifest, by its subject or by a tag in the same repository."""
    todo = [
        (manifest, {name.repository for name in names}) for (_, manifest), names in chosen.items()
    ]
    seen: set[Digest] = set()
    for manifest, repositories in todo:
        if manifest in seen:
            continue
        seen.add(manifest)
        needs = view.needs_of(manifest)
        todo += [(need.digest, repositories) for need in needs if need.kind in (INDEX, MANIFEST)]
        for artifact in view.referrers_of(manifest):
            attached = {one.name: one.manifest for one in view.references_of(artifact)}
            tags = [
                name
                for name in attached
                if subject_of(name) == manifest and name.repository in repositories
            ]
            tops = dict.fromkeys(attached[name] for name in tags)
            if not attached:
                tops = dict.fromkeys(top.digest for top in view.tops_of(artifact))
            for top in tops:
                entry = chosen.setdefault((artifact, top), [])
                entry += [n for n in tags if attached[n] == top and n not in entry]
                todo.append((top, repositories))


def readable_top(view: View, image: Digest) -> Descriptor:
    """The oldest manifest of an image whose layers are in the clear; else the oldest there is.

    One whose layers are settled goes before one of which that is promised.
    """
    tops = view.tops_of(image)
    readable = [top for top in tops if is_readable(view, top)]
    settled = (
        top
        for top in readable
        if len(readable) == 1 or all(n.state == SETTLED for n in view.needs_of(top.digest))
    )
    return next(settled, readable[0] if readable else tops[0])


def is_readable(view: View, top: Descriptor) -> bool:
    """Whether a manifest has no encrypted layers, nor others that are only kept."""
    return all(need.kind != OTHER for need in view.needs_of(top.digest))


def _is_full_id(argument: str) -> bool:
    from casstore.model.digest import PREFIX, is_hex64

    return is_hex64(argument.removeprefix(PREFIX))


def _parents_first(view: View, entries: list[SavedImage]) -> list[SavedImage]:
    def depth(entry: SavedImage) -> int:
        steps, image = 0, view.parent_of(entry.image_id)
        while image is not None:
            steps, image = steps + 1, view.parent_of(image)
        return steps

    return sorted(entries, key=depth)


class StoredFiles:
    """The `StoredBlobs` of a sink."""

    def __init__(
        self, blobs: Blobs, view: View, found: Mapping[Digest, LayerRecord] | None = None
    ) -> None:
        """`found`: what is known of layers since the view was taken."""
        self._blobs, self._view, self._found = blobs, view, found or {}
        self.read = blobs.read
        self.open = blobs.open
        self.path = blobs.file_of

    def has(self, digest: Digest) -> bool:
        return self._blobs.written(digest) is not None

    def layer(self, digest: Digest) -> LayerRecord | None:
        return self._found.get(digest) or self._view.layer(digest)


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
