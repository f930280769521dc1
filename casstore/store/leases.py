"""Leases: images held for somebody."""

from __future__ import annotations

import builtins

from casstore.clock import current_time, end_of
from casstore.errors import NotFound
from casstore.model.keys import LEASE, UNLEASE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.change.leases import Lease
    from casstore.results.leases import LeaseInfo
    from casstore.store.session import Session


class Leases:
    """The leases of a store."""

    def __init__(self, session: Session) -> None:
        self._session: Session = session

    def __repr__(self) -> str:
        return f"<casstore.Leases of {self._session.backend.where!r}>"

    def hold(self, *images: str, name: str | None = None) -> Lease:
        """Hold images for as long as this process lives, or until the context ends (hard).

        Raises:
            NotFound: one of them is not in the store.
        """
        from casstore.model.arguments import several

        images = several(images, "images")
        uses = self._session.backend.uses  # imported before the change: nothing may fail after it
        lease = self._session.hold(images, name)
        uses.note(lease.images, current_time())
        return lease

    def list(self) -> builtins.list[LeaseInfo]:
        """All live leases: hard ones first."""
        from casstore.change.leases import live_leases

        return live_leases(self._session.backend, self._session.view(), current_time())

    def add(self, name: str, image: str, ttl_seconds: float | None = 86400.0) -> None:
        """Keep an image by name until the time is over (soft: rmi -f overrides it)."""
        from casstore.change.leases import check_lease_name
        from casstore.rules.resolve import resolve

        check_lease_name(name)
        uses = self._session.backend.uses  # imported before the change: nothing may fail after it
        now = current_time()
        expires = None if ttl_seconds is None else end_of(now, ttl_seconds * 1e9)
        with self._session.change() as change:
            change.index.drop_expired(now)
            found = resolve(change.index, image)
            held, by = found.image, found.name.reference if found.name is not None else None
            change.index.set_lease(name, held, expires)
            change.index.record(LEASE, held, by, lease=name)
            change.commit()
        uses.note((held,), now)

    def remove(self, *names: str) -> None:
        """End soft leases: all of them, or none where one is none. Raises NotFound."""
        from casstore.model.arguments import several

        names = several(names, "names")
        with self._session.change() as change:
            held = {name: image for name, image, _ in change.index.all_leases()}
            for name in dict.fromkeys(names):
                if not change.index.drop_lease(name):
                    for hard in self._session.backend.hard_leases():
                        if hard.name == name:
                            raise NotFound(
                                f"{name} is a hard lease: it ends with the process that holds it"
                            )
                    raise NotFound(f"No such lease: {name}")
                change.index.record(UNLEASE, held[name], lease=name)
            change.commit()
