"""Pointers to blobs, and what a blob can be to an image."""

from __future__ import annotations

from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.digest import Digest

# Kinds of blob: what a blob is to the image that holds it.
INDEX = "index"
MANIFEST = "manifest"
CONFIG = "config"
LAYER = "layer"
OTHER = "other"  # an artifact's config or payload: held, never interpreted


class Descriptor(Value):
    """A typed, sized pointer to a blob: what one document says of another (descriptor.md)."""

    media_type: str
    digest: Digest
    size: int  # bytes as stored, so compressed where the blob is
