"""Opening a store: a look at it, or a change of it, whatever state a crash left it in.

A reader takes no lock. A writer takes the lock first and then opens the database, which it builds
anew where it is missing or damaged.
"""

from __future__ import annotations

import os
import time
from _weakref import ref  # `weakref` is an import of its own

from casstore.disk.local import LocalStore, current_time
from casstore.errors import CasstoreError, Damaged, StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self, TypeVar

    from casstore.commit import Change
    from casstore.disk.filelocking import StoreLock
    from casstore.disk.schema import Connection
    from casstore.disk.sqliteview import SqliteView
    from casstore.leases import Lease
    from casstore.model.arguments import StrPath
    from casstore.progress import Progress
    from casstore.rehearsal import Rehearsal

    T = TypeVar("T")

# Stores with an open database, by their id: a forked child leaves the databases to its parent.
_open: dict[int, ref[OpenStore]] = {}
_close_inherited: Callable[[], None] | None = None  # of a child whose parent had some open

LOCK_TIMEOUT = 60.0
_PAUSE = 0.1  # seconds between two turns: time for one who looks every 20 ms, on a busy machine


class OpenStore:
    """A store's directory and the connection to its index."""

    def __init__(
        self,
        path: StrPath,
        *,
        lock_timeout: float = LOCK_TIMEOUT,
        command: str = "",
        max_layer_size: int | None = None,
    ) -> None:
        """Name a store; nothing is opened yet. `load` and `import_image` make it if need be.

        Args:
            path: the store's directory.
            lock_timeout: seconds that a change waits for other writers before it raises Locked.
            command: what those who wait for a change made here are told (default: the program).
            max_layer_size: bytes that a layer which comes in may have uncompressed. By default
                4 GiB, or a hundred times what it has compressed, up to 64 GiB.
        """
        self.max_layer_size = max_layer_size
        self.disk = LocalStore(os.fspath(path))
        self.progress: Progress | None = None  # set it, to be told how far long tasks are
        self._lock_timeout = lock_timeout
        self._command = command
        self._connection: Connection | None = None
        self._only_to_read = False  # a change needs another connection
        self._outdated = False  # the connection is to a database of an older version
        self._opened: tuple[int, int] | None = None  # device and inode of what it is to
        self.warn_of_network = True  # say once if the store is on a network file system
        self.notices: list[str] = []  # what the user should know, besides results and errors

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def __reduce__(self) -> tuple[object, ...]:
        """A copy, or what another process unpickles, is another Store of the same directory."""
        return _again, (type(self), self.path, self._lock_timeout, self._command)

    @property
    def path(self) -> str:
        """The store's directory, absolute."""
        return self.disk.root

    def _let_go(self) -> None:
        """Open the index anew the next time; views that are in use keep theirs, and close it."""
        self._connection = None
        self._only_to_read = False

    def _let_go_now(self) -> None:
        """As `_let_go`; where no view is in use, the index is closed when this returns."""
        import gc

        self._let_go()
        gc.collect()  # a connection and its cache of statements hold each other

    def close(self) -> None:
        """Close the index; the store can be used again."""
        connection, self._connection = getattr(self, "_connection", None), None
        if connection is not None:
            _open.pop(id(self), None)
            connection.close()

    def _view(self) -> SqliteView:
        """A look at the store as it is now. Raises NotAStore, Damaged."""
        from casstore.disk.schema import is_current
        from casstore.disk.sqliteview import SqliteView

        self._leave_what_was_replaced()
        if self._outdated and self._connection is not None and is_current(self._connection):
            self._let_go()  # another process upgraded it: now there is more to see
        if self._connection is None:
            self.disk.require()
            self._begin_to_connect()
            try:
                self._connection, writable = self.disk.connect_to_read()
                self._only_to_read = not writable
                self._outdated = not is_current(self._connection)
            except Damaged:
                from casstore.care.rebuild import index_in_memory

                # The next change rebuilds the database; until then index.json and the blobs
                # answer.
                self._connection, self._only_to_read = index_in_memory(self.disk), True
        return SqliteView(self._connection, now=current_time(), hard={})

    def _change(self, *, create: bool = False) -> Change:
        """Take the lock and begin a change; with `create`, make the store if it is not there."""
        from casstore.commit import Change

        if create:
            from casstore.disk.making import create as create_store

            create_store(self.disk)
        else:
            self.disk.require()
        if self.warn_of_network:
            self._look_at_file_system()
        lock = self._locked()
        try:
            self._complete_directories()
            self._connect_for_change(create=create)
            assert self._connection is not None
            published = self.disk.layout.generation()
            if published is not None:
                if self._is_behind(self._connection, published):
                    self._make_anew()
            elif self.disk.layout.is_foreign():
                from casstore.care.adoption import adopt_published

                self.notices += adopt_published(self.disk, self._connection, current_time())
            elif (noted := self.disk.layout.noted()) is not None and self._is_behind(
                self._connection, noted
            ):
                from casstore.care.oldcopy import keep_what_came_since

                self.notices.append(keep_what_came_since(self.disk, self._connection, noted))
            return Change(self.disk, self._connection, lock, current_time())
        except BaseException:
            lock.release()
            raise

    def _complete_directories(self) -> None:
        """Make the directories of the store that are missing; no lock is needed.

        git, zip and rsync -m leave empty ones out, and other tools make a layout without ingest/.
        """
        if not (os.path.isdir(self.disk.ingest) and os.path.isdir(self.disk.blobs.directory)):
            from casstore.disk import durable
            from casstore.disk.making import make_directories

            try:
                make_directories(self.disk)
            except OSError as error:
                raise durable.storage_error(error, "cannot complete the store") from None

    def _look_at_file_system(self) -> None:
        self.warn_of_network = False
        if os.major(os.stat(self.disk.root).st_dev):
            return  # a disk of this machine: not worth the import
        from casstore.disk.mounts import network_file_system

        kind = network_file_system(self.disk.root)
        if kind is not None:
            self.notices.append(
                f"the store is on a network file system ({kind}): its lock may not hold between"
                " machines, and its database can be damaged if two of them use it at a time"
            )

    def _change_that_frees(self, act: Callable[[Change], T]) -> T:
        """Make a change that frees space, on a full disk with the help of the reserve.

        `act` is done again from the start if there was too little space for it after all, which
        statvfs cannot tell where there is a quota. Where there is much to unlink after the commit,
        others get the lock in between.
        """
        reserve = self.disk.reserve
        given_up = self.disk.exists() and reserve.is_wanted() and reserve.give_up()
        try:
            try:
                result, more = self._made(act)
            except StorageError as error:
                if not error.full or not reserve.give_up():
                    raise
                given_up = True
                self._let_go()
                result, more = self._made(act)
            while more:
                time.sleep(_PAUSE)
                more = self._unlink_more()
            return result
        finally:
            if given_up:
                self._let_go_now()  # which gives back the space of SQLite's own files
                with self._locked():
                    reserve.restore()

    def _attempt(self, act: Callable[[Change | Rehearsal], T], *, dry_run: bool) -> T:
        """Make a change that frees space; or only find out what it would do."""
        return self._rehearse(act) if dry_run else self._change_that_frees(act)

    def _rehearse(self, act: Callable[[Rehearsal], T]) -> T:
        """What `act` would do, on a copy of the index: no lock is taken, and nothing is written."""
        from casstore.rehearsal import Rehearsal

        view = self._view()
        if os.path.exists(self.disk.database) and self.disk.layout.is_foreign():
            self.notices.append(
                "another tool wrote index.json: the next change takes in what is new there, of"
                " which a dry run knows nothing"
            )
        with Rehearsal(self.disk, view.connection, current_time()) as rehearsal:
            return act(rehearsal)

    def _made(self, act: Callable[[Change], T]) -> tuple[T, bool]:
        """Make one change: what `act` returns, and whether there are doomed blobs still."""
        from casstore.commit import LeasedMeanwhile

        while True:
            try:
                with self._change() as change:
                    result = act(change)
            except LeasedMeanwhile:
                continue  # and now the rules see that lease
            return result, change.is_unfinished

    def _hold(self, images: Sequence[str], name: str | None) -> Lease:
        """Take a hard lease."""
        from casstore.leases import Lease

        self.disk.require()
        self._complete_directories()
        if self._only_to_read:
            self._let_go()  # a copy of the index, maybe: a removal since would not be seen
        return Lease(self.disk, self._view, images, name, self._command, timeout=self._lock_timeout)

    def _unlink_more(self) -> bool:
        """One more turn of unlinking; False if it was the last.

        What goes wrong is no error, for the change was made.
        """
        try:
            with self._change() as change:
                change.commit()
        except CasstoreError as error:
            self.notices.append(f"{error}; the next change removes the blobs that are left")
            return False
        self.notices += change.warnings
        return change.is_unfinished

    def _locked(self) -> StoreLock:
        """The writers' lock, taken."""
        from casstore.disk.filelocking import StoreLock

        lock = StoreLock(self.disk.lock, self._lock_timeout, self._command)
        lock.acquire()
        return lock

    def _connect_for_change(self, *, create: bool) -> None:
        """Open the database for writing, building it first where it is missing or damaged."""
        from casstore.disk.schema import has_uncounted, is_current

        self._leave_what_was_replaced()
        if self._only_to_read:
            self._let_go()
        shared = self.disk.is_shared()
        if self._connection is not None:
            if not shared and is_current(self._connection):
                return
            self._let_go()  # older: to be upgraded; newer since we opened it: to be refused
        if create:
            from casstore.disk.making import finish, make_database

            if not self.disk.exists() and not os.path.exists(self.disk.database):
                make_database(self.disk)
            finish(self.disk)
        try:
            if os.path.exists(self.disk.database):
                if shared:
                    from casstore.disk.making import separate_database

                    separate_database(self.disk)
                connection = self._connect(upgrade=True)
                if has_uncounted(connection):
                    from casstore.care.recount import recount_few

                    recount_few(self.disk.blobs, connection)
                return
        except Damaged:
            self.disk.check_readable()
        from casstore.care.rebuild import rebuild_database

        rebuild_database(self.disk)
        self._connect()

    def _connect(self, *, upgrade: bool = False) -> Connection:
        """Open the database for writing; the lock is held, so that nobody replaces it."""
        self._begin_to_connect()
        self._connection = self.disk.connect(writable=True, upgrade=upgrade)
        self._outdated = False
        return self._connection

    def _begin_to_connect(self) -> None:
        """Note which file is opened; and in a forked child, close what the parent had opened."""
        if _close_inherited is not None:
            _close_inherited()
        self._opened = self.disk.identity()
        _open[id(self)] = ref(self)

    def _leave_what_was_replaced(self) -> None:
        """Forget a connection to a database that another process has put a new one in place of.

        What is written there reaches nobody, though index.json and the blobs would follow it.
        Views that are still in use keep it open.
        """
        if self._connection is not None and self._opened != self.disk.identity():
            self._let_go()

    def _is_behind(self, connection: Connection, published: int) -> bool:
        """Whether index.json, of generation `published`, is ahead: an old database was put back.

        No crash leaves that, for a change is in the database before it is in index.json. To go on
        with the copy would take from index.json all that came after it, and gc the blobs.
        """
        from casstore.disk import schema
        from casstore.disk.sqliteview import SqliteView

        try:
            committed = SqliteView(connection, now=0, hard={}).meta("generation")
        except schema.Error as error:
            raise schema.database_error(error, self.disk.database) from None
        return isinstance(committed, int) and committed < published

    def _make_anew(self) -> None:
        """Make the database from index.json and the blobs, and tell so; the lock is held."""
        from casstore.care.rebuild import rebuild_database

        self._let_go()
        problems, _ = rebuild_database(self.disk)
        self._connect()
        self.notices.append(
            "casstore.db was older than index.json, as if an old copy had been put back: it was"
            " made again from index.json and the blobs, and the copy kept as casstore.db.damaged-…"
        )
        self.notices += problems


def _again(kind: type[OpenStore], path: str, lock_timeout: float, command: str) -> OpenStore:
    return kind(path, lock_timeout=lock_timeout, command=command)


def _leave_to_parent() -> None:
    """In a forked child: have each store open its database again when it is next used."""
    global _close_inherited  # noqa: PLW0603 - of the process, as a fork is
    stores = [found for one in _open.values() if (found := one()) is not None]
    _open.clear()
    if not stores:
        return
    from casstore.disk.forking import close_inherited, leave_to_parent

    _close_inherited = close_inherited  # imported now: the child may be about to give up its rights
    for store in stores:
        leave_to_parent(store._connection)  # noqa: SLF001 - one of us
        store._connection, store._only_to_read, store._outdated = None, False, False  # noqa: SLF001


os.register_at_fork(after_in_child=_leave_to_parent)
