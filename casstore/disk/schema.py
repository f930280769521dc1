"""The tables of casstore.db and how a connection is opened. FORMAT.md explains each column.

Digests are 32-byte blobs behind integer ids: half the file and twice the speed of hex text at a
million blobs. The counts are kept by triggers, so that no statement can change an edge without
changing the count.
"""

from __future__ import annotations

import os

from casstore.errors import Damaged, NotAStore, StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from sqlite3 import Connection, Error
    from types import ModuleType
else:
    # The package `sqlite3` is its C module, and datetime for column types that are not used here.
    # The module itself wants `functools` for one thing, each connection's cache of compiled
    # statements, and that is written in C too: `functools` and what it imports in turn are a
    # fifth of what an rmi takes beyond the start of Python. So where nothing has imported it yet,
    # a stand-in lends its one function for as long as the module is imported.
    import sys

    def _functools() -> ModuleType:
        from _functools import _lru_cache_wrapper

        stand_in = type(sys)("functools")
        stand_in.lru_cache = lambda size: (
            lambda compile_: _lru_cache_wrapper(compile_, size, 0, lambda *counts: counts)
        )
        return stand_in

    def _lean_sqlite() -> ModuleType:
        sys.modules["functools"] = _functools()
        try:
            import _sqlite3
        finally:
            del sys.modules["functools"]
        _sqlite3.connect(":memory:").close()  # makes such a cache
        return _sqlite3

    def _sqlite() -> ModuleType:
        if "functools" not in sys.modules:
            try:
                return _lean_sqlite()
            except (ImportError, AttributeError, TypeError):  # an interpreter made otherwise
                sys.modules.pop("_sqlite3", None)
        try:
            import _sqlite3
        except ImportError:
            import sqlite3 as _sqlite3
        return _sqlite3

    sqlite3 = _sqlite()
    Connection = sqlite3.Connection
    # SQLite quotes what is damaged in its message, which Python may not be able to decode.
    Error = (sqlite3.Error, UnicodeDecodeError)

__all__ = [
    "Connection", "Error", "connect", "connect_as_is", "create", "database_error", "fill",
    "forget_commit", "is_current", "memory", "open_for_reading",
]  # fmt: skip

FORMAT_VERSION = 2
APPLICATION_ID = 0x43415353  # "CASS"
BUSY_SECONDS = 60.0

# What a blob is to the image that holds it; the order is the number in blob.kind.
KINDS = ("index", "manifest", "config", "layer", "other")

# Version 1. A later version only adds tables (ADDED), so a change upgrades an older database in one
# transaction, and a reader lays the tables that are missing over it, empty and for itself alone.
FIRST = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;

