"""Carrying a plan out in short turns, beside everybody else who uses the store.

The lock is held for one turn at a time: at most IMAGES_A_TURN images, none begun once
SECONDS_A_TURN have passed or BYTES_A_TURN are doomed, then one durable commit. Between two turns
the lock stays free for longer than a waiting writer takes to look again. Since the store may have
changed since the plan was made, each image is held against what it was planned on before it goes:
a new name, lease, child or use, and it stays.
"""

from __future__ import annotations

import time
from collections import deque

from casstore.change.removal import parsed_filters
from casstore.clock import current_time
from casstore.errors import CasstoreError, Conflict, Locked, quote, warn
from casstore.gc.facts import figures, read_facts
from casstore.gc.garbage import PAUSE, collect_garbage
from casstore.gc.stop import Stopped
from casstore.model.keys import GENERATION
from casstore.results.upkeep import Collected, CollectionResult
from casstore.rules.collection import (
    CollectionPlan,
    Spared,
    newest_of_repositories,
    plan_collection,
    vain_patterns,
)
from casstore.rules.removal import plan_deletion
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from casstore.change.commit import Change
    from casstore.gc.garbage import Turn
    from casstore.gc.stop import Stop
    from casstore.model.digest import Digest
    from casstore.model.removal import RemovalPlan
    from casstore.model.snapshot import Snapshot
    from casstore.ports.backend import Backend
    from casstore.ports.edits import Edits
    from casstore.ports.view import View
    from casstore.progress import Progress
    from casstore.rules.collection import Aim, Moment, Step
    from casstore.rules.filters import Filters
    from casstore.rules.policy import Rule

IMAGES_A_TURN = 50
SECONDS_A_TURN = 0.05
BYTES_A_TURN = 1 << 30
# How often a plan is made anew because the store grew under it.
PASSES = 3
CHANGED = "changed"  # why an image stays: it is not what was planned on
DONE, STOPPED, BUSY, OUTDATED = "done", "stopped", "locked", "outdated"
_NOT_YET = "the run ended before it"


class PlanOutdated(CasstoreError):
    """The store is not any more what a saved plan was made for."""


class Access(Value):
    """The store, for a run: how to look at it and how to change it."""

    disk: Backend
    look: Callable[[], View]  # a look at the store as it is then
    turn: Turn  # makes a change that frees space, with the lock


def collect(
    access: Access,
    rules: Sequence[Rule],
    *,
    dry_run: bool,
    saved: CollectionPlan | None,
    empty_trash: bool,
    stop: Stop,
    progress: Progress | None = None,
) -> CollectionResult:
    """Remove what a policy chooses; or carry out a saved plan, exactly as it is.

    Raises:
        PlanOutdated: the saved plan does not hold any more; nothing was removed.
        Stopped: it was asked to stop before it removed any image.
        Damaged, Locked: as for every change, before any image was removed.
    """
    run = _Run(access, rules, saved, stop, progress)
    return run.run(dry_run=dry_run, empty_trash=empty_trash)


