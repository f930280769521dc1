"""Every blob under the images that are saved."""

from __future__ import annotations

from casstore.model import mediatype
from casstore.model.imagetree import is_document
from casstore.model.manifest import Manifest, parse_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.ports.blobs import StoredBlobs
    from casstore.transfer.saved import SavedImage


def blobs_under(images: Sequence[SavedImage], blobs: StoredBlobs) -> list[Descriptor]:
    """Each blob once: documents first, in the order of a walk, then the rest.

    Children of an index that the store does not have are left out, as they were when it came.

    Raises:
        Damaged: a document is missing or is not its digest.
    """
    documents: dict[Digest, Descriptor] = {}
    leaves: dict[Digest, Descriptor] = {}
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
            for entry in (*entries, *document.layers):
                leaves[entry.descriptor.digest] = entry.descriptor
            continue
        for entry in reversed(document.manifests):
            child = entry.descriptor
            if not blobs.has(child.digest):
                continue
            if mediatype.is_index(child.media_type) or mediatype.is_manifest(child.media_type):
                ahead.append(child)
            else:
                leaves[child.digest] = child
    return [*documents.values(), *(x for x in leaves.values() if x.digest not in documents)]