CREATE TABLE blob (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    refcount INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE edge (
    parent INTEGER NOT NULL,
    position INTEGER NOT NULL,
    child INTEGER NOT NULL,
    PRIMARY KEY (parent, position)
) WITHOUT ROWID;
CREATE INDEX edge_child ON edge (child);

CREATE TABLE layer (
    blob INTEGER PRIMARY KEY,
    compression TEXT NOT NULL,
    diff_id BLOB NOT NULL,
    diff_size INTEGER NOT NULL,
    file_bytes INTEGER NOT NULL
);
CREATE INDEX layer_diff_id ON layer (diff_id);

CREATE TABLE image (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    parent INTEGER,
    created INTEGER,
    size INTEGER NOT NULL,
    os TEXT NOT NULL,
    architecture TEXT NOT NULL,
    variant TEXT NOT NULL,
    labels TEXT
);
CREATE INDEX image_parent ON image (parent) WHERE parent IS NOT NULL;

CREATE TABLE holding (
    image INTEGER NOT NULL,
    manifest INTEGER NOT NULL,
    media_type TEXT NOT NULL,
    PRIMARY KEY (image, manifest)
) WITHOUT ROWID;
CREATE INDEX holding_manifest ON holding (manifest);

CREATE TABLE reference (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    image INTEGER NOT NULL,
    manifest INTEGER NOT NULL,
    tagged INTEGER NOT NULL
);
CREATE INDEX reference_image ON reference (image);

CREATE TABLE lease (
    name TEXT PRIMARY KEY,
    image INTEGER NOT NULL,
    expires INTEGER
) WITHOUT ROWID;
CREATE INDEX lease_image ON lease (image);

CREATE TABLE doomed (digest BLOB PRIMARY KEY) WITHOUT ROWID;

CREATE TRIGGER edge_made AFTER INSERT ON edge BEGIN
    UPDATE blob SET refcount = refcount + 1 WHERE id = new.child;
END;
CREATE TRIGGER edge_gone AFTER DELETE ON edge BEGIN
    UPDATE blob SET refcount = refcount - 1 WHERE id = old.child;
END;
CREATE TRIGGER holding_made AFTER INSERT ON holding BEGIN
    UPDATE blob SET refcount = refcount + 1 WHERE id = new.manifest;
END;
CREATE TRIGGER holding_gone AFTER DELETE ON holding BEGIN
    UPDATE blob SET refcount = refcount - 1 WHERE id = old.manifest;
END;

INSERT INTO meta VALUES ('generation', 0);
"""

# version -> its new tables, and the triggers on them
ADDED = {
    2: (
        """
CREATE TABLE pin (image INTEGER PRIMARY KEY);

CREATE TABLE subject (
    manifest INTEGER NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (manifest, digest)
) WITHOUT ROWID;
CREATE INDEX subject_digest ON subject (digest);

CREATE TABLE trash (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    removed INTEGER NOT NULL,
    expires INTEGER NOT NULL
);
CREATE INDEX trash_expires ON trash (expires);

CREATE TABLE trash_image (
    id INTEGER PRIMARY KEY,
    trash INTEGER NOT NULL,
    digest BLOB NOT NULL,
    parent BLOB,
    created INTEGER,
    size INTEGER NOT NULL,
    os TEXT NOT NULL,
    architecture TEXT NOT NULL,
    variant TEXT NOT NULL,
    labels TEXT,
    pinned INTEGER NOT NULL
);
CREATE INDEX trash_image_trash ON trash_image (trash);
CREATE INDEX trash_image_digest ON trash_image (digest);

CREATE TABLE trash_holding (
    image INTEGER NOT NULL,
    manifest INTEGER NOT NULL,
    media_type TEXT NOT NULL,
    PRIMARY KEY (image, manifest)
) WITHOUT ROWID;
CREATE INDEX trash_holding_manifest ON trash_holding (manifest);

CREATE TABLE trash_name (
    image INTEGER NOT NULL,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    manifest INTEGER NOT NULL,
    tagged INTEGER NOT NULL,
    PRIMARY KEY (image, position)
) WITHOUT ROWID;
CREATE INDEX trash_name_name ON trash_name (name);
""",
        """
CREATE TRIGGER trash_holding_made AFTER INSERT ON trash_holding BEGIN
    UPDATE blob SET refcount = refcount + 1 WHERE id = new.manifest;
END;
CREATE TRIGGER trash_holding_gone AFTER DELETE ON trash_holding BEGIN
    UPDATE blob SET refcount = refcount - 1 WHERE id = old.manifest;
END;
""",
    ),
}
_VERSION = f"PRAGMA user_version = {FORMAT_VERSION};"


def create(path: str) -> None:
    """Make an empty database at `path`, complete when this returns (not yet durable by name)."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        fill(connection)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def fill(connection: Connection) -> None:
    """Create the tables in an empty database."""
    connection.executescript(
        f"BEGIN; {FIRST} {_added_since(1)} PRAGMA application_id = {APPLICATION_ID};"
        f" {_VERSION} COMMIT;"
    )


def _added_since(version: int) -> str:
    return "".join(sql for at, parts in ADDED.items() if at > version for sql in parts)


def connect(path: str, *, writable: bool, upgrade: bool = False) -> Connection:
    """Open the database at `path`, which must exist.

    Args:
        writable: False opens it for reading only.
        upgrade: bring an older version up to this one, for good; the store lock is held. Without
            it, the connection to an older version is good for reading only.

    Raises:
        NotAStore: it was made by a newer casstore.
        Damaged: it is not a casstore database, or SQLite cannot read it.
    """
    how = _open if writable else open_for_reading
    return _connected(how, path, writable=writable, upgrade=upgrade)


def connect_as_is(path: str) -> Connection:
    """Open a database for reading and write nothing, nor copy it where that can be helped.

    The store lock is held: nobody changes it meanwhile. What a killed process left in a log is
    seen, and stays there. Raises as `connect`.
    """
    try:
        logged = os.stat(path + "-wal").st_size
    except FileNotFoundError:
        logged = 0
    return _connected(open_for_reading if logged else _open_alone, path)


def _connected(
    how: Callable[[str], Connection], path: str, *, writable: bool = False, upgrade: bool = False
) -> Connection:
    connection: Connection | None = None
    try:
        connection = how(path)
        if writable:
            connection.execute("PRAGMA synchronous = FULL")
        version = _checked_version(connection, path)
        if version < FORMAT_VERSION and upgrade:
            connection.executescript(f"BEGIN IMMEDIATE; {_added_since(version)} {_VERSION} COMMIT;")
        elif version < FORMAT_VERSION:
            _overlay(connection, version)
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


def _overlay(connection: Connection, version: int) -> None:
    """Give a reader of an older version the tables it lacks: temporary ones, in memory, empty."""
    connection.execute("PRAGMA temp_store = MEMORY")
    tables = "".join(tables for at, (tables, _) in ADDED.items() if at > version)
    tables = tables.replace("CREATE TABLE ", "CREATE TEMP TABLE ")
    connection.executescript(tables.replace("CREATE INDEX ", "CREATE INDEX temp."))


def is_current(connection: Connection) -> bool:
    """Whether an open database has this version, now: another process may have upgraded it."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version == FORMAT_VERSION


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
    except Error:
        if connection.in_transaction:  # nothing can be written at all
            connection.execute("ROLLBACK")
    finally:
        connection.execute("PRAGMA synchronous = FULL")


def memory() -> Connection:
    """An empty index in memory, for a reader whose store has lost its database."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    fill(connection)
    return connection


def database_error(error: Error, path: str) -> Exception:
    """SQLite's error in casstore's words."""
    try:
        from casstore.disk.blame import told
    except (ImportError, OSError):  # no descriptor is left, say
        return StorageError(f"cannot use the index {path}: {error}")
    return told(error, path)


def _open_alone(path: str) -> Connection:
    return _open(path, "ro&immutable=1")


def open_for_reading(path: str) -> Connection:
    """Read beside a writer where its shared memory is there to be seen, else from a copy."""
    if os.path.exists(path + "-shm"):
        connection = _open(path, "ro")
        try:
            connection.execute("PRAGMA user_version").fetchone()
        except Error:  # the last writer took it away meanwhile, or it is of no use
            connection.close()
        else:
            return connection
    from casstore.disk.snapshot import open_snapshot

    return open_snapshot(path)


def _open(path: str, mode: str = "rw") -> Connection:
    return sqlite3.connect(
        f"file:{_uri(path)}?mode={mode}", uri=True, isolation_level=None, timeout=BUSY_SECONDS,
        check_same_thread=False, cached_statements=256,
    )  # fmt: skip


def _uri(path: str) -> str:
    return os.path.abspath(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
