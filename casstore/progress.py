"""How far a long task is: plain counters, for whoever looks on or is called.

The work counts, and never waits or prints: that is one addition for each piece of data, and nothing
at all where nobody asked. A reader (the command line's bar) looks at the tasks from a thread of its
own as often as it wants to draw. A callback, which callers from Python give, is called in the
thread that began the work and in no other: when that thread counts, and where it waits for others
that count. Loading, saving, checking and collecting are shown so, and whatever comes over the
network: a task for each layer, with the same `name` and the layer's digest as `item`.

A callback that raises ends the work, as Ctrl-C would: no handler on the way out takes its error for
one of the work, for it travels inside `Aborted`, and `reported` unpacks it.
"""

from __future__ import annotations

import time

from casstore.startup import allocate_lock, get_ident
from casstore.startup.typed import Protocol
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from casstore.startup.workers import Outcome

    T = TypeVar("T")

BYTES = "bytes"
INTERVAL = 0.1  # seconds between two calls of a callback about the same tasks


class ProgressUpdate(Value):
    """How far one task is."""

    name: str  # what is done: "Loading", "Pulling", "Checking" ...
    item: str  # what it is done to, where there are several at a time: the digest of a layer, short
    unit: str  # what is counted: "bytes", "images" or "blobs"
    done: int  # at most `total`; less than before where something is sent again
    total: int | None  # None where nobody knows
    finished: bool


class ProgressCallback(Protocol):
    """Called with each task: when it begins, ten times a second as it goes on, when it ends."""

    def __call__(self, update: ProgressUpdate, /) -> None: ...


class Aborted(KeyboardInterrupt):
    """A callback has raised `error`: what goes on is ended as by Ctrl-C, and rolled back."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


class Task:
    """One thing that takes a while.

    Attributes:
        name: what is done, for people: `Loading`. Tasks of one name are shown as one.
        item: what it is done to, where there are several at a time.
        unit: what is counted: `bytes`, `images`.
        total: how many there will be, None where nobody knows.
        done: how many are done.
        began: when, as time.monotonic() has it.
        finished: whether it is over.
    """

    __slots__ = ("_owner", "_turn", "began", "done", "finished", "item", "name", "total", "unit")

    def __init__(
        self, name: str, total: int | None, item: str, unit: str, owner: Progress | None = None
    ) -> None:
        self.name, self.item, self.unit = name, item, unit
        self.total = total
        self.done = 0
        self.finished = False
        self.began = time.monotonic()
        self._turn = allocate_lock()
        self._owner = owner

    def __repr__(self) -> str:
        return f"<Task {self.name} {self.item}: {self.done} of {self.total} {self.unit}>"

    def advance(self, count: int) -> None:
        """Count what has just been done; any thread may."""
        with self._turn:
            self.done += count
        if self._owner is not None:
            self._owner.tell()

    def reach(self, count: int) -> None:
        """So many are done by now."""
        self.done = count
        if self._owner is not None:
            self._owner.tell()

    def pulse(self) -> None:
        """A moment to call back: for a thread that waits for others which count."""
        if self._owner is not None:
            self._owner.tell()

    def finish(self) -> None:
        """The task is over. What was skipped, as layers that are there already, is done too."""
        if self.total is not None:
            self.done = self.total
        self.finished = True
        if self._owner is not None:
            self._owner.tell_of(self)


class Progress:
    """The tasks of one piece of work, in the order in which they began."""

    def __init__(self, callback: ProgressCallback | None = None) -> None:
        """`callback` is called in this thread alone."""
        self.tasks: list[Task] = []
        self._callback = callback
        self._thread = get_ident()
        self._next = 0.0
        self._told: dict[Task, ProgressUpdate] = {}  # of tasks that are not over

    def task(
        self, name: str, total: int | None = None, *, item: str = "", unit: str = BYTES
    ) -> Task:
        """Begin a task; the one who does it calls `finish`, unless it fails."""
        task = Task(name, total, item, unit, None if self._callback is None else self)
        self.tasks.append(task)
        self.tell_of(task)
        return task

    def finish(self) -> None:
        """All that has begun is over."""
        for task in self.tasks:
            if not task.finished:
                task.finish()

    def tell(self) -> None:
        """Call back about what has changed, if it is time; so a thread does that waits for others.

        Raises:
            Aborted: the callback has raised.
        """
        if self._may_call() and time.monotonic() >= self._next:
            for task in list(self._told):
                self._call(task)
            self._next = time.monotonic() + INTERVAL

    def tell_of(self, task: Task) -> None:
        """Call back about one task at once, if it has changed. Raises Aborted."""
        if self._may_call():
            self._call(task)

    def _may_call(self) -> bool:
        return self._callback is not None and get_ident() == self._thread

    def _call(self, task: Task) -> None:
        total = task.total
        # an archive's headers are counted too, and are not in its total
        done = task.done if total is None else min(task.done, total)
        update = ProgressUpdate(task.name, task.item, task.unit, done, total, task.finished)
        if self._callback is None or self._told.get(task) == update:
            return
        if task.finished:
            self._told.pop(task, None)
        else:
            self._told[task] = update
        try:
            self._callback(update)
        except BaseException as error:  # noqa: BLE001 - raised again by `reported`
            self._callback = None  # what is rolled back now is not told
            raise Aborted(error) from None


def wait_for(outcome: Outcome[Any], pulse: Callable[[], None]) -> None:
    """Wait until what another thread does is done, and call `pulse` some times a second."""
    while not outcome.wait(INTERVAL):
        pulse()


def reported(callback: ProgressCallback, act: Callable[[Progress], T]) -> T:
    """Do `act`, and tell `callback` how far it is. Raises also what that raises."""
    try:
        return act(Progress(callback))
    except Aborted as aborted:
        error = aborted.error
    raise error
