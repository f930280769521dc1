"""A change that nobody will see: how a dry run finds out what would happen.

The rules work on an index that they edit. A dry run gives them a copy of the store's: so it takes
no lock, waits for nobody, needs no right to write, and is right to the last byte all the same.
What a change does besides (finishing what a crash left, unlinking) is left out.
"""

from __future__ import annotations

from casstore.disk.schema import Error, database_error
from casstore.disk.snapshot import private_copy
from casstore.disk.sqliteindex import SqliteIndex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from casstore.disk.local import LocalStore
    from casstore.disk.schema import Connection
    from casstore.model.digest import Digest


class Rehearsal:
    """As a `Change`, as far as rules and plans use one."""

    def __init__(self, disk: LocalStore, connection: Connection, now: int) -> None:
        """`connection` is to the index as it is; it is only read. `now` is in nanoseconds."""
        self.now = now
        self.warnings: list[str] = []
        hard: dict[Digest, list[str]] = {}
        for lease in disk.hard_leases():
            for image in lease.images:
                hard.setdefault(image, []).append(lease.name)
        self._database = disk.database
        try:
            self.index = SqliteIndex(private_copy(connection), now=now, hard=hard)
            self.index.begin()
        except Error as error:
            raise database_error(error, disk.database) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.index.connection.close()
        if isinstance(value, Error):
            raise database_error(value, self._database) from None

    def commit(self) -> None:
        """Nothing becomes of it."""
