"""Image trees as fsck reads them: documents from the blobs, the rest from the index.

So each document is held against what the index says, and no layer is read for it.
"""

from __future__ import annotations

from casstore.errors import Refused
from casstore.model.mediatype import is_encrypted
from casstore.model.state import BROKEN
from casstore.transfer.storedtree import StoredTree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.backends.local.blobs import BlobDirectory
    from casstore.backends.local.view import LocalView
    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.model.kept import LayerRecord


class BrokenLayer(Refused):
    """A stored layer that does not decompress to its end."""


class IndexedTree:
    """A `TreeReader`; the content of layers is checked by its digest, elsewhere."""

    def __init__(self, blobs: BlobDirectory, view: LocalView) -> None:
        self.document = StoredTree(blobs).document
        self._view = view
        self._top: Digest | None = None
        self._needs: tuple[Digest, ...] = ()
        self._below: dict[Digest, LayerRecord] = {}
        self.encrypted: dict[Digest, None] = {}

    def expect(self, document: Digest) -> None:
        """Look up at once what the index says of all that a document needs."""
        pairs = self._view.needs_and_layers_of(document)
        self._top = document
        self._needs = tuple(digest for digest, _ in pairs)
        self._below = {digest: layer for digest, layer in pairs if layer is not None}

    def needs(self, document: Digest) -> tuple[Digest, ...]:
        """What the index says that a document needs."""
        if document == self._top:
            return self._needs
        return tuple(need.digest for need in self._view.needs_of(document))

    def lacks(self, manifest: Digest, layer: Digest) -> bool:
        """Whether the manifest came without this foreign layer, which another may have brought."""
        return layer not in self.needs(manifest)

    def layer(self, descriptor: Descriptor, diff_id: Digest | None) -> LayerRecord:
        record = self._below.get(descriptor.digest) or self._view.layer(descriptor.digest)
        if record is None:
            raise Refused(f"layer {descriptor.digest} is not known as a layer")
        if record.state == BROKEN:
            raise BrokenLayer(f"layer {descriptor.digest} does not decompress to its end")
        return record  # of a promise, what every image that has it promises

    def leaf(self, descriptor: Descriptor) -> None:
        if is_encrypted(descriptor.media_type):
            self.encrypted[descriptor.digest] = None
        if self._view.blob_size(descriptor.digest) != descriptor.size:
            raise Refused(f"blob {descriptor.digest} is not in the index with its size")
