"""What a client pushes to a store that is a registry: a manifest, whose blobs came before it.

A registry keeps what it is given. Of each blob digest and size are verified, when it is uploaded;
what only decompressing a layer can tell is promised by the config (model/state.py), as with
`--verify digest`. All that a manifest names must be there: what is missing would be claimed, and
not kept. Foreign layers, which must not be pushed, are the exception.
"""

from __future__ import annotations

from casstore.errors import Refused
from casstore.model import mediatype
from casstore.model.imagetree import read_tree
from casstore.model.manifest import Index, parse_document
from casstore.model.state import SETTLED
from casstore.transfer.keptlayers import describe_layer
from casstore.transfer.outputlimit import layer_limit
from casstore.transfer.verification import promised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.model.kept import LayerRecord
    from casstore.model.record import ImageRecord
    from casstore.ports.ingest import Intake


class BlobUnknown(Refused):
    """A manifest that names a blob or a manifest that is not there."""

    def __init__(self, digest: Digest) -> None:
        super().__init__(f"blob {digest} is not in the store, and was not uploaded")
        self.digest = digest


def receive_manifest(data: bytes, top: Descriptor, intake: Intake) -> ImageRecord:
    """Stage a manifest or an index, and describe what is under it.

    Args:
        data: its bytes, of which `top` says what they are.
        top: its descriptor.
        intake: one that looks for uploads.

    Raises:
        BlobUnknown: something that it names is not there.
        Refused: it is wrong, or contradicts another document, or what is known of a layer.
    """
    document = parse_document(data, top)
    if isinstance(document, Index):
        for entry in document.manifests:
            if intake.has(entry.descriptor.digest) is None:
                raise BlobUnknown(entry.descriptor.digest)
    intake.add(data)
    tree = _GivenTree(intake)
    return read_tree(top, tree, lacks=tree.lacks)


class _GivenTree:
    """A `TreeReader` of what is in the store, or was uploaded."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def document(self, descriptor: Descriptor) -> bytes | None:
        self._require(descriptor)
        return self._intake.read(descriptor.digest)

    def layer(self, descriptor: Descriptor, diff_id: Digest | None) -> LayerRecord:
        size = self._require(descriptor)
        known = self._intake.layer(descriptor.digest)
        if known is not None and (known.state == SETTLED or known.diff_id == diff_id):
            return known
        if known is None and diff_id is not None and size == descriptor.size:
            return promised(descriptor, diff_id)
        # Two images promise different things of one layer: only reading it tells which is right.
        limit = layer_limit(self._intake.max_layer_size)
        return describe_layer(self._intake.open(descriptor.digest), descriptor, diff_id, limit)

    def leaf(self, descriptor: Descriptor) -> None:
        if self._require(descriptor) != descriptor.size:
            raise Refused(f"blob {descriptor.digest} is not of the size that the manifest says")

    def lacks(self, manifest: Digest, layer: Digest) -> bool:
        return self._intake.has(layer) is None

    def _require(self, descriptor: Descriptor) -> int:
        size = self._intake.has(descriptor.digest)
        if size is None:
            raise BlobUnknown(descriptor.digest)
        return size


def type_of(data: bytes, told: str) -> str:
    """The media type of a manifest that arrives: as the sender says, else as it says itself.

    Raises:
        Refused: it is not a document.
    """
    if told and told not in _NO_TYPE:
        return told
    from casstore.model.document import Fields, read
    from casstore.model.manifest import DOCUMENT

    fields = Fields(read(data, "the manifest", DOCUMENT), "the manifest")
    own = fields.text("mediaType")
    return own or (mediatype.OCI_INDEX if "manifests" in fields else mediatype.OCI_MANIFEST)


_NO_TYPE = frozenset(("application/octet-stream", "application/json", "text/plain"))
