"""Leases as users see them: hard ones by live processes, soft ones by name with an expiry."""

from __future__ import annotations

from casstore.errors import UsageError, quote
from casstore.results import LeaseInfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.disk.local import LocalStore
    from casstore.disk.sqliteview import SqliteView

_LEGAL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
MAX_NAME = 128


def check_lease_name(name: str) -> None:
    """Raises UsageError unless `name` is 1 to 128 of letters, digits and `_.-`."""
    if not name or len(name) > MAX_NAME or not _LEGAL.issuperset(name):
        raise UsageError(f"invalid lease name {quote(name)}")


def live_leases(disk: LocalStore, view: SqliteView, now: int) -> list[LeaseInfo]:
    """Hard leases whose process lives, then soft ones that have not expired."""
    hard = [
        LeaseInfo(lease.name, image, "hard", None, lease.holder)
        for lease in disk.hard_leases()
        for image in lease.images
    ]
    soft = [
        LeaseInfo(name, image, "soft", expires, "")
        for name, image, expires in view.all_leases()
        if expires is None or expires > now
    ]
    return hard + soft