class _Run:
    def __init__(
        self,
        access: Access,
        rules: Sequence[Rule],
        saved: CollectionPlan | None,
        stop: Stop,
        progress: Progress | None = None,
    ) -> None:
        self._access = access
        self._progress = progress
        self._rules = rules
        self._saved = saved
        self._stop = stop
        self._removed: list[Collected] = []
        self._changed: dict[Digest, Spared] = {}
        self._warnings: list[str] = []
        self._turns = 0
        self._longest = 0
        self._mark = (0, 0)
        self._generation: int | None = None

    def run(self, *, dry_run: bool, empty_trash: bool = False) -> CollectionResult:
        started = time.monotonic_ns()
        disk = self._access.disk
        garbage = collect_garbage(
            disk,
            self._access.look,
            self._access.turn,
            dry_run=dry_run,
            empty_trash=empty_trash,
            progress=self._progress,
        )
        snapshot, moment = self._read()
        if dry_run:
            snapshot.stored -= garbage.from_trash  # it is still there
        before = figures(disk, snapshot)
        before = before._replace(
            used=before.used + garbage.freed, blobs=before.blobs + garbage.removed_blobs
        )
        if self._saved is None:
            self._warnings += [
                f"protect {quote(pattern)} fits no name in the store"
                for pattern in vain_patterns(self._access.look().all_names, self._rules)
            ]
            warn(self._warnings)  # a change logs its own
            plan = plan_collection(snapshot, self._with_filters(), moment)
        else:
            plan = self._saved
            _check(plan, snapshot, moment.last_used)
        after = figures(disk, snapshot)
        latest, ended = plan, DONE
        if dry_run:
            free = min(after.disk_free + plan.freed, after.disk_total)
            after = after._replace(disk_free=free)
            self._removed = [_as_planned(step) for step in plan.steps]
        else:
            for _ in range(PASSES):
                had = len(self._removed)
                ended = self._carry_out(latest)
                snapshot, moment = self._read()
                after = figures(disk, snapshot)
                if self._saved is not None:
                    break
                latest = plan_collection(snapshot, self._with_filters(), moment)
                if ended != DONE or not latest.steps or len(self._removed) == had:
                    break
            disk.uses.compact(snapshot.facts, moment.now)
        return CollectionResult(
            policy=tuple(rule.settings() for rule in self._rules),
            plan=plan,
            before=before,
            after=after,
            freed=garbage.freed + sum(one.freed for one in self._removed),
            garbage=garbage,
            removed=tuple(self._removed),
            kept=plan.kept if dry_run else self._kept(latest),
            aims=_judged(plan, latest, after.used),
            ended=ended,
            duration=time.monotonic_ns() - started,
            turns=self._turns,
            longest_turn=self._longest,
            warnings=tuple(self._warnings),
        )

    def _read(self) -> tuple[Snapshot, Moment]:
        # Both are noted before the facts are read: what happens meanwhile counts as a change.
        self._mark = self._access.disk.uses.mark()
        self._generation = self._access.look().meta(GENERATION)
        room: dict[str, int] = {}
        for _, filters in self._with_filters():
            for key, length in filters.label_room.items():
                room[key] = max(room.get(key, 0), length)
        return read_facts(self._access.disk, self._access.look(), room)

    def _with_filters(self) -> list[tuple[Rule, Filters]]:
        view = self._access.look()
        return [(rule, _filters(view, rule)) for rule in self._rules]

    def _kept(self, latest: CollectionPlan) -> tuple[Spared, ...]:
        """Why what is left stays, by the last look; what should have gone and did not among it."""
        gone = {image for one in self._removed for image in one.deleted}
        left = [one for one in latest.kept if one.image not in gone]
        left += [
            self._changed.get(step.image, Spared(step.image, step.names, CHANGED, _NOT_YET))
            for step in latest.steps
            if step.image not in gone
        ]
        return tuple(left)

    def _carry_out(self, plan: CollectionPlan) -> str:
        pending = deque(plan.steps)
        task = None
        if self._progress is not None:
            task = self._progress.task("Removing", len(pending), unit="images")
        enough: dict[int, int] = {}  # by rule: what it may leave in the store
        for aim in plan.aims:
            enough[aim.rule] = min(enough.get(aim.rule, aim.goal.most), aim.goal.most)
        try:
            while pending and not self._stop.asked:
                left = tuple(pending)
                pending, outdated = self._access.turn(
                    lambda change, left=left: self._turn(change, deque(left), enough)  # type: ignore[misc]
                )
                self._stop.in_turn = False
                if task is not None:
                    task.reach(task.total - len(pending) if task.total else 0)
                if outdated:
                    return OUTDATED
                if pending:
                    time.sleep(PAUSE)
            if task is not None and not pending:
                task.finish()
        except Locked:
            return BUSY
        except Stopped:
            return STOPPED
        finally:
            self._stop.in_turn = False
        return STOPPED if pending else DONE

    def _turn(
        self, change: Change, pending: deque[Step], enough: Mapping[int, int]
    ) -> tuple[deque[Step], bool]:
        """Remove the next images in one commit.

        Returns:
            What is left of `pending`, and whether a saved plan ceased to hold.
        """
        self._stop.in_turn = True
        since = time.monotonic_ns()
        index = change.index
        alone = index.meta(GENERATION) == self._generation
        look = _SecondLook(
            index,
            frozenset(self._access.disk.uses.read(current_time(), since=self._mark)),
            {n: r.keep for n, r in enumerate(self._rules, 1) if r.keep is not None and not alone},
        )
        stored = index.stored_bytes()
        deadline = time.monotonic() + SECONDS_A_TURN
        done: list[Collected] = []
        freed, outdated = 0, False
        while pending and not (done and self._stop.asked):
            if len(done) >= IMAGES_A_TURN or freed >= BYTES_A_TURN or time.monotonic() > deadline:
                break
            step = pending.popleft()
            if self._saved is None and stored - freed <= enough.get(step.rule, -1):
                continue  # somebody else made room
            removal = look.removal(step)
            if isinstance(removal, str) or (self._saved and not _same(removal, step.removal)):
                why = removal if isinstance(removal, str) else "it would free something else"
                self._changed[step.image] = Spared(step.image, step.names, CHANGED, why)
                if self._saved is not None:
                    outdated = True
                    break
                continue
            index.apply(removal)
            freed += removal.freed
            done.append(Collected(step, removal.freed, removal.delete))
        change.commit()
        self._generation = index.meta(GENERATION) if alone else None
        self._turns += 1
        self._removed += done
        self._warnings += change.warnings
        self._longest = max(self._longest, time.monotonic_ns() - since)
        return pending, outdated


