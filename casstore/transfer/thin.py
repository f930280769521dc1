"""Thin archives: what an archive leaves out because the other side has it, and how it says so.

`casstore-thin.json` beside the lists of images names the layers that are left out, and the images
that have them, where these are known. Nothing is believed because of it: what is taken from a store
in the place of a layer is held against the manifest and the config, as in any archive. It is there
so that whoever lacks a layer is told which, and which image to load first. docker and podman ignore
the file, and miss the layers.
"""

from __future__ import annotations

import json

from casstore.errors import Refused, quote
from casstore.model import document
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest
from casstore.model.document import MAX_DOCUMENT, Fields
from casstore.model.mediatype import DELTA, THIN, compression_of
from casstore.model.shape import Each, Keys
from casstore.model.treechecks import MAX_LEAVES
from casstore.startup.value import Value
from casstore.transfer.compress import USUAL
from casstore.transfer.formats import THIN_JSON
from casstore.transfer.layoutlist import blob_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casstore.transfer.archive import Archive

VERSION = 1
SHAPE = Keys(
    {
        "bases": Each(Keys({}, "name", "id")),
        "layers": Each(
            Keys(
                {"delta": Keys({}, "mediaType", "digest", "size")},
                "diffID", "digest", "mediaType", "size", "base", "from", "compression",
            )
        ),
    },
    "mediaType", "version",
)  # fmt: skip


class Base(Value):
    """An image whose layers the other side has."""

    name: str  # as the user named it; an ID, where that is how
    id: Digest


class LeftOut(Value):
    """A layer that is not in the archive."""

    size: int  # bytes, as it would stand in the archive
    diff_id: Digest | None  # None where nobody can look into it
    digest: Digest | None  # of the blob; None where an archive has layers by their diff IDs
    media_type: str  # of the blob
    base: int | None  # position of the image that has it, or what the delta is from
    delta: Descriptor | None = None  # in the archive, in the place of the layer
    source: Digest | None = None  # diff ID of the layer that the delta is from
    compression: str = ""  # which makes the blob of the tar

    @property
    def told(self) -> Digest:
        """What a message calls it."""
        digest = self.digest or self.diff_id
        assert digest is not None
        return digest


class Thin(Value):
    """What is left out of an archive."""

    layers: tuple[LeftOut, ...]
    bases: tuple[Base, ...]

    @property
    def digests(self) -> set[Digest]:
        """Blobs that are left out, or the diff IDs of layers that are."""
        return {layer.told for layer in self.layers}

    @property
    def deltas(self) -> list[Descriptor]:
        """What stands in the archive in the place of layers."""
        return [layer.delta for layer in self.layers if layer.delta is not None]

    def encoded(self) -> bytes:
        """The content of `casstore-thin.json`."""
        value = {
            "mediaType": THIN,
            "version": VERSION,
            "bases": [{"name": base.name, "id": base.id} for base in self.bases],
            "layers": [_entry(layer) for layer in self.layers],
        }
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def read_thin(archive: Archive) -> Thin:
    """What a thin archive leaves out.

    Raises:
        Refused: it says so in a form that is not known.
    """
    data = archive.read(THIN_JSON, MAX_DOCUMENT)
    fields = Fields(document.read(data, THIN_JSON, SHAPE), THIN_JSON)
    if fields.text("mediaType") != THIN or fields.values.get("version") != VERSION:
        raise Refused(
            f"{quote(archive.label)} leaves out layers in a form that only a newer casstore knows"
        )
    bases = [Fields(one, f"a base of {THIN_JSON}") for one in fields.items("bases")]
    layers = [Fields(one, f"a layer of {THIN_JSON}") for one in fields.items("layers")]
    if len(bases) + len(layers) > MAX_LEAVES:
        raise Refused(f"{THIN_JSON} exceeds the limit of {MAX_LEAVES} layers")
    return Thin(
        tuple(_layer(layer, len(bases)) for layer in layers),
        tuple(Base(base.text("name"), Digest.parse(base.text("id"))) for base in bases),
    )


def names_in_archive(digest: Digest) -> tuple[str, ...]:
    """What the file of a blob, a layer or a delta can be called, by the format."""
    return blob_name(digest), digest.hex, f"{digest.hex}.tar", f"{digest.hex}.delta"


def _entry(layer: LeftOut) -> dict[str, Any]:
    value: dict[str, Any] = {
        "mediaType": layer.media_type or None, "digest": layer.digest, "size": layer.size,
        "diffID": layer.diff_id, "base": layer.base,
    }  # fmt: skip
    if layer.delta is not None:
        kind, digest, size = layer.delta
        value["delta"] = {"mediaType": kind, "digest": digest, "size": size}
        value["from"] = layer.source
        value["compression"] = layer.compression or None
    return {key: one for key, one in value.items() if one is not None}


def _layer(fields: Fields, bases: int) -> LeftOut:
    digest = Digest.parse(fields.text("digest")) if "digest" in fields else None
    diff_id = Digest.parse(fields.text("diffID")) if "diffID" in fields else None
    base = fields.size("base") if "base" in fields else None
    if digest is None and diff_id is None:
        raise Refused(f"{fields.name} has no digest")
    if base is not None and base >= bases:
        raise Refused(f"{fields.name} is of a base that is not listed")
    plain = LeftOut(fields.size("size"), diff_id, digest, fields.text("mediaType"), base)
    if "delta" not in fields:
        return plain
    delta = Fields(fields.values["delta"], f"the delta of {fields.name}")
    how = fields.text("compression")
    kind = compression_of(plain.media_type) if digest is not None else None
    # Only what save writes: another level could take hours.
    if delta.text("mediaType") != DELTA or diff_id is None or how != USUAL.get(kind or "", ""):
        raise Refused(f"{delta.name} is in a form that only a newer casstore knows")
    return plain._replace(
        delta=Descriptor(DELTA, Digest.parse(delta.text("digest")), delta.size("size")),
        source=Digest.parse(fields.text("from")),
        compression=how,
    )
