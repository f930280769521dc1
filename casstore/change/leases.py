"""Leases: hard ones by live processes, soft ones by name with an expiry."""

from __future__ import annotations

import os

from casstore.errors import UsageError, quote
from casstore.results.leases import LeaseInfo
from casstore.rules.resolve import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from casstore.ports.backend import Backend
    from casstore.ports.view import View

_LEGAL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
MAX_NAME = 128


class Lease:
    """A hard lease: it ends with the context, with `release`, or with the process.

    A forked child does not end it, whatever it does with its copy, and holds the images too until
    it releases them or ends. So a daemon keeps the lease that it has from its parent.
    """

    def __init__(
        self, disk: Backend, look: Callable[[], View], images: Sequence[str],
        name: str | None = None, command: str = "", *, timeout: float,
    ) -> None:  # fmt: skip
        """Take the lease, without the writers' lock; no removal can come between.

        Args:
            disk: the store.
            look: gives a look at the store as it is then.
            images: what to hold.
            name: of the lease.
            command: what others are told of this process; the program's name by default.
            timeout: seconds to wait for removals that are being committed.

        Raises:
            NotFound: one of the images is not in the store.
            UsageError: a name that is none.
        """
        self.name = name if name is not None else f"process-{os.getpid()}"
        check_lease_name(self.name)
        with disk.door(timeout, shared=True):
            view = look()
            self.images = tuple(resolve(view, image).image for image in images)
            self._token = disk.hold(self.name, command, self.images)

    def __repr__(self) -> str:
        held = ", ".join(image.short for image in self.images)
        return f"<casstore.Lease {self.name!r} on {held or 'nothing'}>"

    @property
    def descriptor(self) -> int | None:
        """The file descriptor whose lock is the lease, if there is one; a child inherits it."""
        return self._token.descriptor

    def release(self) -> None:
        """End the lease; harmless a second time."""
        self._token.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def check_lease_name(name: str) -> None:
    """Raises UsageError unless `name` is 1 to 128 of letters, digits and `_.-`."""
    if not name or len(name) > MAX_NAME or not _LEGAL.issuperset(name):
        raise UsageError(f"invalid lease name {quote(name)}")


def live_leases(disk: Backend, view: View, now: int) -> list[LeaseInfo]:
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
