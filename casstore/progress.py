"""How far a long task is: plain counters that whoever shows it reads when it likes.

The work counts, and never waits, prints or calls back: that is one addition for each piece of
data, and nothing at all where nobody asked. A reader (the command line's bar, a front end's
stream of events) looks at the tasks from a thread of its own as often as it wants to draw.
Loading, saving, checking and collecting are shown so, and whatever comes over the network: a task
for each layer, with the same `name` and the layer's digest as `item`.
"""

from __future__ import annotations

import time
from threading import Lock

BYTES = "bytes"


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

    __slots__ = ("_turn", "began", "done", "finished", "item", "name", "total", "unit")

    def __init__(self, name: str, total: int | None, item: str, unit: str) -> None:
        self.name, self.item, self.unit = name, item, unit
        self.total = total
        self.done = 0
        self.finished = False
        self.began = time.monotonic()
        self._turn = Lock()

    def advance(self, count: int) -> None:
        """Count what has just been done; any thread may."""
        with self._turn:
            self.done += count

    def finish(self) -> None:
        """The task is over. What was skipped, as layers that are there already, is done too."""
        if self.total is not None:
            self.done = self.total
        self.finished = True


class Progress:
    """The tasks of one piece of work, in the order in which they began."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []

    def task(
        self, name: str, total: int | None = None, *, item: str = "", unit: str = BYTES
    ) -> Task:
        """Begin a task; the one who does it calls `finish`, unless it fails."""
        task = Task(name, total, item, unit)
        self.tasks.append(task)
        return task

    def finish(self) -> None:
        """All that has begun is over."""
        for task in self.tasks:
            task.finish()
