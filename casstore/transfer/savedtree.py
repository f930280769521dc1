"""Every blob under the images that are saved, and which of them are layers."""

from __future__ import annotations

from casstore.model import mediatype
from casstore.model.imagetree import is_elsewhere
from casstore.model.manifest import Manifest, parse_document
from casstore.model.treechecks import is_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.ports.blobs import StoredBlobs
    from casstore.transfer.saved import SavedImage
    from casstore.transfer.thin import Thin


def blobs_under(
    images: Sequence[SavedImage], blobs: StoredBlobs, thin: Thin | None = None
) -> list[Descriptor]:
    """Each blob once: documents first, in the order of a walk, then the rest.

    Less what is left out of a thin archive, and at the end its deltas.

    Children of an index that the store does not have are left out, as they were when it came; and
    so are foreign layers.

    Raises:
        Damaged: a document is missing or is not its digest.
    """
    documents, leaves, _ = _walked(images, blobs)
    done = {*documents, *(thin.digests if thin is not None else ())}
    deltas = thin.deltas if thin is not None else []
    return [*documents.values(), *(x for x in leaves.values() if x.digest not in done), *deltas]


def layers_under(images: Sequence[SavedImage], blobs: StoredBlobs) -> list[Descriptor]:
    """The layers of all manifests under images, each blob once. Raises as `blobs_under`."""
    documents, _, layers = _walked(images, blobs)
    return [layer for layer in layers.values() if layer.digest not in documents]


def _walked(
    images: Sequence[SavedImage], blobs: StoredBlobs
) -> tuple[dict[Digest, Descriptor], dict[Digest, Descriptor], dict[Digest, Descriptor]]:
    """Documents; blobs that are none; those of these that a manifest has for layers."""
    documents: dict[Digest, Descriptor] = {}
    leaves: dict[Digest, Descriptor] = {}
    layers: dict[Digest, Descriptor] = {}
    ahead = [image.top for image in reversed(images) if is_document(image.top)]
    for image in images:
        if not is_document(image.top):  # something that is no image, kept as it came
            leaves[image.top.digest] = image.top
    while ahead:
        descriptor = ahead.pop()
        if descriptor.digest in documents:
            continue
        documents[descriptor.digest] = descriptor
        document = parse_document(blobs.read(descriptor.digest), descriptor)
        if isinstance(document, Manifest):
            entries = [document.config] if document.config is not None else []
            here = [
                one
                for one in document.layers
                if not is_elsewhere(one) or blobs.has(one.descriptor.digest)
            ]
            for entry in (*entries, *here):
                leaves[entry.descriptor.digest] = entry.descriptor
            layers.update((one.descriptor.digest, one.descriptor) for one in here)
            continue
        for entry in reversed(document.manifests):
            child = entry.descriptor
            if not blobs.has(child.digest):
                continue
            if mediatype.is_index(child.media_type) or mediatype.is_manifest(child.media_type):
                ahead.append(child)
            else:
                leaves[child.digest] = child
    return documents, leaves, layers
