"""Removals that can be undone: listed, undone, or gone for good."""

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
