"""gc: finish what crashes left half done, and remove what nothing needs.

Blobs go by reachability from the index, decided under the lock: a load that relies on an existing
blob holds its own link to it until its commit, so there is no grace period and nothing to break.
The search for them takes no lock; what it finds is looked up again before it goes, some at a time,
so that no writer waits for a large clean-up.
What another tool's index.json or an unreadable document could still need is never removed here:
the index is complete and sound, or the sweep does not run.
"""

from __future__ import annotations

import time

from casstore.clock import current_time
from casstore.errors import Damaged, quote
from casstore.ports.backend import ASIDE_DAYS
from casstore.results.upkeep import GcResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol, TypeVar

    from casstore.change.commit import Change
    from casstore.change.rehearsal import Rehearsal
    from casstore.model.digest import Digest
    from casstore.ports.backend import Backend
    from casstore.ports.view import View
    from casstore.progress import Progress

    T = TypeVar("T")

    class Turn(Protocol):
        """Takes the lock, begins a change, acts, and gives the lock back; acts again if need be.

        Of a dry run: acts on a copy of the index, without the lock.
        """

        def __call__(self, act: Callable[[Any], T]) -> T: ...


TURN = 0.04  # seconds for which one turn with the lock unlinks, whatever the disk makes of it
MOST = 4000  # blobs that a turn looks up before it unlinks: 5 ms
PAUSE = 0.005  # seconds between two turns: waiting writers look every 2 ms
FOREVER = (1 << 63) - 1  # ns: every entry of the trash has expired then
MANY = 1 << 62


def collect_garbage(
    disk: Backend,
    look: Callable[[], View],
    turn: Turn,
    *,
    dry_run: bool,
    empty_trash: bool,
    progress: Progress | None = None,
) -> GcResult:
    """Remove orphaned blobs, dead staging, expired leases, and what of the trash has expired.

    Args:
        disk: the store's directory.
        look: gives a look at the store as it is then.
        turn: makes a change that frees space; what a crash interrupted is finished before.
        dry_run: change nothing (`turn` does not either), return what would happen.
        empty_trash: remove all of the trash.
        progress: gets a task `Collecting` of blobs.

    Raises:
        Damaged: an image that may hold blobs could not be read when the database was rebuilt; or
            the database is damaged, so that blobs may be missing in it that images need.
    """
    left = disk.unfinished()
    first = turn(lambda change: _first_turn(disk, change, dry_run=dry_run, all_=empty_trash))
    blobs, files, size = left.would_go() if dry_run else left.gone()
    findings = list(first.findings)
    removed, files = blobs + first.removed_blobs, files + first.removed_files
    size += first.freed
    orphans: list[tuple[Digest, int]] = []
    view = look()
    for file in disk.blobs.strangers(view.digests()):
        if file.digest is None:
            findings.append(f"foreign file in blobs/sha256: {quote(file.name)}")
        else:
            orphans.append((file.digest, file.freed))
    if orphans:
        disk.checks.require_sound()
    task = None
    if progress is not None:
        task = progress.task("Collecting", len(orphans), unit="blobs")
    at = 0
    while at < len(orphans):
        if dry_run:
            gone, at = orphans, len(orphans)
        else:
            if at:
                time.sleep(PAUSE)
            some = orphans[at : at + MOST]
            count, gone, problems = turn(lambda change, some=some: _unlink(disk, change, some))  # type: ignore[misc]
            findings += problems
            at += count
        removed += len(gone)
        size += sum(freed for _, freed in gone)
        if task is not None:
            task.reach(at)
    if task is not None:
        task.finish()
    tables, freed = _tables(disk, dry_run=dry_run)
    if not dry_run:
        findings += disk.checks.recount(look, turn)
    return GcResult(removed, files + tables, size + freed, tuple(findings), first.from_trash)


def _tables(disk: Backend, *, dry_run: bool) -> tuple[int, int]:
    """Remove tables of contents whose layer is gone; how many, and their bytes.

    No lock is needed: a table is of its layer whenever that comes back, and is made again if it is
    missing then.
    """
    orphans = [
        (file.digest, file.freed)
        for file in disk.contents.walk()
        if file.digest is not None and disk.blobs.size(file.digest) is None
    ]
    if orphans and not dry_run:
        disk.contents.discard([layer for layer, _ in orphans])
    return len(orphans), sum(freed for _, freed in orphans)


def _first_turn(
    disk: Backend, change: Change | Rehearsal, *, dry_run: bool, all_: bool
) -> GcResult:
    """All but orphaned blobs: leases and the trash, then staging of processes that are gone."""
    kept = disk.checks.kept_aside()
    if kept:
        raise Damaged(
            f"nothing is removed while {', '.join(kept)} lists what cannot be read; casstore fsck"
            " --repair tries again; if nothing in it is needed, remove it"
        )
    findings: list[str] = []
    left = frozenset(change.index.doomed())  # by a change that was stopped
    expired = change.index.drop_expired(current_time())
    if expired:
        findings.append(f"{expired} expired leases removed")
    emptied = change.index.drop_expired_trash(FOREVER if all_ else change.now, most=MANY)
    if emptied:
        findings.append(f"{emptied} entries of the trash removed")
    doomed = [blob for blob in change.index.doomed() if blob not in left]
    trashed = sum(disk.blobs.size(blob) or 0 for blob in doomed)
    change.commit()
    old = disk.old_copies(change.now)
    if not dry_run:
        old = disk.remove_copies(old)
        disk.remove_leftovers()
        change.index.compact()
    findings += [f"{name} removed: put aside more than {ASIDE_DAYS} days ago" for name, _ in old]
    findings += change.warnings
    size = trashed + sum(byte_count for _, byte_count in old)
    return GcResult(len(doomed), len(old), size, tuple(findings), trashed)


def _unlink(
    disk: Backend, change: Change, orphans: list[tuple[Digest, int]]
) -> tuple[int, list[tuple[Digest, int]], list[str]]:
    """Unlink those that are orphans still, for a load may have brought some since, until TURN ends.

    Returns:
        How many of `orphans` are done with, those of them that were unlinked, and what went wrong.
    """
    known = change.index.known_among([digest for digest, _ in orphans])
    left = [one for one in orphans if one[0] not in known] if known else orphans
    count, problems = disk.blobs.discard_some([digest for digest, _ in left], TURN)
    done = orphans.index(left[count]) if count < len(left) else len(orphans)
    gone = left[:count]
    if problems:
        gone = [one for one in gone if disk.blobs.written(one[0]) is None]
    return done, gone, problems
