"""df: what the store holds, what is shared, what could be freed.

What counts as an image, as shared and as unique is dockerd's answer (`system df`, 20.10):
intermediate images are no rows of their own, and share nothing with what is built on them.
"""

from __future__ import annotations

from casstore.model.descriptor import LAYER
from casstore.queries.spacemap import SpaceMap
from casstore.results.space import DiskUsage, DiskUsageRow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.digest import Digest
    from casstore.ports.backend import Backend
    from casstore.ports.view import View


def disk_usage(disk: Backend, view: View, now: int) -> DiskUsage:
    """Count what is on the disk and what each image takes of it; `now` (ns) ends soft leases."""
    return usage_of(disk, SpaceMap(disk, view, now))


def usage_of(disk: Backend, space: SpaceMap) -> DiskUsage:
    """The figures of a map that has been read."""
    users = space.users()
    held = space.held()
    kept: set[Digest] = set().union(*(space.tree(image) for image in held))
    orphans = [
        file.size
        for file in disk.blobs.walk()
        if file.digest is None or file.digest not in space.blobs
    ]
    trashed = space.blobs.keys() - set().union(*(space.tree(facts.id) for facts in space.images))
    trash_bytes = space.stored(trashed)
    return DiskUsage(
        images=len(space.images),
        intermediate=len(space.images) - len(space.listed),
        active=sum(1 for facts in space.listed if facts.id in space.leases),
        dangling=sum(space.is_dangling(facts.id) for facts in space.listed),
        blobs=len(space.blobs),
        stored=space.stored(space.blobs),
        trash=space.trash,
        trash_bytes=trash_bytes,
        shared=space.stored(blob for blob, count in users.items() if count > 1),
        reclaimable=space.stored(space.blobs.keys() - kept) - trash_bytes,
        file_bytes=space.file_bytes(b.digest for b in space.blobs.values() if b.kind == LAYER),
        orphans=len(orphans),
        orphan_bytes=sum(orphans),
        ingest_bytes=disk.arriving_bytes(),
        rows=tuple(row_of(space, facts.id) for facts in space.listed),
    )


def row_of(space: SpaceMap, image: Digest) -> DiskUsageRow:
    """What one listed image takes."""
    facts, estate, users = space.facts[image], space.estate(image), space.users()
    shared = [blob for blob in estate if users[blob] > 1]
    stored, shared_bytes = space.stored(estate), space.stored(shared)
    # Files are counted as SIZE counts them: in one form, and a layer as often as it stands there.
    stack = space.stack(image)
    shared_files = space.file_bytes(layer for layer in stack if users[layer] > 1)
    below = space.facts[facts.parent].size if facts.parent is not None else 0
    return DiskUsageRow(
        facts.id,
        tuple(space.names.get(image, ())),
        facts.created,
        facts.size,
        shared_bytes,
        stored - shared_bytes,
        stored,
        own=max(facts.size - below, 0),
        file_shared=shared_files,
        file_unique=space.file_bytes(layer for layer in stack if users[layer] <= 1),
        leases=tuple(space.leases.get(image, ())),
    )
