"""casstore: a container-image store that is just a directory.

    import casstore

    with casstore.Store("images") as store:
        store.load("busybox.tar")
        for image in store.images():
            print(image.id.short, [name.familiar for name in image.names])
        print(store.remove(["busybox"]).freed)

The names below are the public interface: `Store`, and whatever its signatures and results show.
Each is loaded when it is first used, because `python -m casstore` imports this module on every
start. All else may change without notice.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.change.leases import Lease
    from casstore.errors import (
        CasstoreError,
        Conflict,
        Damaged,
        InvalidReference,
        Locked,
        NotAStore,
        NotFound,
        Refused,
        RegistryError,
        StorageError,
        Unsupported,
        UsageError,
    )
    from casstore.files.treewriter import WrittenFiles
    from casstore.gc.policyfile import BadPolicy, parse_policy
    from casstore.gc.run import PlanOutdated
    from casstore.gc.stop import Stop, Stopped
    from casstore.model.amount import Space
    from casstore.model.digest import Digest
    from casstore.model.event import Event
    from casstore.model.findings import CheckResult, Finding
    from casstore.model.parameters import Key, Several, StrPath, Tell
    from casstore.model.reference import Reference
    from casstore.model.removal import Outcome, PruneResult, RemovalPlan, RemovalResult, Removed
    from casstore.progress import ProgressCallback, ProgressUpdate
    from casstore.registry.access import Access
    from casstore.registry.auth import Unauthorized
    from casstore.registry.failures import BrokenConnection, NoTls
    from casstore.registry.http import Transport
    from casstore.results.exchange import LoadedImage, LoadResult, PullResult, PushedTag, Renamed
    from casstore.results.files import FileChange, ImageFile, LayerUse
    from casstore.results.images import HistoryRow, Image, ImageSummary, PlatformRow
    from casstore.results.leases import LeaseInfo
    from casstore.results.settings import SettingValue
    from casstore.results.space import DiskUsage, DiskUsageRow, Keeper, Kept, TreeRow
    from casstore.results.trash import EmptiedTrash, RestoreResult, TrashEntry
    from casstore.results.trust import Attestation, Signed, Verified
    from casstore.results.upkeep import (
        Collected,
        CollectionResult,
        GcResult,
        SettleResult,
        StoreFigures,
    )
    from casstore.rules.collection import Aim, CollectionPlan, Spared, Step
    from casstore.rules.filters import BadFilter
    from casstore.rules.policy import Goal, Rule
    from casstore.store import Store
    from casstore.store.files import ImageFiles
    from casstore.store.leases import Leases
    from casstore.store.settings import Settings
    from casstore.store.trash import Trash
    from casstore.transfer.place import Place, parse_place

__version__ = "0.1.0"

__all__ = [
    "Access",
    "Aim",
    "Attestation",
    "BadFilter",
    "BadPolicy",
    "BrokenConnection",
    "CasstoreError",
    "CheckResult",
    "Collected",
    "CollectionPlan",
    "CollectionResult",
    "Conflict",
    "Damaged",
    "Digest",
    "DiskUsage",
    "DiskUsageRow",
    "EmptiedTrash",
    "Event",
    "FileChange",
    "Finding",
    "GcResult",
    "Goal",
    "HistoryRow",
    "Image",
    "ImageFile",
    "ImageFiles",
    "ImageSummary",
    "InvalidReference",
    "Keeper",
    "Kept",
    "Key",
    "LayerUse",
    "Lease",
    "LeaseInfo",
    "Leases",
    "LoadResult",
    "LoadedImage",
    "Locked",
    "NoTls",
    "NotAStore",
    "NotFound",
    "Outcome",
    "Place",
    "PlanOutdated",
    "PlatformRow",
    "ProgressCallback",
    "ProgressUpdate",
    "PruneResult",
    "PullResult",
    "PushedTag",
    "Reference",
    "Refused",
    "RegistryError",
    "RemovalPlan",
    "RemovalResult",
    "Removed",
    "Renamed",
    "RestoreResult",
    "Rule",
    "SettingValue",
    "Settings",
    "SettleResult",
    "Several",
    "Signed",
    "Space",
    "Spared",
    "Step",
    "Stop",
    "Stopped",
    "StorageError",
    "Store",
    "StoreFigures",
    "StrPath",
    "Tell",
    "Transport",
    "Trash",
    "TrashEntry",
    "TreeRow",
    "Unauthorized",
    "Unsupported",
    "UsageError",
    "Verified",
    "WrittenFiles",
    "parse_place",
    "parse_policy",
]

# By module, the names that it has; those that no module has here are errors.
_ELSEWHERE = {
    "change.leases": "Lease",
    "files.treewriter": "WrittenFiles",
    "gc.policyfile": "BadPolicy parse_policy",
    "gc.run": "PlanOutdated",
    "gc.stop": "Stop Stopped",
    "model.amount": "Space",
    "model.parameters": "Key Several StrPath Tell",
    "model.digest": "Digest",
    "model.event": "Event",
    "model.findings": "CheckResult Finding",
    "model.reference": "Reference",
    "model.removal": "Outcome PruneResult RemovalPlan RemovalResult Removed",
    "progress": "ProgressCallback ProgressUpdate",
    "registry.access": "Access",
    "registry.auth": "Unauthorized",
    "registry.failures": "BrokenConnection NoTls",
    "registry.http": "Transport",
    "results.exchange": "LoadResult LoadedImage PullResult PushedTag Renamed",
    "results.files": "FileChange ImageFile LayerUse",
    "results.images": "HistoryRow Image ImageSummary PlatformRow",
    "results.leases": "LeaseInfo",
    "results.settings": "SettingValue",
    "results.space": "DiskUsage DiskUsageRow Keeper Kept TreeRow",
    "results.trash": "EmptiedTrash RestoreResult TrashEntry",
    "results.trust": "Attestation Signed Verified",
    "results.upkeep": "Collected CollectionResult GcResult SettleResult StoreFigures",
    "rules.collection": "Aim CollectionPlan Spared Step",
    "rules.filters": "BadFilter",
    "rules.policy": "Goal Rule",
    "store": "Store",
    "store.files": "ImageFiles",
    "store.leases": "Leases",
    "store.settings": "Settings",
    "store.trash": "Trash",
    "transfer.place": "Place parse_place",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    from casstore.startup.hints import resolvable

    where = (module for module, names in _ELSEWHERE.items() if name in names.split())
    return resolvable(getattr(import_module(f"{__name__}.{next(where, 'errors')}"), name))


def __dir__() -> list[str]:
    """Also what is not loaded yet, for `help` and for completion."""
    return sorted({*globals(), *__all__})
