"""The open index of a local store: one connection, whatever state a crash left casstore.db in.

A reader takes no lock. A writer takes the lock first, and then opens the database, which is built
again where it is missing or damaged. What the next look needs may be another connection than the
last one's; a view that is in use keeps its own, which is closed with the last view of it.
"""

from __future__ import annotations

import os

from casstore.clock import current_time
from casstore.errors import Damaged
from casstore.startup import ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from casstore.backends.local.directory import LocalStore
    from casstore.backends.local.schema import Connection


_left: list[Connection] = []  # by a process that is about to end
# Open indexes, by their id: a forked child leaves their databases to its parent.
_open: dict[int, ref[OpenIndex]] = {}
_close_inherited: Callable[[], None] | None = None  # of a child whose parent had some open


class OpenIndex:
    """The connection that a store keeps open between its looks and changes."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self._open: Connection | None = None
        self._only_to_read = False  # a change needs another connection
        self._outdated = False  # the connection is to a database of an older version
        self._file: tuple[int, int] | None = None  # device and inode of what it is to

    def let_go(self) -> None:
        """Open the index again the next time; views that are in use keep theirs, and close it."""
        self._open = None
        self._only_to_read = False

    def let_go_now(self) -> None:
        """As `let_go`; where no view is in use, the index is closed when this returns."""
        import gc

        self.let_go()
        gc.collect()  # a connection and its cache of statements hold each other

    def close(self) -> None:
        """Close the connection, whoever has a view of it: only this takes SQLite's log away now."""
        connection, self._open = self._open, None
        _open.pop(id(self), None)
        if connection is not None:
            connection.close()

    def leave(self) -> None:
        """Leave the connection to the end of this process, which is near: the log stays.

        To close it would bring SQLite's log back into the database and remove it, and the next
        command would make it again: four waits for the disk.
        """
        connection, self._open = self._open, None
        _open.pop(id(self), None)
        if connection is not None:
            _left.append(connection)

    def __del__(self) -> None:
        _open.pop(id(self), None)

    def given_up(self) -> Connection | None:
        """In a forked child: its parent's connection. This opens one of its own when next used."""
        opened, self._open = self._open, None
        self._only_to_read = self._outdated = False
        return opened

    def _begin_to_connect(self) -> None:
        """Note which file is opened; and in a forked child, close what the parent had opened."""
        if _close_inherited is not None:
            _close_inherited()
        self._file = self._store.identity()
        _open[id(self)] = ref(self)

    def to_read(self) -> Connection:
        """A connection to look through. Raises NotAStore, Damaged."""
        from casstore.backends.local.schema import is_current

        self._leave_what_was_replaced()
        if self._outdated and self._open is not None and is_current(self._open):
            self.let_go()  # another process upgraded it: now there is more to see
        if self._open is None:
            store = self._store
            store.require()
            self._begin_to_connect()
            try:
                connection, writable = store.connect_to_read()
                self._outdated = not is_current(connection)
            except Damaged:
                from casstore.backends.local.care.rebuild import index_in_memory

                # The next change rebuilds the database; until then index.json and the blobs
                # answer.
                connection, writable = index_in_memory(store), False
            self._open = connection
            self._only_to_read = not writable
        return self._open

    @property
    def is_copy(self) -> bool:
        """Whether what is open may be a copy, which shows nothing that comes later."""
        return self._only_to_read

    def refresh(self) -> None:
        """Let the next look be of the store itself, not of a copy that was made for reading."""
        if self._only_to_read:
            self.let_go()

    def to_change(self) -> Connection:
        """The connection that `prepare` has opened."""
        assert self._open is not None
        return self._open

    def prepare(self, *, create: bool) -> list[str]:
        """Open the database for writing, and mend what has to be mended first; the lock is held.

        Returns:
            What the user should know of that.
        """
        store = self._store
        store.complete()
        self._connect_for_change(create=create)
        layout = store.layout
        published = layout.generation()
        if published is not None:
            return self._build_again() if self._is_behind(published) else []
        if layout.is_foreign():
            from casstore.backends.local.care.adoption import adopt_published

            return adopt_published(store, self.to_change(), current_time())
        noted = layout.noted()
        if noted is not None and self._is_behind(noted):
            from casstore.backends.local.care.oldcopy import keep_what_came_since

            return [keep_what_came_since(store, self.to_change(), noted)]
        return []

    def _connect_for_change(self, *, create: bool) -> None:
        """Open the database for writing, building it first where it is missing or damaged."""
        from casstore.backends.local.schema import has_uncounted, is_current

        self._leave_what_was_replaced()
        if self._only_to_read:
            self.let_go()
        store = self._store
        shared = store.is_shared()
        if self._open is not None:
            if not shared and is_current(self._open):
                return
            self.let_go()  # older: to be upgraded; newer since we opened it: to be refused
        if create:
            from casstore.backends.local.creation import finish, make_database

            if not store.exists() and not os.path.exists(store.database):
                make_database(store)
            finish(store)
        try:
            if os.path.exists(store.database):
                if shared:
                    from casstore.backends.local.creation import separate_database

                    separate_database(store)
                self._connect(upgrade=True)
                connection = self.to_change()
                if has_uncounted(connection):
                    from casstore.backends.local.care.recount import recount_few

                    recount_few(store.blobs, connection)
                return
        except Damaged:
            store.check_readable()
        from casstore.backends.local.care.rebuild import rebuild_database

        rebuild_database(store)
        self._connect()

    def _connect(self, *, upgrade: bool = False) -> None:
        """Open the database for writing; the lock is held, so that nobody replaces it."""
        self._begin_to_connect()
        self._open = self._store.connect(writable=True, upgrade=upgrade)
        self._outdated = False

    def _leave_what_was_replaced(self) -> None:
        """Forget a connection to a database that another process has put a new one in place of.

        What is written there reaches nobody, though index.json and the blobs would follow it.
        """
        if self._open is not None and self._file != self._store.identity():
            self.let_go()

    def _is_behind(self, published: int) -> bool:
        """Whether index.json, of generation `published`, is ahead: an old database was put back.

        No crash leaves that, for a change is in the database before it is in index.json. To go on
        with the copy would take from index.json all that came after it, and gc the blobs.
        """
        from casstore.backends.local.view import LocalView
        from casstore.model.keys import GENERATION

        committed = LocalView(self.to_change(), now=0, hard={}).meta(GENERATION)
        return isinstance(committed, int) and committed < published

    def _build_again(self) -> list[str]:
        """Build the database from index.json and the blobs, and say so; the lock is held."""
        from casstore.backends.local.care.rebuild import rebuild_database

        self.let_go()
        problems, _ = rebuild_database(self._store)
        self._connect()
        text = (
            "casstore.db was older than index.json, as if an old copy had been put back: it was"
            " made again from index.json and the blobs, and the copy kept as casstore.db.damaged-…"
        )
        return [text, *problems]


def _leave_to_parent() -> None:
    """In a forked child: have each store open its database again when it is next used."""
    global _close_inherited  # noqa: PLW0603 - of the process, as a fork is
    indexes = [found for one in _open.values() if (found := one()) is not None]
    _open.clear()
    if not indexes:
        return
    from casstore.backends.local.forkedchild import close_inherited, leave_to_parent

    _close_inherited = close_inherited  # imported now: the child may be about to give up its rights
    for index in indexes:
        leave_to_parent(index.given_up())


os.register_at_fork(after_in_child=_leave_to_parent)
