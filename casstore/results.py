"""What the Store's methods return: plain immutable records.

Times are nanoseconds since 1970 or None; sizes are bytes; references are in attach order.
"""

from __future__ import annotations

from casstore.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.errors import CasstoreError
    from casstore.model.digest import Digest
    from casstore.model.reference import Reference
    from casstore.rules.collection import Aim, CollectionPlan, Spared, Step
    from casstore.rules.removal import Removed
    from casstore.rules.view import BlobState


class Renamed(Value):
    """A name that pointed to another image before."""

    name: Reference
    old: Digest


class LoadedImage(Value):
    """An image that a load brought, or found present."""

    id: Digest
    names: tuple[Reference, ...]
    renamed: tuple[Renamed, ...]
    changed: tuple[Reference, ...] = ()  # those of the names that are new, or moved here


class PullResult(Value):
    """What one pull did."""

    images: tuple[LoadedImage, ...]
    warnings: tuple[str, ...] = ()

    @property
    def is_news(self) -> bool:
        """Whether any name is new or points to something else now."""
        return any(image.changed for image in self.images)


class PushedTag(Value):
    """A name that a registry has now."""

    name: Reference
    image: Digest
    digest: Digest  # of the manifest or index
    size: int  # of the manifest or index


class PlatformRow(Value):
    """One image of an index."""

    platform: str  # `linux/arm64`
    id: Digest  # image ID: the digest of its config
    manifest: Digest
    media_type: str  # of the manifest
    size: int  # file bytes of its layers


class LoadResult(Value):
    """What one load did, image by image in the order of the input."""

    images: tuple[LoadedImage, ...]
    warnings: tuple[str, ...] = ()


class Signed(Value):
    """An image that was signed."""

    name: Reference  # as it was meant
    digest: Digest  # of the manifest that is signed
    artifact: Reference | None  # the tag of the signatures; None for a referrer
    manifest: Digest  # of the artifact


class Verified(Value):
    """An image with a good signature."""

    name: Reference
    digest: Digest  # of the manifest
    payloads: tuple[bytes, ...]  # JSON, of each good signature


class ImageSummary(Value):
    """One image of a listing."""

    id: Digest
    names: tuple[Reference, ...]  # those to show
    parent: Digest | None
    created: int | None
    size: int  # file bytes of all layers
    own_size: int  # file bytes of the layers it adds to its parent
    children: int
    labels: tuple[tuple[str, str], ...]
    pinned: bool = False


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

    removed: tuple[Removed, ...]
    reclaimed: int  # file bytes of the freed layers, as Docker counts them
    freed: int  # bytes on disk
    warnings: tuple[str, ...] = ()


class GcResult(Value):
    """What gc removed, or would remove."""

    removed_blobs: int
    removed_files: int  # staging that no live process holds
    freed: int  # bytes on disk
    findings: tuple[str, ...]
    from_trash: int = 0  # bytes of those freed that the trash had held


class StoreFigures(Value):
    """A store in a few numbers."""

    used: int  # bytes of all blobs, as stored
    blobs: int
    images: int
    references: int
    dangling: int  # images without a reference and without a child
    disk_total: int  # bytes of the file system that may be used, in use or free
    disk_free: int


class Collected(Value):
    """What became of one image that a policy chose."""

    step: Step
    freed: int  # bytes of blobs, as stored
    deleted: tuple[Digest, ...]  # the image and the ancestors that went along


class CollectionResult(Value):
    """What gc with a policy did, or would do."""

    policy: tuple[dict[str, object], ...]  # the settings of each rule
    plan: CollectionPlan
    before: StoreFigures
    after: StoreFigures  # of a dry run: as it would be
    freed: int  # bytes on disk: blobs of images, and what nothing referred to
    garbage: GcResult  # of the latter
    removed: tuple[Collected, ...]
    kept: tuple[Spared, ...]
    aims: tuple[Aim, ...]
    ended: str  # "done", "stopped" (it was asked to) or "locked" (another process kept the store)
    duration: int  # ns
    turns: int  # how often the lock was taken for removals
    longest_turn: int  # ns that it was held at most
    warnings: tuple[str, ...]

    @property
    def reached(self) -> bool:
        """Whether every goal of the policy is met."""
        return all(aim.reached for aim in self.aims)


class Finding(Value):
    """One thing that a check saw."""

    level: str  # "error", "warn" or "note"
    code: str
    object: str
    text: str


class CheckResult(Value):
    """What fsck found, after the repairs if any were asked for."""

    findings: tuple[Finding, ...]
    blobs: int  # blobs read
    bytes: int  # bytes read
    repaired: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether there is nothing but notes."""
        return all(finding.level == "note" for finding in self.findings)


class HistoryRow(Value):
    """One step of an image's history."""

    id: Digest | None  # the image or recorded ancestor that ends with this step
    created: int | None
    created_by: str
    size: int
    comment: str
    tags: tuple[Reference, ...]


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
    labels: tuple[tuple[str, str], ...]
    blobs: tuple[int, ...]  # places in `Inventory.blobs`: layers bottom first, then documents


class Inventory(Value):
    """Everything in a store at one moment, as the report shows it."""

    store: str  # its directory
    taken: int
    usage: DiskUsage
    blobs: tuple[BlobState, ...]
    images: tuple[InventoryImage, ...]


class TrashEntry(Value):
    """A removal that can be undone."""

    id: int
    names: tuple[Reference, ...]  # that went
    images: tuple[Digest, ...]  # the one removed or untagged, then parents that went with it
    removed: int
    expires: int  # from then on, the next removal, load or gc may empty it
    size: int  # bytes as stored that nothing else holds: what emptying it would free


class RestoreResult(Value):
    """What came back from the trash."""

    images: tuple[Digest, ...]  # without those that were there again; parents first
    names: tuple[Reference, ...]
    warnings: tuple[str, ...] = ()


class EmptiedTrash(Value):
    """What left the trash for good."""

    entries: tuple[int, ...]
    freed: int  # bytes on disk
    warnings: tuple[str, ...] = ()


class SettingValue(Value):
    """A setting of a store."""

    name: str
    value: str  # in force
    default: str
    is_set: bool
    help: str


class LeaseInfo(Value):
    """A lease."""

    name: str
    image: Digest
    kind: str  # "hard" or "soft"
    expires: int | None
    holder: str


class Image(Value):
    """An image, as `Store.get` finds it."""

    id: Digest
    names: tuple[Reference, ...]
    parent: Digest | None
    created: int | None
    size: int
    labels: tuple[tuple[str, str], ...]
    os: str
    architecture: str
    variant: str
    manifests: tuple[Digest, ...]
    layers: tuple[Digest, ...]  # of the first manifest, bottom first, as stored
