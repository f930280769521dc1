"""Manifests and indexes, parsed from the bytes that were hashed; and our own, written.

Refused here: a document that could be read as two things (`manifests` beside `layers`, `fsLayers`
beside either: CVE-2021-41190), schema 1, a document that contradicts the descriptor that led to
it, digests and sizes that are none, embedded data that is not what the descriptor says.
Source: OCI image-spec, manifest.md, image-index.md, descriptor.md.
"""

from __future__ import annotations

from casstore.errors import Refused, quote
from casstore.model import document, mediatype
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest, sha256
from casstore.model.document import Fields
from casstore.model.shape import Each, Keys, strings
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from casstore.model.kept import LayerRecord
    from casstore.model.platform import Platform

MAX_LAYERS = 512
MAX_CHILDREN = 10_000  # of one index, which is also the limit of images in one archive
MAX_MEDIA_TYPE = 255  # RFC 6838 allows 127 on each side of the slash

INDEX_JSON = "index.json"
OCI_LAYOUT = "oci-layout"
# of the two bytes `{}`, the config of things that have none (manifest.md, "Guidance")
EMPTY_CONFIG = Digest("sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a")
SCHEMA_VERSION = 2

DESCRIPTOR = Keys(
    {
        "annotations": strings,
        "platform": Keys({"os.features": strings}, "os", "architecture", "variant", "os.version"),
        "urls": strings,
    },
    "mediaType", "digest", "size", "data", "artifactType",
)  # fmt: skip
# Of a manifest and of an index: what belongs to the other one is looked for too.
DOCUMENT = Keys(
    {
        "annotations": strings,
        "config": DESCRIPTOR,
        "layers": Each(DESCRIPTOR),
        "manifests": Each(DESCRIPTOR),
        "subject": DESCRIPTOR,
    },
    "schemaVersion", "mediaType", "artifactType", "fsLayers",
)  # fmt: skip


class Entry(Value):
    """A descriptor as a document has it, with what stands beside type, digest and size."""

    descriptor: Descriptor
    annotations: dict[str, str]
    platform: Platform | None
    urls: tuple[str, ...]


class Manifest(Value):
    """An image manifest, or an artifact in the form of one."""

    media_type: str
    config: Entry | None  # None: an artifact that has none
    layers: tuple[Entry, ...]  # bottom first
    annotations: dict[str, str]
    artifact_type: str
    subject: Entry | None  # what this refers to; it need not be there

    @property
    def is_image(self) -> bool:
        """Whether there is an image config, so that the image ID is the config's digest."""
        return (
            self.config is not None
            and mediatype.is_config(self.config.descriptor.media_type)
            and self.config.descriptor.digest != EMPTY_CONFIG
        )


class Index(Value):
    """An image index or a Docker manifest list."""

    media_type: str
    manifests: tuple[Entry, ...]
    annotations: dict[str, str]
    artifact_type: str = ""
    subject: Entry | None = None  # as of a manifest


def parse_document(data: bytes, descriptor: Descriptor) -> Manifest | Index:
    """Parse the manifest or index that `descriptor` points to; `data` is known to be its bytes.

    Raises:
        Refused: anything wrong with it; the message names the document by its digest.
    """
    if mediatype.is_index(descriptor.media_type):
        return parse_index(data, f"index {descriptor.digest}", media_type=descriptor.media_type)
    if mediatype.is_manifest(descriptor.media_type):
        return parse_manifest(
            data, f"manifest {descriptor.digest}", media_type=descriptor.media_type
        )
    raise unknown_type(descriptor)


def parse_manifest(data: bytes, name: str, *, media_type: str) -> Manifest:
    """Parse an image manifest, which the descriptor says is of `media_type`.

    Raises:
        Refused: it is not one, or not one that can be trusted.
    """
    fields = Fields(document.read(data, name, DOCUMENT), name)
    _check_head(fields, media_type)
    if "manifests" in fields:
        raise Refused(f"{name} has both layers or config and manifests")
    artifact_type = fields.text("artifactType")
    config: Entry | None = None
    if "config" in fields:
        config = parse_entry(fields.values["config"], f"config of {name}")
    elif not artifact_type:
        raise Refused(f"{name} has no config")
    items = fields.items("layers")
    if len(items) > MAX_LAYERS:
        raise Refused(f"{name} has {len(items)} layers, which exceeds the limit of {MAX_LAYERS}")
    layers = tuple(
        parse_entry(item, f"layer {number} of {name}") for number, item in enumerate(items, 1)
    )
    return Manifest(
        media_type,
        config,
        layers,
        fields.text_mapping("annotations"),
        artifact_type,
        _subject(fields),
    )


def parse_index(data: bytes, name: str, *, media_type: str) -> Index:
    """Parse an index or manifest list, which the descriptor says is of `media_type`.

    Raises:
        Refused: it is not one, or not one that can be trusted.
    """
    return _index(Fields(document.read(data, name, DOCUMENT), name), media_type)


def _index(fields: Fields, media_type: str) -> Index:
    name = fields.name
    _check_head(fields, media_type)
    if "layers" in fields or "config" in fields:
        raise Refused(f"{name} has both manifests and layers or config")
    items = fields.items("manifests")
    if len(items) > MAX_CHILDREN:
        raise Refused(
            f"{name} has {len(items)} manifests, which exceeds the limit of {MAX_CHILDREN}"
        )
    manifests = tuple(
        parse_entry(item, f"manifest {number} of {name}") for number, item in enumerate(items, 1)
    )
    return Index(
        media_type,
        manifests,
        fields.text_mapping("annotations"),
        fields.text("artifactType"),
        _subject(fields),
    )


