"""Images as a docker archive, for `docker load`, `podman load` and everything after them.

The classic form: `manifest.json`, configs as `<hex>.json`, uncompressed layers as
`<diff ID hex>.tar`, each once, however many images (or how often one image) stand on it. The
manifest comes first, so that a reader of a pipe knows what it will get. Nothing of today or of
this machine is in the bytes: the same images in the same order give the same archive.

Layers are decompressed as they are written, and verified. Memory does not grow with their size.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import IO, Any

from casstore.errors import Damaged, Unsupported
from casstore.model.digest import Digest
from casstore.model.manifest import Manifest, parse_document
from casstore.model.mediatype import is_layer
from casstore.model.record import LayerRecord
from casstore.ports import StoredBlobs
from casstore.transfer.saved import SavedImage
from casstore.transfer.tarout import Member, stream_tar


def write_docker_archive(out: IO[bytes], images: Sequence[SavedImage], blobs: StoredBlobs) -> None:
    """Write `images` in the given order, which should have parents before their children.

    Nothing is written if one of them cannot be.

    Raises:
        Unsupported: as for `docker_members`.
        Damaged: a blob is missing or is not its digest; `out` is then good for nothing.
    """
    stream_tar(out, docker_members(images, blobs), blobs)


def docker_members(images: Sequence[SavedImage], blobs: StoredBlobs) -> list[Member]:
    """What is in the archive, in order.

    Raises:
        Unsupported: an image that this format has no place for (several platforms, an artifact,
            encrypted layers).
        Damaged: a document is missing or is not its digest.
    """
    configs: dict[Digest, None] = {}
    layers: dict[Digest, LayerRecord] = {}
    entries: list[dict[str, Any]] = []
    for image in images:
        config, records = _image(image, blobs)
        configs[config] = None
        layers.update((record.diff_id, record) for record in records)
        entry: dict[str, Any] = {
            "Config": f"{config.hex}.json",
            "RepoTags": [name.familiar for name in image.names if name.tag is not None] or None,
            "Layers": [f"{record.diff_id.hex}.tar" for record in records],
        }
        if image.parent is not None:
            entry["Parent"] = image.parent
        entries.append(entry)
    return [
        Member("manifest.json", json.dumps(entries, separators=(",", ":")).encode() + b"\n"),
        *(Member(f"{digest.hex}.json", blobs.read(digest)) for digest in configs),
        *(Member(f"{record.diff_id.hex}.tar", layer=record) for record in layers.values()),
    ]


def _image(image: SavedImage, blobs: StoredBlobs) -> tuple[Digest, list[LayerRecord]]:
    """The config and the layers, bottom first, of an image that the format has a place for."""
    document = parse_document(blobs.read(image.top.digest), image.top)
    if not isinstance(document, Manifest):
        raise _unsupported(image, "is an image index, which can hold several platforms")
    if document.config is None or not document.is_image:
        raise _unsupported(image, "is an artifact without an image config")
    records = []
    for entry in document.layers:
        if not is_layer(entry.descriptor.media_type):
            raise _unsupported(image, "has a layer that is encrypted or of an unknown kind")
        record = blobs.layer(entry.descriptor.digest)
        if record is None:
            raise Damaged(f"layer {entry.descriptor.digest} is not in the tag index")
        records.append(record)
    return document.config.descriptor.digest, records


def _unsupported(image: SavedImage, what: str) -> Unsupported:
    name = image.names[0].familiar if image.names else image.image_id.hex
    return Unsupported(f"cannot save {name} as a docker archive: it {what}; use --format oci")
