"""A change that nobody will see: how a dry run finds out what would happen.

The rules work on an index that they edit. A dry run gives them a copy of the store's: so it takes
no lock, waits for nobody, needs no right to write, and is right to the last byte all the same.
What a change does besides (finishing what a crash left, unlinking) is left out.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from casstore.model.digest import Digest
    from casstore.ports.backend import Backend


class Rehearsal:
    """As a `Change`, as far as rules and plans use one."""

    def __init__(self, backend: Backend, now: int) -> None:
        """`now` is in nanoseconds. Raises NotAStore, Damaged, StorageError."""
        self.now = now
        self.warnings: list[str] = []
        hard: dict[Digest, list[str]] = {}
        for lease in backend.hard_leases():
            for image in lease.images:
                hard.setdefault(image, []).append(lease.name)
        self.index, self.unseen = backend.rehearse(now, hard)
        self.index.begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.index.rollback()

    def commit(self) -> None:
        """Nothing becomes of it."""