def _subject(fields: Fields) -> Entry | None:
    if "subject" not in fields:
        return None
    return parse_entry(fields.values["subject"], f"subject of {fields.name}")


def parse_index_json(data: bytes) -> Index:
    """Parse the `index.json` of an input layout.

    No descriptor leads to it, and no reader holds it to the type that it says it has; Bazel has
    written manifest lists there. Null manifests are what `umoci init` writes.

    Raises:
        Refused: as `parse_index`; it may be larger than other documents. It lists nothing at all.
    """
    value = document.read(data, INDEX_JSON, DOCUMENT, limit=document.MAX_INDEX_JSON)
    fields = Fields(value, INDEX_JSON)
    own = fields.text("mediaType", mediatype.OCI_INDEX)
    is_other = mediatype.is_manifest(own) or own in mediatype.SCHEMA1
    index = _index(fields, mediatype.OCI_INDEX if is_other else own)
    if "manifests" not in value:
        raise Refused(f"{INDEX_JSON} has no manifests")
    return index


def parse_entry(value: object, name: str) -> Entry:
    """Parse a descriptor of a document, which has been brought into shape.

    Raises:
        Refused: no media type, a digest that is none, a size that is none, or embedded data that
            is not the content.
    """
    fields = Fields(value, name)
    media_type = fields.text("mediaType")
    if not media_type:
        raise Refused(f"{name} has no mediaType")
    if len(media_type) > MAX_MEDIA_TYPE or not media_type.isprintable():
        raise Refused(f"{name} has the invalid media type {quote(media_type)}")
    try:
        digest = Digest.parse(fields.values.get("digest"))
    except Refused as refusal:
        raise Refused(f"{name} has an {refusal}") from None
    size = fields.size("size")
    _check_data(fields, digest, size)
    platform: Platform | None = None
    if "platform" in fields:
        given = fields.fields("platform")
        from casstore.model.platform import Platform  # few documents name one

        platform = Platform(given.text("os"), given.text("architecture"), given.text("variant"))
    annotations, urls = fields.text_mapping("annotations"), tuple(fields.texts("urls"))
    descriptor = Descriptor._make((media_type, digest, size))
    return Entry._make((descriptor, annotations, platform, urls))


def build_manifest(
    config: Digest, config_size: int, layers: Sequence[LayerRecord], config_type: str = ""
) -> bytes:
    """Canonical bytes of an OCI manifest for an image that came without one.

    The same config over the same layer blobs always gives the same bytes.
    """
    import json

    value = {
        "schemaVersion": 2,
        "mediaType": mediatype.OCI_MANIFEST,
        "config": {
            "mediaType": config_type or mediatype.OCI_CONFIG,
            "digest": config,
            "size": config_size,
        },
        "layers": [
            {
                "mediaType": mediatype.as_oci_layer(layer.media_type),
                "digest": layer.digest,
                "size": layer.size,
            }
            for layer in layers
        ],
    }
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def unknown_type(descriptor: Descriptor) -> Refused:
    """The refusal of a descriptor that should have led to a manifest or an index."""
    if descriptor.media_type in mediatype.SCHEMA1:
        return Refused(f"manifest {descriptor.digest} is of schema 1, which is obsolete")
    return Refused(
        f"{descriptor.digest} is of the media type {quote(descriptor.media_type)}, "
        "which is neither a manifest nor an index"
    )


def _check_head(fields: Fields, media_type: str) -> None:
    version = fields.values.get("schemaVersion", SCHEMA_VERSION)
    if version not in (None, SCHEMA_VERSION):
        raise fields.wrong("schemaVersion", f"is not {SCHEMA_VERSION}")
    if "fsLayers" in fields:
        raise Refused(f"{fields.name} has fsLayers, which only a manifest of schema 1 has")
    own = fields.text("mediaType", media_type)
    if own != media_type:
        raise Refused(
            f"{fields.name} says it is of the media type {quote(own)}, "
            f"but it is named as {quote(media_type)}"
        )


def _check_data(fields: Fields, digest: Digest, size: int) -> None:
    text = fields.values.get("data")
    if text is None:
        return
    import binascii

    try:
        if not isinstance(text, str):
            raise fields.wrong("data", "is not a string")
        data = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise fields.wrong("data", "is not base64") from None
    if len(data) != size or sha256(data) != digest:
        raise fields.wrong("data", f"is not the content of {digest}")


def choose(entries: Sequence[Entry], platform: Platform) -> Entry | None:
    """The entry of an index for a platform: the best that the machine runs, the first of equals.

    Only manifests and indexes are looked at. One that says no platform is taken last.
    """
    from casstore.model.platform import normal, runs  # a manifest has no use for it

    rank = {one: place for place, one in enumerate(runs(platform))}
    best: tuple[int, Entry] | None = None
    for entry in entries:
        kind = entry.descriptor.media_type
        if not (mediatype.is_manifest(kind) or mediatype.is_index(kind)):
            continue
        place = len(rank) if entry.platform is None else rank.get(normal(entry.platform))
        if place is not None and (best is None or place < best[0]):
            best = (place, entry)
    return best[1] if best is not None else None
