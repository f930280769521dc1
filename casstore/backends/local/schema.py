"""casstore.db and how a connection to it is opened. Its tables are in tables.py."""

from __future__ import annotations

import os

from casstore.errors import CasstoreError, Damaged, NotAStore, StorageError, UsageError
from casstore.startup.sqlite import Cursor, Error, sqlite3

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = [
    "FORMAT_VERSION", "Connection", "Error", "connect", "connect_alone", "connect_as_is",
    "connect_to_hold", "create", "database_error", "fill", "forget_commit", "has_uncounted",
    "in_memory", "is_current", "memory", "open_for_reading",
]  # fmt: skip

APPLICATION_ID = 0x43415353  # "CASS"
FORMAT_VERSION = 5  # the last one in LATER of tables.py
BUSY_SECONDS = 60.0


# A text with half a character in it, a number of more than 64 bits.
_NO_VALUE = (UnicodeEncodeError, OverflowError)


class _Cursor(Cursor):
    """A cursor that tells errors as its connection does."""

    __slots__ = ()
    connection: Connection

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        try:
            return super().execute(sql, parameters)
        except Error as error:
            raise self.connection.told(error) from None
        except _NO_VALUE as error:
            raise UsageError(f"this cannot be in an index: {error}") from None

    def executemany(self, sql: str, parameters: Any) -> Any:
        try:
            return super().executemany(sql, parameters)
        except Error as error:
            raise self.connection.told(error) from None

    def fetchone(self) -> Any:
        try:
            return super().fetchone()
        except Error as error:
            raise self.connection.told(error) from None

    def fetchmany(self, size: int | None = 1) -> list[Any]:
        try:
            return super().fetchmany(size)
        except Error as error:
            raise self.connection.told(error) from None

    def fetchall(self) -> list[Any]:
        try:
            return super().fetchall()
        except Error as error:
            raise self.connection.told(error) from None

    def __iter__(self) -> Any:
        try:
            yield from iter(super().__next__, None)  # no call of Python's for each row
        except Error as error:
            raise self.connection.told(error) from None


_cursor = sqlite3.Connection.cursor


class Connection(sqlite3.Connection):
    """A connection that closes itself when the last view of it goes, and tells errors as ours.

    A store that opens its index again leaves the old connection to the views that are in use, and
    none of them knows that it is the last.

    SQLite hides what the kernel answered, and calls damaged what it could not read (blame.py). This
    is the one place where its errors become CasstoreErrors, so that nothing above the backend knows
    them. Until the connection has a path to tell of, as while it is opened, they stay SQLite's.
    """

    path: str | None = None
    flushing = "FULL"  # what SQLite flushes at a commit: "OFF" in a store that is volatile
    unflushed_from: int | None = None  # rows changed before the transaction that casstore flushes

    def told(self, error: BaseException) -> BaseException:
        """What an error of SQLite's is to casstore."""
        return error if self.path is None else database_error(error, self.path)  # type: ignore[arg-type] # one of Error

    def cursor(self, factory: object = None) -> Any:
        try:
            return _cursor(self, _Cursor)
        except Error as error:  # it is closed
            raise self.told(error) from None

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction was begun."""
        try:
            return super().in_transaction
        except Error as error:
            raise self.told(error) from None

    # SQLite's own two make a cursor that is not ours, whatever `cursor` makes. A connection notes
    # each of its cursors, and only its own `cursor` forgets those that are gone, now and then.

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any) -> Any:
        return self.cursor().executemany(sql, parameters)

    def backup(self, target: sqlite3.Connection, **options: Any) -> None:
        try:
            super().backup(target, **options)
        except Error as error:
            raise self.told(error) from None

    def __del__(self) -> None:
        try:
            self.close()
        except sqlite3.ProgrammingError:
            return  # it was never opened


def create(path: str, *, volatile: bool = False) -> None:
    """Make an empty database at `path`, complete when this returns (not yet durable by name)."""
    connection = sqlite3.connect(path, isolation_level=None, factory=Connection)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'OFF' if volatile else 'FULL'}")
        fill(connection)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def fill(connection: Connection) -> None:
    """Create the tables in an empty database."""
    from casstore.backends.local.migrations import new_database

    connection.executescript(
        f"BEGIN; {new_database()} PRAGMA application_id = {APPLICATION_ID}; COMMIT;"
    )


def connect(
    path: str, *, writable: bool, upgrade: bool = False, volatile: bool = False
) -> Connection:
    """Open the database at `path`, which must exist.

    Args:
        writable: False opens it for reading only.
        upgrade: bring an older version up to this one, for good; the store lock is held. Without
            it, the connection to an older version is good for reading only.
        volatile: nothing is flushed.

    Raises:
        NotAStore: it was made by a newer casstore.
        Damaged: it is not a casstore database, or SQLite cannot read it.
    """
    how = _open if writable else open_for_reading
    connection = _connected(how, path, writable=writable, upgrade=upgrade, volatile=volatile)
    connection.path = path  # from here on its errors are casstore's
    return connection


def connect_as_is(path: str) -> Connection:
    """Open a database for reading and write nothing, nor copy it where that can be helped.

    The store lock is held: nobody changes it meanwhile. What a killed process left in a log is
    seen, and stays there. Raises as `connect`.
    """
    try:
        logged = os.stat(path + "-wal").st_size
    except FileNotFoundError:
        logged = 0
    return _connected(open_for_reading if logged else connect_alone, path)


def connect_to_hold(path: str) -> Connection:
    """Open a database that others share, for reading, and so that SQLite counts this process.

    Unlike one that may write, this connection does not bring the log into the database when it is
    the last to be closed: the log of one copy would come into the database of all. Raises as
    `connect`.
    """
    connection = _connected(lambda path: _open(path, "ro"), path)
    connection.path = path
    return connection


def _connected(
    how: Callable[[str], Connection],
    path: str,
    *,
    writable: bool = False,
    upgrade: bool = False,
    volatile: bool = False,
) -> Connection:
    connection: Connection | None = None
    try:
        connection = how(path)
        if writable:
            if volatile:
                connection.flushing = "OFF"
            connection.execute(f"PRAGMA synchronous = {connection.flushing}")
        version = _checked_version(connection, path)
        if version < FORMAT_VERSION and upgrade:
            from casstore.backends.local.migrations import upgrade_from

            connection.executescript(f"BEGIN IMMEDIATE; {upgrade_from(version)} COMMIT;")
        elif version < FORMAT_VERSION:
            from casstore.backends.local.migrations import overlay_for

            connection.executescript(overlay_for(version))
    except BaseException as error:
        if connection is not None:
            connection.close()  # or its -wal and -shm would stay beside what is not ours
        if isinstance(error, Error):
            raise database_error(error, path) from None
        raise
    return connection


def _checked_version(connection: Connection, path: str) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION_ID or version < 1:
        raise Damaged(f"{path} is not a casstore database")
    if version > FORMAT_VERSION:
        raise NotAStore(
            f"{path} has format version {version}; this casstore knows versions up to"
            f" {FORMAT_VERSION}: use a newer casstore"
        )
    return version


def is_current(connection: Connection) -> bool:
    """Whether an open database has this version, now: another process may have upgraded it."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version == FORMAT_VERSION


