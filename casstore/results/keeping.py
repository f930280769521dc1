"""What is kept: leases, the trash, settings."""

from __future__ import annotations

from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime

    from casstore.model.digest import Digest
    from casstore.model.reference import Reference


class TrashEntry(Value):
    """A removal that can be undone."""

    id: int
    names: tuple[Reference, ...]  # that went
    images: tuple[Digest, ...]  # the one removed or untagged, then parents that went with it
    removed: int
    expires: int  # from then on, the next removal, load or gc may empty it
    size: int  # bytes as stored that nothing else holds: what emptying it would free

    @property
    def removed_at(self) -> datetime:
        """`removed` as a datetime in UTC."""
        from casstore.model.datetimes import datetime_of

        return datetime_of(self.removed)

    @property
    def expires_at(self) -> datetime:
        """`expires` as a datetime in UTC."""
        from casstore.model.datetimes import datetime_of

        return datetime_of(self.expires)


class RestoreResult(Value):
    """What came back from the trash."""

    images: tuple[Digest, ...]  # without those that were there again; parents first
    names: tuple[Reference, ...]
    warnings: tuple[str, ...] = ()


class EmptiedTrash(Value):
    """What left the trash for good."""

    entries: tuple[int, ...]
    freed: int  # bytes on disk
    warnings: tuple[str, ...] = ()


class SettingValue(Value):
    """A setting of a store."""

    name: str
    value: str  # in force
    default: str
    is_set: bool
    help: str


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
