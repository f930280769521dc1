"""Images as sources describe them, made by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from casstore.model.descriptor import CONFIG, INDEX, LAYER, MANIFEST, Descriptor
from casstore.model.digest import Digest, sha256
from casstore.model.kept import LayerRecord
from casstore.model.labels import Labels
from casstore.model.record import BlobRecord, ImageRecord
from casstore.model.reference import Reference, parse_name
from casstore.model.state import SETTLED

if TYPE_CHECKING:
    from collections.abc import Sequence

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
SIZES = {CONFIG: 100, MANIFEST: 200, LAYER: 1000, INDEX: 300}
FILE_BYTES = 7


def digest_of(name: str) -> Digest:
    """The digest that stands for something called `name`."""
    return sha256(name.encode())


def name_of(text: str) -> Reference:
    return parse_name(text).reference


def image(
    name: str,
    layers: str = "",
    *,
    form: str = "",
    created: int | None = 0,
    labels: Sequence[tuple[str, str]] = (),
    subject: Digest | None = None,
    state: int = SETTLED,
) -> ImageRecord:
    """An image of some layers, bottom first, in one of its forms: `zstd`, say, or `gzip`.

    Its ID stands for `name` alone; manifest and layer blobs are those of the form, while a layer's
    diff ID is the same in each. Layers of another `state` than SETTLED have their sizes as stored.
    """
    files = FILE_BYTES if state == SETTLED else SIZES[LAYER]
    own = digest_of(name)
    diff_ids = [digest_of(f"tar of {layer}") for layer in layers.split()]
    stack = [digest_of(f"{form} {layer}") for layer in layers.split()]
    top = Descriptor(MANIFEST_TYPE, digest_of(f"{form} manifest of {name}"), SIZES[MANIFEST])
    return ImageRecord(
        own,
        top,
        (
            BlobRecord(top.digest, top.size, MANIFEST, (own, *stack)),
            BlobRecord(own, SIZES[CONFIG], CONFIG, ()),
            *(BlobRecord(one, SIZES[LAYER], LAYER, ()) for one in dict.fromkeys(stack)),
        ),
        tuple(
            LayerRecord(blob, SIZES[LAYER], LAYER_TYPE, diff_id, 5000, files, state)
            for blob, diff_id in dict(zip(stack, diff_ids, strict=True)).items()
        ),
        created, Labels(labels), "linux", "amd64", "", files * len(stack), subject,
    )  # fmt: skip


def index_over(name: str, *images: ImageRecord) -> ImageRecord:
    """An index over images."""
    top = Descriptor(INDEX_TYPE, digest_of(f"index {name}"), SIZES[INDEX])
    below = {blob.digest: blob for one in images for blob in one.blobs}
    layers = {layer.digest: layer for one in images for layer in one.layers}
    document = BlobRecord(top.digest, top.size, INDEX, tuple(one.top.digest for one in images))
    return ImageRecord(
        top.digest, top, (document, *below.values()), tuple(layers.values()), None, Labels(),
        "", "", "", sum(one.size for one in images),
    )  # fmt: skip
