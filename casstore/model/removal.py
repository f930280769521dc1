"""Removals: planned and not yet made, and made, as rmi and prune tell of them."""

from __future__ import annotations

from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from casstore.errors import CasstoreError
    from casstore.model.digest import Digest
    from casstore.model.reference import Reference

UNTAGGED, DELETED = "untagged", "deleted"


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


class Outcome(Value):
    """What became of one IMAGE argument of a removal."""

    argument: str
    lines: tuple[Removed, ...]
    error: CasstoreError | None
    kept: tuple[str, ...]  # one line for each layer that something else still needs
    trash: int | None = None  # the entry of the trash that has it


class RemovalResult(Value):
    """What a removal did, or would do."""

    outcomes: tuple[Outcome, ...]
    freed: int  # bytes on disk
    exit_code: int
    warnings: tuple[str, ...] = ()


class PruneResult(Value):
    """What a prune did, or would do."""

    removed: Sequence[Removed]
    reclaimed: int  # file bytes of the freed layers, as Docker counts them
    freed: int  # bytes on disk
    warnings: tuple[str, ...] = ()
    turns: int = 1  # each a durable change of its own, with the lock free in between
    error: CasstoreError | None = None  # what ended it early; what is in `removed` went before
    stopped: bool = False  # it was asked to end, and ended early
