"""A session: one store, held open by one thread, for looks and changes.

Whatever the store is kept on, this is the only module that knows it: all else asks the ports. A
look takes no lock. A change takes the writers' lock first, and finishes what a crash left.
"""

from __future__ import annotations

import time

from casstore.clock import current_time
from casstore.errors import CasstoreError, StorageError, UsageError, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self, TypeVar

    from casstore.change.commit import Change
    from casstore.change.leases import Lease
    from casstore.change.rehearsal import Rehearsal
    from casstore.model.digest import Digest
    from casstore.model.reference import Reference
    from casstore.ports.backend import Backend
    from casstore.ports.locks import WritersLock
    from casstore.ports.view import View
    from casstore.progress import Progress, ProgressCallback

    T = TypeVar("T")

LOCK_TIMEOUT = 60.0
_PAUSE = 0.1  # seconds between two turns: time for one who looks every 20 ms, on a busy machine


class Session:
    """What every part of `Store` works with."""

    def __init__(
        self,
        backend: Backend,
        *,
        lock_timeout: float = LOCK_TIMEOUT,
        command: str = "",
        cautious: bool = True,
    ) -> None:
        """Hold a store; nothing is opened yet.

        Args:
            backend: where it is kept.
            lock_timeout: seconds that a change waits for other writers before it raises Locked.
            command: what those are told who wait for a change made here; the program's name by
                default.
            cautious: say once if the store is kept where its lock may not hold.
        """
        self.backend = backend
        self.command = command
        self.progress: Progress | None = None  # set it, to look on how far long tasks are
        self.callback: ProgressCallback | None = None  # or this, to be called
        self.notices: list[str] = []  # what the user should know, besides results and errors
        self.max_layer_size: int | None = None  # bytes that a layer may have; None: as usual
        self._lock_timeout = lock_timeout
        self._cautious = cautious

    @classmethod
    def of_directory(
        cls,
        path: str,
        *,
        lock_timeout: float = LOCK_TIMEOUT,
        command: str = "",
        cautious: bool = True,
        volatile: bool = False,
    ) -> Self:
        """The session of a store in a directory of this machine.

        `volatile`: nothing in it is flushed, by whatever this process does with it.
        """
        from casstore.backends.local.backend import LocalBackend

        backend = LocalBackend(path, volatile=volatile)
        return cls(backend, lock_timeout=lock_timeout, command=command, cautious=cautious)

    @classmethod
    def in_memory(cls, like: Session | None = None) -> Self:
        """The session of a new store in memory, with what `like`, one in memory too, holds now."""
        from casstore.backends.memory.backend import MemoryBackend

        if like is None:
            return cls(MemoryBackend())
        if not isinstance(like.backend, MemoryBackend):
            raise UsageError(f"not a store in memory: {like.backend.where}")
        return cls(like.backend.twin())

    def __repr__(self) -> str:
        return f"<casstore session of {self.backend.where!r}>"

    def __del__(self) -> None:
        self.close()

    def another(self) -> Session:
        """A session of the same store for another thread; it tells nobody how far it is."""
        return Session(
            self.backend.another(), lock_timeout=self._lock_timeout, command=self.command
        )

    def __reduce__(self) -> tuple[object, ...]:
        """What another process unpickles is another session of the same store."""
        return _unpickled, (self.backend, self._lock_timeout, self.command)

    def close(self) -> None:
        """Close what is open; the session can be used again."""
        self.backend.close()

    def leave(self) -> None:
        """As `close`, before the process ends by `os._exit`: what that does is left to it."""
        self.backend.leave()

    def notice(self, texts: Sequence[str]) -> None:
        """Note what the user should know, and log it."""
        self.notices += texts
        warn(texts)

    def view(self) -> View:
        """A look at the store as it is now. Raises NotAStore, Damaged."""
        return self.backend.view(current_time())

    def change(self, *, create: bool = False) -> Change:
        """Take the lock and begin a change; with `create`, make the store if it is not there."""
        from casstore.change.commit import Change

        if create:
            self.backend.create()
        else:
            self.backend.require()
        if self._cautious:
            self._cautious = False
            self.notice(self.backend.cautions())
        lock = self.locked()
        try:
            self.notice(self.backend.prepare(create=create))
            return Change(self.backend, lock, current_time(), self.notices)
        except BaseException:
            lock.release()
            raise

    def change_that_frees(self, act: Callable[[Change], T]) -> T:
        """Make a change that frees space, on a full disk with the help of the reserve.

        `act` is done again from the start if there was too little space for it after all, which
        statvfs cannot tell where there is a quota. Where there is much to unlink after the commit,
        others get the lock in between.
        """
        reserve = self.backend.reserve
        given_up = self.backend.exists() and reserve.is_wanted() and reserve.give_up()
        try:
            try:
                result, more = self._made(act)
            except StorageError as error:
                if not error.full or not reserve.give_up():
                    raise
                given_up = True
                self.backend.let_go()
                result, more = self._made(act)
            while more:
                time.sleep(_PAUSE)
                more = self._unlink_more()
            return result
        finally:
            if given_up:
                self.backend.let_go(at_once=True)  # gives back the space of the index's own files
                lock = self.locked()
                try:
                    reserve.restore()
                finally:
                    lock.release()

    def attempt(self, act: Callable[[Change | Rehearsal], T], *, dry_run: bool) -> T:
        """Make a change that frees space; or only find out what it would do."""
        return self.rehearse(act) if dry_run else self.change_that_frees(act)

    def rehearse(self, act: Callable[[Rehearsal], T]) -> T:
        """What `act` would do, on a copy of the index: no lock is taken, and nothing is written."""
        from casstore.change.rehearsal import Rehearsal

        with Rehearsal(self.backend, current_time()) as rehearsal:
            self.notice(rehearsal.unseen)
            return act(rehearsal)

    def reported(self, act: Callable[[Progress | None], T]) -> T:
        """Do `act`, which counts in what it is given, for whoever wants to know how far it is."""
        if self.callback is None:
            return act(self.progress)
        from casstore.progress import reported

        return reported(self.callback, act)

    def noting(self, action: str) -> Callable[..., None]:
        """What notes events that change nothing in the index.

        It takes pairs of an image and a name, either of which may be None, or nothing for an event
        of the store; and attributes. All that it needs is imported now: nothing may fail after what
        it tells of.
        """
        from casstore.model.event import Event

        events = self.backend.events

        def note(*of: tuple[Digest | None, Reference | None], **more: str) -> None:
            now, subjects = current_time(), of or ((None, None),)
            events.note([Event(now, action, image, name, more, None) for image, name in subjects])

        return note

    def hold(self, images: Sequence[str], name: str | None) -> Lease:
        """Take a hard lease."""
        from casstore.change.leases import Lease

        self.backend.require()
        self.backend.prepare_ingest()
        self.backend.refresh()  # in a copy of the index a removal since would not be seen
        return Lease(
            self.backend, self.view, images, name, self.command, timeout=self._lock_timeout
        )

    def _made(self, act: Callable[[Change], T]) -> tuple[T, bool]:
        """Make one change: what `act` returns, and whether there are doomed blobs still."""
        from casstore.change.commit import LeasedMeanwhile

        while True:
            try:
                with self.change() as change:
                    result = act(change)
            except LeasedMeanwhile:
                continue  # and now the rules see that lease
            return result, change.is_unfinished

    def _unlink_more(self) -> bool:
        """One more turn of unlinking; False if it was the last.

        What goes wrong is no error, for the change was made.
        """
        try:
            with self.change() as change:
                change.commit()
        except CasstoreError as error:
            self.notice([f"{error}; the next change removes the blobs that are left"])
            return False
        self.notices += change.warnings  # which the change has logged
        return change.is_unfinished

    def locked(self) -> WritersLock:
        """The writers' lock, taken."""
        lock = self.backend.lock(self._lock_timeout, self.command)
        lock.acquire()
        return lock


def _unpickled(backend: Backend, lock_timeout: float, command: str) -> Session:
    return Session(backend, lock_timeout=lock_timeout, command=command)
