"""Archives of before docker 1.10 in: one directory per layer, named by `repositories` alone.

Every directory `ID/` (`json`, `layer.tar`) is an image of the old kind, an ID that nobody computed
from anything. Its config is made anew here as dockerd 20.10 makes it, byte for byte, because the
image ID is the digest of those bytes: field by field through Go's structures where docker 1.8.2
or older wrote it, otherwise as it stands but for a few keys, in each case with `rootfs` and
`history` added, keys sorted, and Go's escapes in strings.
Source: moby, image/tarexport/load.go and image/v1/imagev1.go.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from casstore.errors import InvalidReference, Refused, quote
from casstore.model import document
from casstore.model.document import MAX_DOCUMENT, Fields
from casstore.model.imageconfig import MAX_DIFF_IDS, check_os
from casstore.model.manifest import MAX_CHILDREN
from casstore.model.record import Arrival
from casstore.model.reference import Reference, parse_target
from casstore.model.shape import anything
from casstore.startup.value import Value
from casstore.transfer import goconfig
from casstore.transfer.compress import LayerJob, pack_layers
from casstore.transfer.dockerarchive import REPOSITORIES, stage_manifest
from casstore.transfer.imagebatch import ImageBatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from casstore.model.digest import Digest
    from casstore.model.kept import LayerRecord
    from casstore.ports.ingest import Intake
    from casstore.transfer.archive import Archive
    from casstore.transfer.compress import Compression


class _OldImage(Value):
    parent: str  # its directory's name; empty for none
    data: bytes  # of `json`


def read_legacy_archive(
    archive: Archive, intake: Intake, compression: Compression
) -> list[Arrival]:
    """Stage every directory of the archive as an image, parents before children.

    Raises:
        Refused: anything wrong with it; `invalid target ID: …` for a tag that leads nowhere.
        InvalidReference: a malformed name.
    """
    images = _old_images(archive)
    names = _names(archive, images)
    layers = pack_layers(
        [
            LayerJob(_opener(archive, f"{old_id}/layer.tar"), None, position)
            for position, old_id in enumerate(images)
        ],
        intake,
        compression,
    )
    batch = ImageBatch()
    made: dict[str, _Made] = {}
    arrivals: list[Arrival] = []
    for (old_id, image), layer in zip(images.items(), layers, strict=True):
        parent = made[image.parent] if image.parent else _Made(None, (), ())
        stack = (*parent.layers, layer)
        if len(stack) > MAX_DIFF_IDS:
            raise Refused(f"{quote(old_id)} exceeds the limit of {MAX_DIFF_IDS} layers")
        name = f"{old_id}/json"
        history = (*parent.history, goconfig.history_entry(image.data, name))
        data = goconfig.make_config(image.data, name, [each.diff_id for each in stack], history)
        record = batch.image(stage_manifest(intake.add(data), len(data), stack, intake))
        made[old_id] = _Made(record.id, stack, history)
        arrivals.append(Arrival(record, tuple(names.get(old_id, ())), parent.id))
    return arrivals


class _Made(Value):
    id: Digest | None
    layers: tuple[LayerRecord, ...]  # bottom first
    history: tuple[str, ...]  # as JSON


def _old_images(archive: Archive) -> dict[str, _OldImage]:
    """Every directory at the top, in the order of their names but parents first."""
    images: dict[str, _OldImage] = {}
    tops = {name.partition("/")[0] for name in archive.names if "/" in name.strip("/")}
    if len(tops) > MAX_CHILDREN:
        raise Refused(f"the archive exceeds the limit of {MAX_CHILDREN} images")
    total = 0
    for top in sorted(tops):
        path: list[tuple[str, _OldImage]] = []
        old_id = top
        while old_id and old_id not in images:
            if any(old_id == below for below, _ in path):
                raise Refused(f"{quote(old_id)} is its own ancestor")
            data = archive.read(f"{old_id}/json", MAX_DOCUMENT)
            total += len(data)
            if total > document.MAX_INDEX_JSON * 4:
                raise Refused("the configs in the archive exceed the limit of 64 MiB")
            fields = goconfig.old_fields(data, f"{old_id}/json")
            check_os(fields.text("os"))
            archive.size(f"{old_id}/layer.tar")
            path.append((old_id, _OldImage(fields.text("parent"), data)))
            old_id = path[-1][1].parent
        images.update(reversed(path))
    return images


def _names(archive: Archive, images: dict[str, _OldImage]) -> dict[str, list[Reference]]:
    data = archive.read(REPOSITORIES, MAX_DOCUMENT)
    repositories = Fields(document.read(data, REPOSITORIES, anything), REPOSITORIES)
    names: dict[str, list[Reference]] = {}
    for repository in repositories.values:
        for tag, old_id in repositories.text_mapping(repository).items():
            if old_id not in images:
                raise Refused(f"invalid target ID: {quote(old_id).strip(chr(34))}")
            try:
                names.setdefault(old_id, []).append(parse_target(f"{repository}:{tag}"))
            except InvalidReference as error:
                raise InvalidReference(f"{error}: {quote(f'{repository}:{tag}')}") from None
    return names


def _opener(archive: Archive, path: str) -> Callable[[], IO[bytes]]:
    return lambda: archive.open(path)
