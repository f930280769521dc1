"""SQLite's log of casstore.db: how its last transaction is flushed, and taken back if that fails.

SQLite flushes the log at a commit, and the directory that it is in as well, once for each process
that opens it: a wait for nothing where the log has been there for long. So a change has SQLite
commit without a flush, and flushes the log itself. What cannot be flushed must not stay: neither as
the state of the store, nor as a hole in the log, which would end it for what comes later.
"""

from __future__ import annotations

import os

from casstore.errors import CasstoreError
from casstore.files import durable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.backends.local.schema import Connection

_HEADER = 32  # bytes: sqlite.org/fileformat2.html, "The WAL File Format"


class Log:
    """The log of one database."""

    __slots__ = ("_connection", "_descriptor", "_path")

    def __init__(self, connection: Connection) -> None:
        """`connection` is one that may write."""
        self._connection = connection
        self._path = f"{connection.path}-wal"
        self._descriptor = -1

    def size(self) -> int:
        """Bytes; 0 where there is none."""
        try:
            return os.stat(self._path).st_size
        except OSError:
            return 0

    def is_lasting(self) -> bool:
        """Whether it has its name for good: whoever writes the first transaction sees to that."""
        return self.size() > _HEADER

    def leave_unflushed(self) -> None:
        """From here on a commit does not flush the log; what empties it flushes it, as ever."""
        if self._connection.flushing != "OFF":
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.unflushed_from = self._connection.total_changes

    def flush_again(self) -> None:
        """From here on a commit flushes it, as usual."""
        self._connection.unflushed_from = None
        self._connection.execute(f"PRAGMA synchronous = {self._connection.flushing}")

    def open(self) -> None:
        """Open it before a commit after which it must be flushed. Raises StorageError."""
        before = self._connection.unflushed_from
        if before is None or before == self._connection.total_changes:
            return  # SQLite flushes it, or there is nothing to flush
        try:
            self._descriptor = os.open(self._path, os.O_RDONLY)
        except OSError as error:
            raise durable.storage_error(error, "cannot write the index") from None

    def close(self) -> None:
        """Close it, where it is open."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def flush(self) -> None:
        """Make the last transaction durable, if it was committed without a flush.

        Raises:
            StorageError: it cannot be, and is taken back.
        """
        if self._connection.unflushed_from is not None:
            self.flush_again()
        if self._descriptor < 0:
            return
        try:
            durable.sync_data(self._descriptor)
        except OSError as error:
            self._take_back()
            raise durable.storage_error(error, "cannot write the index") from None

    def _take_back(self) -> None:
        from casstore.backends.local.snapshot import undo_last

        try:
            undo_last(self._connection)
        except (CasstoreError, OSError):
            pass  # then it stays, and the next change makes it durable before all else