def has_uncounted(connection: Connection) -> bool:
    """Whether layers are left whose size an older version counted."""
    return connection.execute("SELECT 1 FROM uncounted LIMIT 1").fetchone() is not None


def forget_commit(connection: Connection) -> None:
    """Take back a commit that is in SQLite's log, and whose flush has failed.

    SQLite forgets it, but leaves it in the log: if the log cannot be flushed later either, so that
    it stays, who opens the database next finds it whole there, and takes it for a change that was
    made. Another commit, which changes nothing and is not flushed, is written over it.
    """
    try:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")  # as it is
        connection.execute("COMMIT")
    except CasstoreError:
        if connection.in_transaction:  # nothing can be written at all
            connection.execute("ROLLBACK")
    finally:
        connection.execute(f"PRAGMA synchronous = {connection.flushing}")


def memory() -> Connection:
    """An empty index in memory, for a reader whose store has lost its database."""
    connection = in_memory()
    fill(connection)
    return connection


def in_memory(name: str = ":memory:") -> Connection:
    """An empty database in memory, without tables; named "", in a file without a name if large."""
    return sqlite3.connect(name, isolation_level=None, check_same_thread=False, factory=Connection)


def database_error(error: Error, path: str) -> Exception:
    """SQLite's error in casstore's words."""
    try:
        from casstore.backends.local.blame import told
    except (ImportError, OSError):  # no descriptor is left, say
        return StorageError(f"cannot use the index {path}: {error}")
    return told(error, path)


def connect_alone(path: str) -> Connection:
    """Open casstore.db as if it had no log; nobody may write to it meanwhile."""
    return _open(path, "ro&immutable=1")


def open_for_reading(path: str) -> Connection:
    """Read beside a writer where its shared memory is there to be seen, else from a copy.

    From a copy too where the shared memory has a second name: that of another copy of the store,
    whose log is not this one's.
    """
    if _is_alone(path + "-shm"):
        connection = _open(path, "ro")
        try:
            connection.execute("PRAGMA user_version").fetchone()
        except Error:  # the last writer took it away meanwhile, or it is of no use
            connection.close()
        else:
            return connection
    from casstore.backends.local.snapshot import open_snapshot

    return open_snapshot(path)


def _is_alone(path: str) -> bool:
    try:
        return os.stat(path).st_nlink == 1
    except OSError:
        return False


def _open(path: str, mode: str = "rw") -> Connection:
    return sqlite3.connect(
        f"file:{_uri(path)}?mode={mode}", uri=True, isolation_level=None, timeout=BUSY_SECONDS,
        check_same_thread=False, cached_statements=256, factory=Connection,
    )  # fmt: skip


def _uri(path: str) -> str:
    return os.path.abspath(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
