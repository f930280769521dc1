"""Images as a docker archive, for `docker load`, `podman load` and everything after them.

The classic form: `manifest.json`, configs as `<hex>.json`, uncompressed layers as
`<diff ID hex>.tar`, each once, however many images (or how often one image) stand on it. The
manifest comes first, so that a reader of a pipe knows what it will get. Nothing of today or of
this machine is in the bytes: the same images in the same order give the same archive.

Layers are decompressed as they are written and held against their diff IDs. Memory does not grow
with their size.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Sequence
from typing import IO, Any

from casstore.errors import Damaged, Unsupported
from casstore.model.digest import Digest
from casstore.model.manifest import Manifest, parse_document
from casstore.model.mediatype import is_layer
from casstore.model.record import LayerRecord
from casstore.ports import StoredBlobs
from casstore.transfer.openlayer import open_framed
from casstore.transfer.saved import SavedImage

BLOCK = 512


def write_docker_archive(out: IO[bytes], images: Sequence[SavedImage], blobs: StoredBlobs) -> None:
    """Write `images` in the given order, which should have parents before their children.

    Nothing is written if one of them cannot be.

    Raises:
        Unsupported: an image that this format has no place for (several platforms, an artifact,
            encrypted layers).
        Damaged: a blob is missing or is not its digest; `out` is then good for nothing.
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
    archive = TarWriter(out)
    archive.add("manifest.json", json.dumps(entries, separators=(",", ":")).encode() + b"\n")
    for digest in configs:
        archive.add(f"{digest.hex}.json", blobs.read(digest))
    for record in layers.values():
        with open_framed(blobs.open(record.digest), record) as layer:
            archive.begin(f"{record.diff_id.hex}.tar", record.diff_size)
            for piece in layer.pieces():
                archive.write(piece)
        if not archive.is_whole:
            raise Damaged(f"blob {record.digest} does not hold {record.diff_size} bytes")
        archive.end()
    archive.close()


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


class TarWriter:
    """A tar without time or owner, written strictly forward."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._left = 0
        self._padding = 0

    def add(self, name: str, data: bytes) -> None:
        """A whole file."""
        self.begin(name, len(data))
        self.write(data)
        self.end()

    def add_directory(self, name: str) -> None:
        """A directory."""
        self._out.write(_header(name, 0, tarfile.DIRTYPE, 0o755))

    def begin(self, name: str, size: int) -> None:
        """A file of `size` bytes, to be given by `write`."""
        self._out.write(_header(name, size, tarfile.REGTYPE, 0o644))
        self._left = size
        self._padding = -size % BLOCK

    def write(self, data: bytes | memoryview) -> None:
        """The next bytes of the file."""
        self._left -= len(data)
        self._out.write(data)

    @property
    def is_whole(self) -> bool:
        """Whether the file has as many bytes as its header says."""
        return self._left == 0

    def end(self) -> None:
        """The end of the file."""
        self._out.write(bytes(self._padding))

    def close(self) -> None:
        """The end of the archive."""
        self._out.write(bytes(2 * BLOCK))


def _header(name: str, size: int, kind: bytes, mode: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type, member.mode = size, kind, mode
    # GNU writes sizes of 8 GiB and more in base 256, where pax would need another member.
    return member.tobuf(tarfile.GNU_FORMAT)
