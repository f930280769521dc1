"""What a plan is made from: the whole index, last uses, leases, and figures of the disk."""

from __future__ import annotations

import os

from casstore.disk.local import current_time
from casstore.disk.sqlitesnapshot import read_snapshot
from casstore.results.upkeep import StoreFigures
from casstore.rules.collection import Moment
from casstore.rules.policy import Disk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.disk.local import LocalStore
    from casstore.disk.sqliteview import SqliteView
    from casstore.model.digest import Digest
    from casstore.rules.snapshot import Snapshot
    from casstore.rules.view import LabelRoom


def read_facts(disk: LocalStore, view: SqliteView, room: LabelRoom) -> tuple[Snapshot, Moment]:
    """The store as it is now, with what `room` asks for of the labels. No lock is taken."""
    now = current_time()
    hard: dict[Digest, list[str]] = {}
    for lease in disk.hard_leases():
        for image in lease.images:
            hard.setdefault(image, []).append(lease.name)
    snapshot = read_snapshot(view, hard, now, room)
    uses = disk.uses.read(now)
    for image in snapshot.facts:
        if image not in uses:
            uses[image] = _arrival(disk, snapshot, image)
    return snapshot, Moment(now, _disk(disk), uses)


def figures(disk: LocalStore, snapshot: Snapshot) -> StoreFigures:
    """A snapshot in a few numbers, and the disk as it is now."""
    space = _disk(disk)
    return StoreFigures(
        used=snapshot.stored,
        blobs=snapshot.blobs,
        images=len(snapshot.facts),
        references=snapshot.references,
        dangling=sum(map(snapshot.is_dangling, snapshot.facts)),
        disk_total=space.total,
        disk_free=space.free,
    )


def _arrival(disk: LocalStore, snapshot: Snapshot, image: Digest) -> int:
    """When an image came that nobody is known to have used: the age of its manifest's file."""
    for manifest in snapshot.manifests_of(image):
        written = disk.blobs.written(manifest.digest)
        if written is not None:
            return written
    return 0


def _disk(disk: LocalStore) -> Disk:
    status = os.statvfs(disk.root)
    # as df counts: what only the superuser may fill is neither used nor free
    used = status.f_blocks - status.f_bfree
    return Disk((used + status.f_bavail) * status.f_frsize, status.f_bavail * status.f_frsize)
