"""df: what the store holds, what is shared, what could be freed."""

from __future__ import annotations

from casstore.model.record import LAYER
from casstore.results import DiskUsage, DiskUsageRow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.disk.local import LocalStore
    from casstore.disk.sqliteview import SqliteView
    from casstore.model.digest import Digest


def disk_usage(disk: LocalStore, view: SqliteView) -> DiskUsage:
    """Count what is on the disk and what each image takes of it."""
    view.connection.execute("BEGIN")  # one snapshot for all that follows
    try:
        images = view.all_images()
        names_of = view.all_references()
        parents = view.all_parents()
        blobs = {state.digest: state for state in view.all_blobs()}
        trees = {facts.id: _tree(view, facts.id) for facts in images}
        layer_bytes = sum(state.file_bytes for state in blobs.values() if state.kind == LAYER)
        held = {image for _, image, _ in view.all_leases()}
    finally:
        view.connection.execute("ROLLBACK")
    held |= {image for lease in disk.hard_leases() for image in lease.images}
    users: dict[Digest, int] = {}
    for tree in trees.values():
        for blob in tree:
            users[blob] = users.get(blob, 0) + 1
    kept: set[Digest] = set().union(*(trees[image] for image in held if image in trees))
    rows = []
    for facts in images:
        tree = trees[facts.id]
        shared = sum(blobs[blob].size for blob in tree if users[blob] > 1)
        stored = sum(blobs[blob].size for blob in tree)
        rows.append(
            DiskUsageRow(
                facts.id,
                tuple(names_of.get(facts.id, ())),
                facts.created,
                facts.size,
                shared,
                stored - shared,
                stored,
            )
        )
    orphans = [
        status.st_size
        for _, digest, status in disk.blobs.walk()
        if digest is None or digest not in blobs
    ]
    return DiskUsage(
        images=len(images),
        active=len(held & trees.keys()),
        dangling=sum(1 for i in images if not names_of.get(i.id) and i.id not in parents),
        blobs=len(blobs),
        stored=sum(state.size for state in blobs.values()),
        shared=sum(blobs[blob].size for blob, count in users.items() if count > 1),
        reclaimable=sum(state.size for state in blobs.values() if state.digest not in kept),
        file_bytes=layer_bytes,
        orphans=len(orphans),
        orphan_bytes=sum(orphans),
        ingest_bytes=_bytes_in(disk.ingest),
        rows=tuple(rows),
    )


def _tree(view: SqliteView, image: Digest) -> set[Digest]:
    """Every blob that an image needs."""
    found: set[Digest] = set()
    todo = [state.digest for state in view.manifests_of(image)]
    while todo:
        blob = todo.pop()
        if blob not in found:
            found.add(blob)
            todo += (need.digest for need in view.needs_of(blob))
    return found


def _bytes_in(directory: str) -> int:
    """Bytes of files that stand nowhere else but below `directory`."""
    import os

    total = 0
    for folder, _, files in os.walk(directory):
        for name in files:
            try:
                status = os.lstat(os.path.join(folder, name))
            except FileNotFoundError:
                continue
            if status.st_nlink == 1:
                total += status.st_size
    return total