class _SecondLook:
    """Holds the steps of a plan against the store as it is in a turn."""

    def __init__(self, index: Edits, used: frozenset[Digest], keep: Mapping[int, int]) -> None:
        """`used`: images used since the plan; `keep`: by rule, where the newest may be others."""
        self._index = index
        self._used = used
        self._newest: dict[int, set[Digest]] = {}
        if keep:
            names, images = index.all_references(), index.all_images({})
            for rule, count in keep.items():
                found = newest_of_repositories(images, names, count)
                self._newest[rule] = set().union(*found.values())

    def removal(self, step: Step) -> RemovalPlan | str:
        """The removal of a step's image as it is now, or why the image stays."""
        index = self._index
        if not index.has_image(step.image):
            return "it is gone"
        if tuple(one.name for one in index.references_of(step.image)) != step.names:
            return "its names have changed"
        if step.image in self._used:
            return "it was used meanwhile"
        if step.image in self._newest.get(step.rule, ()):
            return "it is among the newest of its repository now"
        try:
            return plan_deletion(index, step.image, spare=_all_but(step))
        except Conflict as conflict:
            return str(conflict)


def _check(plan: CollectionPlan, snapshot: Snapshot, last_used: Mapping[Digest, int]) -> None:
    """Carry a saved plan out in memory. Raises PlanOutdated where it does not hold."""
    for number, step in enumerate(plan.steps, 1):
        if not snapshot.has_image(step.image):
            why = "is gone"
        elif snapshot.names_of(step.image) != step.names:
            why = "has other names"
        elif last_used[step.image] > step.last_used:
            why = "was used since"
        else:
            try:
                removal = plan_deletion(snapshot, step.image, spare=_all_but(step))
            except Conflict as conflict:
                why = f"cannot go: {conflict}"
            else:
                if _same(removal, step.removal):
                    snapshot.apply(removal)
                    continue
                why = "would free something else"
        raise PlanOutdated(
            f"the plan does not hold any more: image {step.image.short} of step {number} {why}"
        )


def _all_but(step: Step) -> Callable[[Digest], bool]:
    """What to spare, so that no other ancestors go along than those planned."""
    along = step.removal.delete
    return lambda image: image not in along


def _same(one: RemovalPlan, other: RemovalPlan) -> bool:
    """Whether two removals do the same; in which order blobs go says nothing."""
    return (one.untag, one.delete, set(one.free), one.freed) == (
        other.untag, other.delete, set(other.free), other.freed,
    )  # fmt: skip


def _as_planned(step: Step) -> Collected:
    return Collected(step, step.freed, step.removal.delete)


def _judged(plan: CollectionPlan, latest: CollectionPlan, used: int) -> tuple[Aim, ...]:
    """The goals, and whether they are met: free space as the disk says, the rest as planned."""
    now = {aim.rule: aim for aim in latest.aims if aim.goal.setting == "min-free-space"}
    aims = [now.get(a.rule, a) if a.goal.setting == "min-free-space" else a for a in plan.aims]
    return tuple(aim._replace(reached=used <= aim.goal.most) for aim in aims)


def _filters(view: View, rule: Rule) -> Filters:
    until = () if rule.until is None else (f"until={rule.until}",)
    return parsed_filters(view, (*rule.filters, *until), patterns=rule.only, numeric=True)
