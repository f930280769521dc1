"""--progress: how far a long task is, on stderr, as `docker build` shows its own.

A thread reads the counters of casstore.progress some times a second and draws; the work itself
knows nothing of it, and costs nothing where nobody looks on. A task that is over before the first
drawing is never seen. On a terminal there is one line, which is gone when the command ends, fails
or is interrupted: what stays is the result.
"""

from __future__ import annotations

import os
import sys
import time

from casstore.cli.options import TEXT, Option
from casstore.cli.render import size
from casstore.cli.terminal import terminal_of
from casstore.progress import BYTES, Progress
from casstore.startup import allocate_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from threading import Event, Thread
    from types import TracebackType
    from typing import Self, TextIO

    from casstore.cli.app import App
    from casstore.progress import Task

AUTO, PLAIN, NONE, JSON, TTY = "auto", "plain", "none", "json", "tty"
PROGRESS = Option(
    "progress",
    "How progress is shown on stderr: auto (a bar, on a terminal), plain\n"
    "(a line a second), json (an object a line), tty, none",
    kind=TEXT,
    value="type",
    choices=(AUTO, PLAIN, NONE, JSON, TTY),
    default=AUTO,
    own=True,
)

_INTERVAL = {TTY: 0.1, PLAIN: 1.0, JSON: 0.5}  # seconds between two drawings
_SPAN = 5.0  # seconds over which a rate is taken
_CLEAR = "\r\x1b[K"
_BAR, _LEAST_BAR = 28, 8  # cells of a bar
_SPEED, _LEFT = 14, 13  # cells of "999.9 MB/s" and "59m59s left", with what parts them
_FALLBACK_WIDTH = 80


class Sight:
    """All tasks of one name at one moment, as one."""

    __slots__ = ("began", "count", "done", "finished", "name", "total", "unit")

    def __init__(self, tasks: list[Task]) -> None:
        first = tasks[0]
        self.name, self.unit, self.count = first.name, first.unit, len(tasks)
        self.began = min(task.began for task in tasks)
        self.done = sum(task.done for task in tasks)
        totals = [task.total for task in tasks]
        known = [total for total in totals if total is not None]
        self.total = sum(known) if len(known) == len(totals) else None
        self.finished = all(task.finished for task in tasks)

    def amount(self, count: int) -> str:
        """A count in the task's unit, for people."""
        return steady_size(count) if self.unit == BYTES else f"{count} {self.unit}"

    def portion(self) -> str:
        """`12.3 MB / 50 MB`, or as much of it as is known."""
        if self.total is None:
            return self.amount(self.done) if self.done else ""
        whole = self.amount(self.total)
        return f"{self.amount(self.done).rjust(len(whole))} / {whole}"

    def share(self) -> float | None:
        """How much is done, 0 to 1; None where that cannot be known."""
        return None if not self.total else min(self.done / self.total, 1.0)


def sights(progress: Progress) -> list[Sight]:
    """What is there to see, in the order in which it began."""
    by_name: dict[str, list[Task]] = {}
    for task in list(progress.tasks):
        by_name.setdefault(task.name, []).append(task)
    return [Sight(tasks) for tasks in by_name.values()]


