"""Images as a docker archive, for `docker load`, `podman load` and everything after them.

The classic form: `manifest.json`, configs as `<hex>.json`, uncompressed layers as
`<diff ID hex>.tar`, each once, however many images (or how often one image) stand on it. The
manifest comes first, so that a reader of a pipe knows what it will get. Nothing of today or of
this machine is in the bytes: the same images in the same order give the same archive.

Layers are decompressed as they are written, and verified. Memory does not grow with their size.

A docker archive of another system is refused on Linux, by dockerd and by casstore alike. So where
an image is of one, the archive is an OCI layout as well, as Docker 25 and later write all of
theirs: dockerd on that system reads `manifest.json`, and everybody else takes the layout.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from casstore.errors import Damaged, Unsupported
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest, sha256
from casstore.model.imageconfig import ImageConfig, is_of_host, parse_config
from casstore.model.imagetree import is_elsewhere
from casstore.model.kept import LayerRecord
from casstore.model.manifest import INDEX_JSON, OCI_LAYOUT, Manifest, build_manifest, parse_document
from casstore.model.mediatype import OCI_LAYER, OCI_MANIFEST, is_layer
from casstore.model.state import BROKEN
from casstore.ports.blobs import StoredBlobs
from casstore.transfer.formats import THIN_JSON
from casstore.transfer.layoutlist import BLOBS, LAYOUT
from casstore.transfer.ocilayout_out import index_json
from casstore.transfer.saved import SavedImage
from casstore.transfer.tarout import Member
from casstore.transfer.thin import Thin


def members(
    images: Sequence[SavedImage], blobs: StoredBlobs, thin: Thin | None = None
) -> list[Member]:
    """What is in the archive, in order; parents should come before their children.

    A layer that is left out keeps its place in `manifest.json`: dockerd takes it from its own
    layers where it has it, and says that the file is missing where it does not.

    Raises:
        Unsupported: an image that this format has no place for (several platforms, an artifact,
            encrypted layers).
        Damaged: a document is missing or is not its digest.
    """
    contents = [_image(image, blobs) for image in images]
    configs = {config: blobs.read(config) for config, _ in contents}
    for config, records in contents:
        _check_diff_ids(parse_config(configs[config], config), records)
    layers = {record.diff_id: record for _, records in contents for record in records}
    left_out = thin.digests if thin is not None else ()
    hybrid = any(not is_of_host(parse_config(data, key).os) for key, data in configs.items())
    config_name, layer_name = ("{}.json", "{}.tar") if not hybrid else (BLOBS + "/{}",) * 2
    entries: list[dict[str, Any]] = []
    for image, (config, records) in zip(images, contents, strict=True):
        entry: dict[str, Any] = {
            "Config": config_name.format(config.hex),
            "RepoTags": [name.familiar for name in image.names if name.tag is not None] or None,
            "Layers": [layer_name.format(record.diff_id.hex) for record in records],
        }
        if image.parent is not None:
            entry["Parent"] = image.parent
        entries.append(entry)
    return [
        Member("manifest.json", json.dumps(entries, separators=(",", ":")).encode() + b"\n"),
        *((Member(THIN_JSON, thin.encoded()),) if thin is not None else ()),
        *(_layout(images, contents, configs, thin) if hybrid else ()),
        *(Member(config_name.format(digest.hex), data) for digest, data in configs.items()),
        *(
            Member(layer_name.format(r.diff_id.hex), layer=r)
            for r in layers.values()
            if r.diff_id not in left_out
        ),
        *(Member(f"{one.digest.hex}.delta", blob=one) for one in (thin.deltas if thin else ())),
    ]


def _layout(
    images: Sequence[SavedImage],
    contents: Sequence[tuple[Digest, list[LayerRecord]]],
    configs: Mapping[Digest, bytes],
    thin: Thin | None,
) -> list[Member]:
    """What makes the archive an OCI layout, too: its lists, and manifests of plain layers."""
    manifests: dict[Digest, bytes] = {}
    tops: list[SavedImage] = []
    for image, (config, records) in zip(images, contents, strict=True):
        plain = [
            LayerRecord(r.diff_id, r.diff_size, OCI_LAYER, r.diff_id, r.diff_size, r.file_bytes)
            for r in records
        ]
        data = build_manifest(config, len(configs[config]), plain)
        digest = sha256(data)
        manifests[digest] = data
        tops.append(image._replace(top=Descriptor(OCI_MANIFEST, digest, len(data))))
    return [
        Member(OCI_LAYOUT, LAYOUT),
        Member(INDEX_JSON, index_json(tops, thin)),
        *(Member(f"{BLOBS}/{digest.hex}", data) for digest, data in manifests.items()),
    ]


def _image(image: SavedImage, blobs: StoredBlobs) -> tuple[Digest, list[LayerRecord]]:
    """The config and the layers, bottom first, of an image that the format has a place for."""
    document = parse_document(blobs.read(image.top.digest), image.top)
    if not isinstance(document, Manifest):
        raise _unsupported(
            image,
            "is an image index, which can hold several platforms",
            "use --format oci, or --platform for one of them",
        )
    if document.config is None or not document.is_image:
        raise _unsupported(image, "is an artifact without an image config")
    records = []
    for entry in document.layers:
        if not is_layer(entry.descriptor.media_type):
            raise _unsupported(image, "has a layer that is encrypted or of an unknown kind")
        record = blobs.layer(entry.descriptor.digest)
        if record is None and is_elsewhere(entry):
            raise _unsupported(image, "has a foreign layer that is not in the store")
        if record is None:
            raise Damaged(f"layer {entry.descriptor.digest} is not in the tag index")
        if record.state == BROKEN:
            raise Damaged(f"layer {entry.descriptor.digest} does not decompress to its end")
        records.append(record)
    return document.config.descriptor.digest, records


def _check_diff_ids(config: ImageConfig, records: Sequence[LayerRecord]) -> None:
    """Raises Damaged where a layer turned out to be another than the config says."""
    if len(config.diff_ids) != len(records):
        return  # an old image, whose config does not say all
    for position, (expected, record) in enumerate(zip(config.diff_ids, records, strict=True)):
        if record.diff_id != expected:
            raise Damaged(
                f"image {config.id.short} is damaged: invalid diffID for layer {position}:"
                f' expected "{expected}", got "{record.diff_id}"'
            )


def _unsupported(image: SavedImage, what: str, advice: str = "use --format oci") -> Unsupported:
    name = image.names[0].familiar if image.names else image.image_id.hex
    return Unsupported(f"cannot save {name} as a docker archive: it {what}; {advice}")
