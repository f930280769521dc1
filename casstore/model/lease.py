"""A hard lease, which a process holds."""

from __future__ import annotations

from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.digest import Digest


class HardLease(Value):
    """Images held by a live process."""

    name: str
    holder: str
    images: tuple[Digest, ...]