class Pace:
    """How fast a count grows, over the last seconds."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []

    def rate(self, now: float, done: int) -> float | None:
        """Per second; None before there is enough to tell."""
        self._seen = [(at, count) for at, count in self._seen if now - at <= _SPAN]
        self._seen.append((now, done))
        since, before = self._seen[0]
        return (done - before) / (now - since) if now - since >= 0.5 else None


def bar_line(sight: Sight, rate: float | None, width: int, *, box: bool) -> str:
    """One line of less than `width` cells: as much as there is room for, the best first."""
    share = sight.share()
    left = ""
    if rate and sight.total is not None and sight.total > sight.done:
        left = f"{clock((sight.total - sight.done) / rate)} left"
    speed = f"{sight.amount(round(rate))}/s" if rate and sight.unit == BYTES else ""
    percent = "" if share is None else f"{int(100 * share):3d}%"
    name, portion = sight.name, sight.portion()
    choices = (
        (name, percent, portion, speed, left),
        (name, percent, portion, left),
        (name, percent, left),
        (name, percent),
    )
    if share is not None:
        # what changes its length keeps its room, or the bar would come and go
        rest = sum(len(part) + 2 for part in (name, percent, portion)) + _SPEED + _LEFT
        cells = min(_BAR, width - 1 - rest)
        if cells >= _LEAST_BAR:
            bar = _bar(share, cells, box=box)
            tail = f"{speed.rjust(_SPEED - 2)}  {left}".rstrip()
            return "  ".join(part for part in (name, bar, percent, portion, tail) if part)
    lines = ["  ".join(part for part in parts if part) for parts in choices]
    fitting = [line for line in lines if len(line) < width]
    return fitting[0] if fitting else lines[-1][: max(width - 1, 0)]


def steady_size(count: int) -> str:
    """Bytes as `size` has them, with one decimal always, so that a line does not jump."""
    number, unit = size(count).split(" ")
    return f"{count} B" if unit == "B" else f"{float(number):.1f} {unit}"


def clock(seconds: float) -> str:
    """`42s`, `3m05s`, `2h10m`: short, and as exact as a guess deserves."""
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole >= 360_000:
        return "> 99h"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def _bar(share: float, cells: int, *, box: bool) -> str:
    if box:
        full = int(share * cells)
        return "█" * full + "░" * (cells - full)
    full = int(share * (cells - 2))
    return "[" + "=" * full + " " * (cells - 2 - full) + "]"


class Show:
    """Shows the progress of a store's work for as long as the context lasts."""

    def __init__(self, app: App, how: str, *, quiet: bool = False) -> None:
        """`how` is the value of --progress; `quiet` is -q, which means none unless told so."""
        self._app = app
        self._err: TextIO = sys.stderr
        terminal = terminal_of(self._err)
        if how == AUTO:
            how = TTY if terminal.is_terminal and not quiet else NONE
        self._how, self._box = how, terminal.box
        self._progress = Progress()
        self._turn = allocate_lock()
        self._over: Event | None = None
        self._thread: Thread | None = None
        self._paces: dict[str, Pace] = {}
        self._ended: set[str] = set()
        self._drawn = False

    def __enter__(self) -> Self:
        if self._how != NONE:
            self._app.store.session.progress = self._progress
            from threading import Event, Thread  # two milliseconds, where somebody looks on

            over = self._over = Event()
            self._thread = Thread(target=self._watch, args=(over,), name="progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread is None or self._over is None:
            return
        self._over.set()
        self._thread.join()
        self._app.store.session.progress = None
        if kind is None:
            self._progress.finish()
        if self._how != TTY:
            self._draw()
        elif self._drawn:
            self._write(_CLEAR)

    def out(self, line: str) -> None:
        """One line of the result, above the bar."""
        with self._turn:
            if self._drawn:
                self._write(_CLEAR)
                self._drawn = False
            self._app.out(line)
            sys.stdout.flush()

    def _watch(self, over: Event) -> None:
        while not over.wait(_INTERVAL[self._how]):
            with self._turn:
                self._draw()

    def _draw(self) -> None:
        now = time.monotonic()
        line = ""
        for sight in sights(self._progress):
            pace = self._paces.setdefault(sight.name, Pace())
            rate = pace.rate(now, sight.done)
            if self._how == TTY:
                if not sight.finished:  # the last that has begun is the one that is waited for
                    line = bar_line(sight, rate, self._width(), box=self._box)
                continue
            if sight.name in self._ended:
                continue
            if sight.finished:
                self._ended.add(sight.name)
            if self._how == PLAIN:
                self._write(_plain(sight, rate, now - sight.began) + "\n")
            else:
                self._write(_json(sight, rate) + "\n")
        if line:
            self._write(_CLEAR + line)
            self._drawn = True

    def _width(self) -> int:
        try:
            return os.get_terminal_size(self._err.fileno()).columns or _FALLBACK_WIDTH
        except (OSError, ValueError):
            return _FALLBACK_WIDTH

    def _write(self, text: str) -> None:
        try:
            self._err.write(text)
            self._err.flush()
        except (OSError, ValueError):
            pass  # nobody looks on any more; the work goes on


def _plain(sight: Sight, rate: float | None, seconds: float) -> str:
    speed = f"  {sight.amount(round(rate))}/s" if rate and sight.unit == BYTES else ""
    if sight.finished:
        parts = (f"{sight.name} done", sight.portion(), f"{seconds:.1f}s")
        return "  ".join(part for part in parts if part)
    return f"{sight.name}  {sight.portion()}{speed}".rstrip()


def _json(sight: Sight, rate: float | None) -> str:
    from casstore.cli.jsontext import json_text

    return json_text(
        {
            "name": sight.name,
            "current": sight.done,
            "total": sight.total,
            "unit": sight.unit,
            "tasks": sight.count,
            "rate": None if rate is None else round(rate),
            "completed": sight.finished,
        }
    )
