"""prune, in short turns, so that other commands can use the store in between.

The images are chosen once, without the lock. They are removed in turns: each holds the lock for
about SECONDS_A_TURN and is one durable change. A small prune is one turn. The store may change
after the choice, so each image is checked again before it goes.
"""

from __future__ import annotations

import time
from collections import deque

from casstore.change.removal import parsed_filters, remove_candidates
from casstore.errors import CasstoreError
from casstore.gc.garbage import PAUSE
from casstore.gc.stop import Stopped
from casstore.model.removal import PruneResult
from casstore.model.removedlines import RemovedLines
from casstore.rules.filters import BadFilter
from casstore.rules.retention import prune_candidates

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from casstore.change.commit import Change
    from casstore.change.rehearsal import Rehearsal
    from casstore.gc.garbage import Turn
    from casstore.gc.stop import Stop
    from casstore.model.removal import Removed
    from casstore.ports.view import View
    from casstore.progress import Progress
    from casstore.rules.retention import Candidate

# Beside it a turn has its commit, its index.json and the unlinking of some blobs.
SECONDS_A_TURN = 0.4


class Choice:
    """What prune is asked to remove."""

    def __init__(self, *, everything: bool, filters: Sequence[str], keep: int | None) -> None:
        """`keep` in ns; see `Store.prune`."""
        self._everything = everything
        self._filters = filters
        self.keep = keep

    def candidates(self, view: View) -> deque[Candidate]:
        """The images that go, as the store is now. Raises BadFilter, NotFound, UsageError."""
        with view.snapshot():
            chosen = parsed_filters(view, self._filters, numeric=True)
            if chosen.dangling is False:
                # Docker takes it for -a and empties the store
                raise BadFilter("Invalid filter 'dangling=[false]': use -a to remove all images")
            return deque(prune_candidates(view, chosen, everything=self._everything))


def rehearsed(rehearsal: Rehearsal, choice: Choice) -> PruneResult:
    """What a prune would do."""
    candidates = choice.candidates(rehearsal.index)
    lines, freed = remove_candidates(rehearsal, candidates, keep=choice.keep, is_over=bool)
    removed = RemovedLines(lines)
    return PruneResult(removed, removed.file_bytes, freed, tuple(rehearsal.warnings))


class Prune:
    """A prune on its way."""

    def __init__(self, choice: Choice, turn: Turn, stop: Stop) -> None:
        """`turn` makes a change that frees space; `stop` ends the run after the image in hand."""
        self._choice = choice
        self._turn = turn
        self._stop = stop
        self._removed = RemovedLines()
        self._freed = 0
        self._warnings: list[str] = []
        self._turns = 0

    def run(self, look: Callable[[], View], progress: Progress | None = None) -> PruneResult:
        """Remove what is chosen, skipping what is in use.

        Args:
            look: gives a look at the store as it is then.
            progress: gets a task `Removing` of images.

        Raises:
            CasstoreError: nothing is removed. What goes wrong later is in the result.
        """
        self._turn(_begin)
        candidates = self._choice.candidates(look())
        task, total = None, len(candidates)
        if progress is not None:
            task = progress.task("Removing", total, unit="images")
        error = None
        try:
            while candidates and not self._stop.asked:
                if self._turns:
                    time.sleep(PAUSE)
                candidates = self._take_turn(candidates)
                if task is not None:
                    task.reach(total - len(candidates))
        except Stopped:
            if not self._turns:
                raise
        except CasstoreError as failure:
            if not self._turns:
                raise
            error = failure
        finally:
            self._stop.in_turn = False
        if task is not None and not candidates:
            task.finish()
        return PruneResult(
            self._removed, self._removed.file_bytes, self._freed, tuple(self._warnings),
            self._turns, error, stopped=bool(candidates) and error is None,
        )  # fmt: skip

    def _take_turn(self, candidates: deque[Candidate]) -> deque[Candidate]:
        """Remove the next candidates; what is left of them."""

        def act(change: Change) -> tuple[deque[Candidate], list[Removed], int, list[str]]:
            self._stop.in_turn = True
            left = candidates.copy()  # so that it can be done again from the start
            end = time.monotonic() + SECONDS_A_TURN

            def is_over() -> bool:
                return self._stop.asked or time.monotonic() >= end

            lines, freed = remove_candidates(change, left, keep=self._choice.keep, is_over=is_over)
            return left, lines, freed, change.warnings

        left, lines, freed, warnings = self._turn(act)
        self._turns += 1
        self._removed.extend(lines)
        self._freed += freed
        self._warnings += warnings
        self._stop.in_turn = False
        return left


def _begin(change: Change) -> None:
    """Take in what other tools have written, and let go of what has expired in the trash."""
    change.index.drop_expired_trash(change.now)
    change.commit()
