"""What keeping a store in order did: gc, policies, fsck."""

from __future__ import annotations

from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.digest import Digest
    from casstore.rules.collection import Aim, CollectionPlan, Spared, Step


class GcResult(Value):
    """What gc removed, or would remove."""

    removed_blobs: int
    removed_files: int  # staging that no live process holds, tables of contents without a layer
    freed: int  # bytes on disk
    findings: tuple[str, ...]
    from_trash: int = 0  # bytes of those freed that the trash had held
    # Layers that were taken in by their digests and read now: how many are what their images say,
    # and a line for each that is not, with the images that need it.
    settled: int = 0
    damaged: tuple[str, ...] = ()


class SettleResult(Value):
    """What reading layers has found that were taken in by their digests alone."""

    settled: int  # layers that are what their images say
    left: int  # layers that nobody has read still
    damaged: tuple[str, ...]  # a line for each that is not what it should be, with its images
    warnings: tuple[str, ...]  # why a layer could not be read: it is past a limit, say


class StoreFigures(Value):
    """A store in a few numbers."""

    used: int  # bytes of all blobs, as stored
    blobs: int
    images: int
    references: int
    dangling: int  # images that prune takes: no tag, no child, and not about another image
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
