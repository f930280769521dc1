"""What is to be sent for one manifest or index, and the words for what became of each blob.

It stands apart from what sends: that needs threads, and most pushes find that all is there already.
"""

from __future__ import annotations

from casstore.model import mediatype
from casstore.model.manifest import Manifest, parse_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.ports.blobs import StoredBlobs

PUSHED = "Pushed"
EXISTS = "Layer already exists"
MOUNTED = "Mounted from"
FOREIGN = "Skipped foreign layer"


class Bundle:
    """What is to be sent for one manifest or index, found out without the network."""

    def __init__(self, top: Descriptor, blobs: StoredBlobs) -> None:
        """Raises Damaged: a document is missing or corrupt."""
        self.top = top
        self.manifests: dict[Digest, Descriptor] = {}  # children before parents
        self.leaves: dict[Digest, Descriptor] = {}
        self._walk(top, blobs)

    def _walk(self, descriptor: Descriptor, blobs: StoredBlobs) -> None:
        if descriptor.digest in self.manifests:
            return
        document = parse_document(blobs.read(descriptor.digest), descriptor)
        if isinstance(document, Manifest):
            entries = [*document.layers, *([document.config] if document.config else [])]
            for entry in entries:
                self.leaves.setdefault(entry.descriptor.digest, entry.descriptor)
        else:
            for entry in document.manifests:
                child = entry.descriptor
                if not blobs.has(child.digest):
                    continue  # as it came: ctr exports indexes with one platform of many
                if mediatype.is_manifest(child.media_type) or mediatype.is_index(child.media_type):
                    self._walk(child, blobs)
                else:
                    self.leaves.setdefault(child.digest, child)
        self.manifests[descriptor.digest] = descriptor
