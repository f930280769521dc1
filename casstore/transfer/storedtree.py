"""Image trees read from the blobs of a store in place.

Everything is verified: documents and other blobs by whoever walks the tree (model/imagetree.py),
layers here, down to the bytes in them. What was read is not kept, so that a store of any size can
be read; only the last layers are, for images share them.
"""

from __future__ import annotations

from casstore.errors import CasstoreError, Damaged, StorageError
from casstore.model.digest import Digest, sha256
from casstore.model.document import MAX_DOCUMENT
from casstore.model.kept import LayerRecord
from casstore.model.mediatype import is_encrypted
from casstore.model.state import PROMISED, SETTLED
from casstore.transfer.keptlayers import describe_layer
from casstore.transfer.layerstream import HEAD_SIZE, NONE, compression_of
from casstore.transfer.layertar import LayerScanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from casstore.model.descriptor import Descriptor
    from casstore.ports.blobs import Blobs

_SMALL = 64 << 10  # bytes of a layer that is read in one piece
_KEPT = 8192  # layers


class StoredTree:
    """Reads image trees from blobs in place: a `TreeReader` that verifies all it reads."""

    def __init__(
        self,
        blobs: Blobs,
        known: Callable[[Digest], LayerRecord | None] | None = None,
        *,
        leave_out: bool = False,
    ) -> None:
        """Of the blobs of a store.

        Args:
            blobs: where they are.
            known: says what is known of a layer whose blob was verified before.
            leave_out: what the operating system cannot read is as good as damaged. Otherwise it is
                a StorageError: it says nothing about what is stored.
        """
        self._blobs = blobs
        self._known = known
        self._leave_out = leave_out
        self._layers: dict[Digest, LayerRecord] = {}
        self.unverified = 0  # blobs whose content was not read, or is not what it should be

    def document(self, descriptor: Descriptor) -> bytes | None:
        try:
            return self._blobs.content(descriptor.digest, MAX_DOCUMENT)
        except StorageError as error:
            raise self._unreadable(error) from None

    def layer(self, descriptor: Descriptor, diff_id: Digest | None) -> LayerRecord:
        digest = descriptor.digest
        record = self._layers.get(digest)
        if record is None and self._known is not None:
            record = self._known(digest)
        if record is None:
            record = self._small_plain_layer(descriptor, diff_id)
        if record is None:
            try:
                record = describe_layer(self._blobs.open(digest), descriptor, diff_id)
            except CasstoreError as error:
                refusal = self._refusal(error)
                if diff_id is None or isinstance(refusal, StorageError):
                    raise refusal from None
                # Missing or damaged: the image keeps its place and its name, fsck tells of this.
                self.unverified += 1
                size, kind = descriptor.size, descriptor.media_type
                record = LayerRecord(digest, size, kind, diff_id, 0, size, PROMISED)
        if len(self._layers) >= _KEPT:
            self._layers.clear()
        self._layers[digest] = record
        return record

    def _small_plain_layer(
        self, descriptor: Descriptor, diff_id: Digest | None
    ) -> LayerRecord | None:
        """The record of a layer stored as it is, in little more than the time to read it.

        None for all others, and wherever anything is wrong: `describe_layer` finds out what.
        """
        media_type, digest, size = descriptor
        if size > _SMALL or diff_id != digest or is_encrypted(media_type):
            return None
        try:
            data = self._blobs.content(digest, size)
        except CasstoreError:
            return None
        if data is None or len(data) != size or sha256(data) != digest:
            return None
        if compression_of(data[:HEAD_SIZE]) != NONE:
            return None
        scanner = LayerScanner()
        scanner.feed(data)
        values = digest, size, media_type, digest, size, scanner.file_bytes, SETTLED
        return LayerRecord._make(values)

    def lacks(self, manifest: Digest, layer: Digest) -> bool:
        """Whether the store lacks this layer, which may be kept elsewhere."""
        try:
            return self._blobs.size(layer) is None
        except StorageError as error:
            raise self._unreadable(error) from None

    def leaf(self, descriptor: Descriptor) -> None:
        self.unverified += 1
        try:
            size = self._blobs.size(descriptor.digest)
        except StorageError as error:
            raise self._unreadable(error) from None
        if size != descriptor.size:
            raise Damaged(f"blob {descriptor.digest} is missing or of another size")

    def _refusal(self, error: CasstoreError) -> CasstoreError:
        return self._unreadable(error) if isinstance(error, StorageError) else error

    def _unreadable(self, error: StorageError) -> CasstoreError:
        return Damaged(f"{error}") if self._leave_out else error
