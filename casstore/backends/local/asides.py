"""Databases that were put aside because they were damaged, or old copies: gc removes them in time.

They are kept for people, who can look for what a new database has not got: leases by name, settings
and the trash. Nothing of casstore reads them.
"""

from __future__ import annotations

import os

from casstore.ports.backend import ASIDE_DAYS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.backends.local.directory import LocalStore

ASIDE = "casstore.db.damaged-"
_DAY = 86400 * 10**9


def old_copies(disk: LocalStore, now: int) -> list[tuple[str, int]]:
    """Names and sizes of those whose days are over at `now` (ns)."""
    old = []
    for name in sorted(os.listdir(disk.root)):
        if name.startswith(ASIDE):
            try:
                status = os.lstat(os.path.join(disk.root, name))
            except FileNotFoundError:
                continue
            # The last change of the inode is the rename that put it aside, or that of a copy.
            if now - status.st_ctime_ns > ASIDE_DAYS * _DAY:
                old.append((name, status.st_size if status.st_nlink == 1 else 0))
    return old


def remove_copies(disk: LocalStore, copies: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Remove what `old_copies` found; those that are gone."""
    gone = []
    for name, size in copies:
        try:
            os.unlink(os.path.join(disk.root, name))
        except OSError:
            continue  # another user's, say: the next gc tries again
        gone.append((name, size))
    return gone
