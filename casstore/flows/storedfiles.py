"""The blobs of a store as a sink asks for them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from casstore.model.digest import Digest
    from casstore.model.kept import LayerRecord
    from casstore.ports.blobs import Blobs
    from casstore.ports.view import View


class StoredFiles:
    """The `StoredBlobs` of a sink."""

    def __init__(
        self, blobs: Blobs, view: View, found: Mapping[Digest, LayerRecord] | None = None
    ) -> None:
        """`found`: what is known of layers since the view was taken."""
        self._blobs, self._view, self._found = blobs, view, found or {}
        self.read = blobs.read
        self.open = blobs.open
        self.path = blobs.file_of

    def has(self, digest: Digest) -> bool:
        return self._blobs.written(digest) is not None

    def layer(self, digest: Digest) -> LayerRecord | None:
        return self._found.get(digest) or self._view.layer(digest)
