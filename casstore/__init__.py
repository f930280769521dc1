"""casstore: a container-image store that is just a directory.

    import casstore

    with casstore.Store("images") as store:
        store.load("busybox.tar")
        for image in store.images():
            print(image.id.short, [name.familiar for name in image.names])
        print(store.remove(["busybox"]).freed)

The names below are the public interface; each is loaded when it is first used, because
`python -m casstore` imports this module on every start. All else may change without notice.
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
    from casstore.gc.policyfile import BadPolicy
    from casstore.gc.run import PlanOutdated, Stopped
    from casstore.model.digest import Digest
    from casstore.model.place import Place, parse_place
    from casstore.model.reference import Reference
    from casstore.progress import ProgressCallback, ProgressUpdate
    from casstore.store import Store

__version__ = "0.1.0"

__all__ = [
    "BadPolicy",
    "CasstoreError",
    "Conflict",
    "Damaged",
    "Digest",
    "InvalidReference",
    "Lease",
    "Locked",
    "NotAStore",
    "NotFound",
    "Place",
    "PlanOutdated",
    "ProgressCallback",
    "ProgressUpdate",
    "Reference",
    "Refused",
    "RegistryError",
    "Stopped",
    "StorageError",
    "Store",
    "Unsupported",
    "UsageError",
    "parse_place",
]

_ELSEWHERE = {
    "BadPolicy": "casstore.gc.policyfile",
    "Digest": "casstore.model.digest",
    "Lease": "casstore.change.leases",
    "Place": "casstore.model.place",
    "PlanOutdated": "casstore.gc.run",
    "ProgressCallback": "casstore.progress",
    "ProgressUpdate": "casstore.progress",
    "Reference": "casstore.model.reference",
    "Stopped": "casstore.gc.run",
    "Store": "casstore.store",
    "parse_place": "casstore.model.place",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_ELSEWHERE.get(name, "casstore.errors")), name)


def __dir__() -> list[str]:
    """Also what is not loaded yet, for `help` and for completion."""
    return sorted({*globals(), *__all__})
