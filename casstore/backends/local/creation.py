"""Making a store: its directories, its database, and at last the file that says it is one.

Every step can be done again, or beside another process that does the same; a directory that holds
something else is never touched.
"""

from __future__ import annotations

import os

from casstore.backends.local import reserve
from casstore.backends.local.directory import TRUST_POLICY
from casstore.backends.local.published import LAYOUT, NOTED
from casstore.errors import Damaged, NotAStore, StorageError, quote
from casstore.files import durable
from casstore.files.strangers import is_systems

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.backends.local.directory import LocalStore
    from casstore.backends.local.schema import Connection

_DIRECTORY_MODE = 0o700
_PARTS = frozenset(
    (
        "blobs",
        "ingest",
        "casstore.db",
        "casstore.lock",
        "casstore.uses",
        "casstore.events",
        "casstore.events.old",
        "index.json",
        NOTED,
        TRUST_POLICY,
        reserve.NAME,
    )
)
_DATABASE_EXTRAS = ("-wal", "-shm", "-journal")
MAX_PATH = 512  # bytes of a path that SQLite opens (sqlite.org, os_unix.c, MAX_PATHNAME)
_LONGEST = "/ingest/casstore.db-journal"  # that it opens in a store


def create(store: LocalStore) -> None:
    """Make the store, or finish making it; harmless where it is there.

    The caller holds no lock: every step is safe beside another process that does the same,
    except the database, which `make_database` makes under the lock. `oci-layout` comes last.

    Raises:
        NotAStore: the directory holds something else.
    """
    if store.exists():
        store.check_layout()
    elif os.path.isdir(store.root) and not _PARTS.issuperset(
        name
        for name in os.listdir(store.root)
        if not name.startswith("casstore.db-") and not is_systems(name)
    ):
        raise NotAStore(f"{quote(store.root)} is not empty and not a casstore store")
    check_length(store.root)
    try:
        fresh = not os.path.isdir(store.root)
        if fresh:
            durable.make_directories(os.path.dirname(store.root))
            try:
                os.mkdir(store.root, _DIRECTORY_MODE)
            except FileExistsError:
                pass  # another process was quicker
        make_directories(store)
        if fresh:
            durable.sync_name(store.root)
    except OSError as error:
        raise durable.storage_error(error, f"cannot make a store at {quote(store.root)}") from None


def check_length(root: str) -> None:
    """Raises StorageError where the path of a store is longer than SQLite can use."""
    length = len(os.fsencode(os.path.realpath(root)))
    most = MAX_PATH - len(_LONGEST)
    if length > most:
        raise StorageError(
            f"the path of the store has {length} bytes, and at most {most} can be used: SQLite"
            f" opens no file whose path has more than {MAX_PATH}"
        )


def make_directories(store: LocalStore) -> None:
    """Make the directories of the store, durably, where they are missing. Raises OSError."""
    for path in (os.path.dirname(store.blobs.directory), store.blobs.directory, store.ingest):
        if durable.make_directory(path):
            durable.sync_name(path)


def make_database(store: LocalStore) -> None:
    """Make an empty database; the lock is held."""
    from casstore.backends.local import schema

    try:
        schema.create(staging_database(store), volatile=store.volatile)
        install_database(store, staging_database(store, clear=False))
    except schema.Error as error:
        raise schema.database_error(error, store.database) from None
    except OSError as error:
        raise durable.storage_error(error, "cannot make casstore.db") from None


def staging_database(store: LocalStore, *, clear: bool = True) -> str:
    """Where a new database is built; with `clear`, what a crash left there is removed."""
    staging = os.path.join(store.ingest, "casstore.db")
    for leftover in (staging, *(staging + extra for extra in _DATABASE_EXTRAS)):
        if clear and os.path.lexists(leftover):
            os.unlink(leftover)
    return staging


def install_database(store: LocalStore, path: str) -> None:
    """Put a finished database file in place; one that is there is kept aside, with its log.

    A log that stayed would be played into the new database: it has left its name for good
    before the new one is there.
    """
    aside = f"{store.database}.damaged-{os.urandom(4).hex()}"
    try:
        held = _hold(store)
    except (Damaged, NotAStore, StorageError):
        held = None  # nor can others do much with it
    try:
        for extra in ("", *_DATABASE_EXTRAS):
            if os.path.lexists(store.database + extra):
                durable.move_aside(store.database + extra, aside + extra)
    finally:
        if held is not None:
            held.close()
    descriptor = os.open(path, os.O_RDONLY)
    try:
        durable.share_with_group(descriptor, store.database)  # SQLite's own files follow it
    finally:
        os.close(descriptor)
    durable.sync_files([path])
    durable.publish([(path, store.database)], store.root)
    _drop_what_says_nothing(aside)


def separate_database(store: LocalStore) -> None:
    """Give the store a database of its own, in the place of one that another store has, too.

    A copy by hard links (`cp -al`) shares it, and SQLite writes in place: what one changes, the
    other would read, whose blobs are others. The lock is held. The new database has all that is in
    the log, which goes last: whoever finds both finds the same in either.

    Raises:
        Damaged: it is to be made anew, which moves this one away.
        StorageError: it may not be changed.
    """
    try:
        _forget(store.database + "-shm")  # it may be the other's; SQLite makes it from the log
    except OSError as error:
        raise durable.storage_error(error, "cannot copy casstore.db") from None
    try:
        held = _hold(store)
    except Damaged:
        held = _hold(store)  # what could not be read this once is damage for SQLite, too
    from casstore.backends.local import schema
    from casstore.backends.local.snapshot import copy_to

    try:
        staging = staging_database(store)
        copy_to(held, staging)
        descriptor = os.open(staging, os.O_RDONLY)
        try:
            durable.share_with_group(descriptor, store.database)
        finally:
            os.close(descriptor)
        durable.sync_files([staging])
        _forget(store.database + "-shm")
        durable.publish([(staging, store.database)], store.root)
        _forget(store.database + "-wal")
        durable.sync_directory(store.root)
    except schema.Error as error:
        raise schema.database_error(error, store.database) from None
    except OSError as error:
        raise durable.storage_error(error, "cannot copy casstore.db") from None
    finally:
        held.close()


def _forget(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _drop_what_says_nothing(aside: str) -> None:
    """Of a database put aside: the index of its log, which SQLite makes anew, and an empty log."""
    try:
        os.unlink(aside + "-shm")
        if not os.stat(aside + "-wal").st_size:
            os.unlink(aside + "-wal")
    except OSError:
        pass  # it is not there, or stays


def _hold(store: LocalStore) -> Connection:
    """A connection to the database that is there. Raises Damaged, NotAStore, StorageError.

    While it is open, no process that closes the database is the last to do so: that one puts the
    log into it and removes the log, by its name, which by then may be that of the new database's.
    Nor does this connection, which only reads.
    """
    store.connect_as_is().close()  # or SQLite might remove the log of what it cannot use
    return store.connect_to_hold()


def finish(store: LocalStore) -> None:
    """Write `index.json` and `oci-layout` where they are missing; the lock is held."""
    if not os.path.exists(store.layout.path):
        store.layout.write((), 0)
        store.layout.flush()
    marker = os.path.join(store.root, "oci-layout")
    if not os.path.exists(marker):
        # Whoever made the directories may have died before their names were on the disk.
        for directory in (store.root, store.blobs.directory):
            durable.sync_name(directory)
        with durable.replace_file(marker, os.path.join(store.ingest, "oci-layout")) as new:
            new.file.write(LAYOUT)
