"""Leases, as listed."""

from __future__ import annotations

from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime

    from casstore.model.digest import Digest


class LeaseInfo(Value):
    """A lease."""

    name: str
    image: Digest
    kind: str  # "hard" or "soft"
    expires: int | None
    holder: str

    @property
    def expires_at(self) -> datetime | None:
        """`expires` as a datetime in UTC."""
        from casstore.model.datetimes import datetime_or_none

        return datetime_or_none(self.expires)
