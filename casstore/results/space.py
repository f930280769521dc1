"""Where the space goes: df, tree, why and the report."""

from __future__ import annotations

from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime

    from casstore.model.digest import Digest
    from casstore.model.reference import Reference
    from casstore.model.state import BlobState


class DiskUsageRow(Value):
    """What one image takes, with the intermediate images that would go with it."""

    id: Digest
    names: tuple[Reference, ...]
    created: int | None
    size: int  # file bytes of all layers
    shared: int  # bytes as stored that other images need too
    unique: int  # bytes as stored that would go with it
    stored: int  # bytes as stored: shared + unique
    own: int  # file bytes that it adds to its parent
    file_shared: int  # file bytes of layers that other images need too
    file_unique: int  # file bytes of layers that would go with it
    leases: tuple[str, ...]  # names of its leases, hard ones first

    @property
    def created_at(self) -> datetime | None:
        """`created` as a datetime in UTC."""
        from casstore.model.datetimes import datetime_or_none

        return datetime_or_none(self.created)


class DiskUsage(Value):
    """What the store holds."""

    images: int  # all, intermediate ones too
    intermediate: int  # of them, without a name and with children: no rows of their own
    active: int  # held by a lease
    dangling: int
    blobs: int
    stored: int  # bytes of all blobs
    shared: int  # of them, needed by more than one image
    reclaimable: int  # bytes that `prune -a` would free: of images without a lease
    file_bytes: int  # uncompressed, each layer once
    orphans: int  # blobs that nothing needs; gc takes them
    orphan_bytes: int
    ingest_bytes: int  # data still arriving
    rows: tuple[DiskUsageRow, ...]
    trash: int = 0  # removals that can be undone
    trash_bytes: int = 0  # bytes of blobs that the trash alone holds


class TreeRow(Value):
    """One line of the tree of images, which is a list in the order in which it is drawn."""

    depth: int  # 0 for a root
    last: bool  # whether it is the last below what it stands under
    image: Digest | None  # None for layers that several images share, and that are no image
    names: tuple[Reference, ...]
    layers: tuple[Digest, ...]  # blobs that it adds to what it stands under, bottom first
    own: int  # file bytes of these layers
    size: int  # file bytes of all layers from the root
    stored: int  # bytes as stored of these layers
    created: int | None
    below: int  # images anywhere under it

    @property
    def created_at(self) -> datetime | None:
        """`created` as a datetime in UTC."""
        from casstore.model.datetimes import datetime_or_none

        return datetime_or_none(self.created)


class Keeper(Value):
    """Something that keeps an image or a blob in the store."""

    # "reference", "child", "subject", "lease", "pin", "index", "manifest", "image" or "trash"
    kind: str
    digest: Digest | None  # the document or image that keeps it; None for a name
    text: str  # the reference, the name of a lease, the names of an image, the entry of the trash
    detail: str  # of a lease: "hard" or "soft", with its holder or its end; of trash its end


class Kept(Value):
    """An image or a blob, and all that keeps it."""

    kind: str  # "image", or the kind of blob: model.record
    digest: Digest
    size: int  # file bytes of an image, bytes as stored of a blob
    keepers: tuple[Keeper, ...]


MAX_LABELS = 40  # of an image, and characters of each: the report's page shall stay small
MAX_LABEL = 200


class InventoryLayer(Value):
    """The files that a layer brings to one image of an inventory."""

    blob: int  # place in `Inventory.blobs`
    size: int  # bytes of its files
    overwritten: int  # of them, bytes in whose place later layers have something else
    deleted: int  # of them, bytes that later layers delete


class InventoryImage(Value):
    """One image of an inventory, with the intermediate images that would go with it."""

    id: Digest
    names: tuple[Reference, ...]
    created: int | None
    used: int | None  # last use, where it is known
    size: int  # file bytes of all layers
    frees: int  # bytes on disk that `rmi -f` of this image alone frees
    refusal: str  # why `rmi -f` does not remove it, "" where it does
    leases: tuple[str, ...]
    pinned: bool
    base: int  # place in `Inventory.images` of the image it is built on, -1 for none
    labels: tuple[tuple[str, str], ...]  # the first MAX_LABELS, little more than MAX_LABEL of each
    blobs: tuple[int, ...]  # places in `Inventory.blobs`: layers bottom first, then documents
    # What its layers bring, bottom first, each blob once; None where nobody has looked into all.
    layers: tuple[InventoryLayer, ...] | None = None


class Inventory(Value):
    """Everything in a store at one moment, as the report shows it."""

    store: str  # its directory
    taken: int
    usage: DiskUsage
    blobs: tuple[BlobState, ...]
    images: tuple[InventoryImage, ...]
