"""Many files at a time by several threads, where the disk makes each one wait.

An unlink takes 3 to 20 us where the file system only notes it, and a flush of what is written
already next to nothing where there is no disk. Where they wait for the disk (an unlink on ext4
without a journal that tells the disk of every freed block, each flush on any disk) it takes 100 us
or more, and the waits of several threads go side by side: ten thousand unlinks take a tenth of the
time, a thousand flushes a fifth. The threads are the interpreter's own.
"""

from __future__ import annotations

from casstore.startup import allocate_lock, start_new_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable, Iterator
    from typing import Any, Self, TypeVar

    T = TypeVar("T")

HELPERS = 15  # threads beside the first; more than 16 in all gain nothing


class _Shared:
    """An iterator that threads take from in turn, until it is stopped."""

    def __init__(self, items: Iterator[Any]) -> None:
        self._items = items
        self.stopped = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self.stopped:
            raise StopIteration
        return next(self._items)


def side_by_side(work: Callable[[Iterator[T]], None], items: Iterator[T]) -> None:
    """Let several threads work through items, each taking the next one.

    When it returns, or raises, none of them is running any more.

    Args:
        work: handles what it takes from the iterator that it is given, and raises nothing.
        items: the iterator of a list, whose next item is taken in one step of the interpreter.
    """
    shared = _Shared(items)
    helpers: list[LockType] = []
    try:
        for _ in range(HELPERS):
            helpers.append(allocate_lock())
            try:
                start_new_thread(_help, (helpers[-1], work, shared))
            except RuntimeError:
                break  # no more threads for this user: it takes longer without
        work(shared)
    finally:
        # also after an interruption, for the caller is about to give up the lock that covers this
        shared.stopped = True
        for running in helpers:
            running.acquire()


def _help(running: LockType, work: Callable[[Iterator[T]], None], items: Iterator[T]) -> None:
    """A thread: it holds its lock as long as it runs. If somebody else has that, it is too late."""
    if running.acquire(blocking=False):
        try:
            work(items)
        finally:
            running.release()
