"""What a plan is made from: the whole index, last uses, leases, and figures of the disk."""

from __future__ import annotations

from casstore.clock import current_time
from casstore.results.upkeep import StoreFigures
from casstore.rules.collection import Moment
from casstore.rules.dangling import is_dangling_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.digest import Digest
    from casstore.model.kept import LabelRoom
    from casstore.model.snapshot import Snapshot
    from casstore.ports.backend import Backend
    from casstore.ports.view import View


def read_facts(disk: Backend, view: View, room: LabelRoom) -> tuple[Snapshot, Moment]:
    """The store as it is now, with what `room` asks for of the labels. No lock is taken."""
    now = current_time()
    hard: dict[Digest, list[str]] = {}
    for lease in disk.hard_leases():
        for image in lease.images:
            hard.setdefault(image, []).append(lease.name)
    snapshot = view.whole(hard, now, room)
    uses = disk.uses.read(now)
    for image in snapshot.facts:
        if image not in uses:
            uses[image] = _arrival(disk, snapshot, image)
    return snapshot, Moment(now, disk.space(), uses)


def figures(disk: Backend, snapshot: Snapshot) -> StoreFigures:
    """A snapshot in a few numbers, and the disk as it is now."""
    space = disk.space()
    return StoreFigures(
        used=snapshot.stored,
        blobs=snapshot.blobs,
        images=len(snapshot.facts),
        references=snapshot.references,
        dangling=sum(is_dangling_in(snapshot, image) for image in snapshot.facts),
        disk_total=space.total,
        disk_free=space.free,
    )


def _arrival(disk: Backend, snapshot: Snapshot, image: Digest) -> int:
    """When an image came that nobody is known to have used: the age of its manifest's file."""
    for manifest in snapshot.manifests_of(image):
        written = disk.blobs.written(manifest.digest)
        if written is not None:
            return written
    return 0
