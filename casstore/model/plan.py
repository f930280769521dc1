"""What a removal does, decided and not yet done."""

from __future__ import annotations

from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.digest import Digest
    from casstore.model.reference import Reference


class Removed(Value):
    """One line of what a removal did."""

    kind: str  # UNTAGGED or DELETED
    text: str  # the familiar reference, or 64 hex digits
    digest: Digest | None  # of the image or layer; None for a reference
    role: str  # "reference", "image" or "layer"
    size: int  # bytes on disk that this line freed (an image's line counts its documents)
    file_bytes: int  # of a freed layer: bytes of its regular files


class RemovalPlan(Value):
    """All that one removal changes, and the lines that tell of it."""

    untag: tuple[Reference, ...]
    detach: tuple[tuple[Digest, Digest], ...]  # (image, manifest) that the image gives up
    delete: tuple[Digest, ...]  # images, a child before its parent
    free: tuple[Digest, ...]  # blobs that nothing needs any more, a document before its children
    lines: tuple[Removed, ...]
    freed: int  # bytes on disk
    kept: tuple[tuple[Digest, Digest], ...]  # (image, layer) of layers that outlive their image


UNTAGGED = "untagged"


DELETED = "deleted"
