"""Records: what the tag index knows of blobs, layers and images, as plain values.

A source (archive, layout, registry) produces them; the index stores them; `fsck --rebuild` makes
them again from the blobs alone.
"""

from __future__ import annotations

from casstore.model.kept import StoredImage
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.model.kept import LayerRecord
    from casstore.model.labels import Labels
    from casstore.model.reference import Reference


class BlobRecord(Value):
    """A blob of an image and the blobs that it needs in turn."""

    digest: Digest
    size: int  # bytes as stored
    kind: str  # of model.descriptor
    children: tuple[
        Digest, ...
    ]  # in document order: config first, then layers bottom first; repeats stand


class ImageRecord(Value):
    """An image as its documents describe it."""

    id: Digest  # digest of the config; of the index or manifest where there is no image config
    top: Descriptor  # the manifest or index that names point to
    blobs: tuple[
        BlobRecord, ...
    ]  # the whole tree under `top`, each blob once, a parent before its children
    layers: tuple[LayerRecord, ...]  # each once, bottom first (of all platforms for an index)
    created: int | None  # nanoseconds since 1970, None where the config does not say
    labels: Labels  # sorted by key
    os: str
    architecture: str
    variant: str
    size: int  # file bytes of all layers, a repeated layer counted each time
    subject: Digest | None = None  # the manifest that `top` refers to; it need not be there
    kept: StoredImage | None = None  # what is to be kept of it, where no document says all of that

    def stored(self) -> StoredImage:
        """What is kept of it where it is new; parents are linked when all images are in."""
        if self.kept is not None:
            return self.kept._replace(parent=None)
        return StoredImage._make([getattr(self, name, None) for name in StoredImage._fields])

    def arriving(self, at: int | None) -> ImageRecord:
        """This image as one that the store takes in at that time, or has taken in, in ns."""
        return self._replace(kept=self.stored()._replace(arrived=at))


class Arrival(Value):
    """An image about to enter the store, with the names it shall get."""

    image: ImageRecord
    names: tuple[Reference, ...]  # in the order in which they are to be attached
    parent: Digest | None  # image ID of the recorded parent, to be linked after all images are in
