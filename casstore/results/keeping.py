"""What is kept: leases, the trash, settings."""

from __future__ import annotations

from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
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
