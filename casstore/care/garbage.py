"""gc: finish what crashes left half done, and remove what nothing needs.

Blobs go by reachability from the index, decided under the lock: a load that relies on an existing
blob holds its own link to it (disk/ingest.py), so there is no grace period and nothing to break.
What another tool's index.json or an unreadable document could still need is never removed here:
the index is complete, or the sweep does not run.
"""

from __future__ import annotations

import time

from casstore.care.published import kept_files
from casstore.disk.leftovers import leftovers, remove_leftovers
from casstore.errors import Damaged, quote
from casstore.results import GcResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.commit import Change
    from casstore.disk.local import LocalStore

FOREVER = (1 << 63) - 1  # ns: every entry of the trash has expired then
MANY = 1 << 62


def collect_garbage(
    disk: LocalStore, change: Change, *, dry_run: bool, empty_trash: bool
) -> GcResult:
    """Remove orphaned blobs, dead staging, expired leases, and what of the trash has expired.

    The lock is held; what a crash interrupted was finished when the change began.

    Raises:
        Damaged: an image that may hold blobs could not be read when the database was rebuilt.
    """
    index = change.index
    kept = kept_files(disk)
    if kept:
        raise Damaged(
            f"nothing is removed while {', '.join(kept)} lists what cannot be read; casstore fsck"
            " --repair tries again; if nothing in it is needed, remove it"
        )
    findings: list[str] = []
    expired = index.drop_expired(time.time_ns())
    if expired:
        findings.append(f"{expired} expired leases removed")
    emptied = index.drop_expired_trash(FOREVER if empty_trash else change.now, most=MANY)
    if emptied:
        findings.append(f"{emptied} entries of the trash removed")
    orphans, freed, strays = [], 0, []
    for name, digest, status in disk.blobs.strangers(index.all_blob_names()):
        if digest is None:
            findings.append(f"foreign file in blobs/sha256: {quote(name)}")
        else:
            orphans.append(digest)
            freed += status.st_size if status.st_nlink == 1 else 0
    strays = leftovers(disk.root)
    if dry_run:
        return GcResult(len(orphans), len(strays), freed, tuple(findings))
    change.commit()
    findings += change.warnings
    findings += disk.blobs.discard(orphans)
    files, size = remove_leftovers(disk.root)
    freed += size
    _checkpoint(change)
    return GcResult(len(orphans), files, freed, tuple(findings))


def _checkpoint(change: Change) -> None:
    """Bring the write-ahead log back into the database, for the log only ever grows otherwise."""
    change.index.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
