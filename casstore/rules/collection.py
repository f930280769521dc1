"""gc with a policy: which images go, in which order, why, and what each frees in its turn.

Pure: facts in, a plan out. Dangling images come first, then those that were not used for longest;
an image with children only after the last of them. Each removal is planned by `removal.py` on what
the ones before it left, so a shared layer counts once, with its last holder.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from casstore.model.amount import duration_text, size_text
from casstore.model.reference import familiar_name, subject_of
from casstore.rules.dangling import is_dangling_in
from casstore.rules.filters import protects
from casstore.rules.removal import names_of_its_own, plan_deletion
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from casstore.model.digest import Digest
    from casstore.model.kept import ImageFacts
    from casstore.model.reference import Reference
    from casstore.model.removal import RemovalPlan
    from casstore.model.snapshot import Snapshot
    from casstore.model.storage import Disk
    from casstore.rules.filters import Filters
    from casstore.rules.policy import Goal, Rule

# Why an image stays.
PINNED, LEASED, PROTECTED, UNCHOSEN = "pinned", "leased", "protected", "not-chosen"
FRESH, USED, YOUNG, NEWEST = "min-age", "unused-for", "until", "keep"
CHILDREN, SUBJECT = "children", "subject"
RESERVED, ENOUGH = "reserved-space", "goal-reached"
_NO_TIME = -(1 << 63)


class Moment(Value):
    """What a plan depends on besides the store and the policy."""

    now: int  # ns
    disk: Disk
    last_used: Mapping[Digest, int]  # ns, by image; arriving is a use


class Step(Value):
    """One image that goes, with the ancestors that go along."""

    image: Digest
    names: tuple[Reference, ...]
    rule: int  # from 1
    why: str
    last_used: int  # ns
    removal: RemovalPlan  # as it is when the steps before it are done

    @property
    def freed(self) -> int:
        """Bytes of blobs as stored."""
        return self.removal.freed

    @property
    def last_used_at(self) -> datetime:
        """`last_used` as a datetime in UTC."""
        from casstore.model.datetimes import datetime_of

        return datetime_of(self.last_used)


class Spared(Value):
    """An image that stays."""

    image: Digest
    names: tuple[Reference, ...]
    code: str
    why: str


class Aim(Value):
    """One goal of the policy and what becomes of it."""

    rule: int  # from 1
    goal: Goal
    reached: bool


class CollectionPlan(Value):
    """All that a policy removes, in order, and why the rest stays."""

    steps: tuple[Step, ...]
    kept: tuple[Spared, ...]
    aims: tuple[Aim, ...]
    stored: int  # bytes of blobs before the first step
    left: int  # and after the last

    @property
    def freed(self) -> int:
        """Bytes of blobs as stored."""
        return self.stored - self.left


def vain_patterns(names: Callable[[], Iterable[Reference]], rules: Iterable[Rule]) -> list[str]:
    """The `protect` patterns of a policy that fit no name at all: perhaps written in error."""
    patterns = dict.fromkeys(pattern for rule in rules for pattern in rule.protect)
    if patterns:
        there = list(names())
        return [p for p in patterns if not any(protects(p, name) for name in there)]
    return []


def plan_collection(
    snapshot: Snapshot, rules: Sequence[tuple[Rule, Filters]], moment: Moment
) -> CollectionPlan:
    """Plan what a policy removes.

    Args:
        snapshot: the store; it is used up, and shows afterwards what the plan would leave.
        rules: each with its filters, their images looked up; `only` is in their patterns.
        moment: clock, disk and last uses.
    """
    before = snapshot.stored
    steps: list[Step] = []
    aims: list[Aim] = []
    kept: dict[Digest, list[tuple[str, str]]] = {}
    for number, (rule, filters) in enumerate(rules, 1):
        free = moment.disk.free + before - snapshot.stored
        disk = moment.disk._replace(free=min(free, moment.disk.total))
        one = _Pass(snapshot, number=number, rule=rule, filters=filters, moment=moment, disk=disk)
        one.run()
        steps += one.steps
        for image, reason in one.kept.items():
            kept.setdefault(image, []).append(reason)
        aims += [Aim(number, goal, snapshot.stored <= goal.most) for goal in one.goals]
    return CollectionPlan(
        tuple(steps),
        tuple(
            Spared(image, snapshot.names_of(image), kept[image][-1][0],
                 "; ".join(dict.fromkeys(text for _, text in kept[image])))
            for image in snapshot.facts
        ),
        tuple(aims),
        before,
        snapshot.stored,
    )  # fmt: skip


def newest_of_repositories(
    images: Iterable[ImageFacts], names: Mapping[Digest, Sequence[Reference]], count: int
) -> dict[str, set[Digest]]:
    """By repository, its `count` newest images; neither tags nor signatures are counted."""
    members: dict[str, dict[Digest, tuple[int, Digest]]] = {}
    for facts in images:
        created = facts.created if facts.created is not None else _NO_TIME
        for name in names.get(facts.id, ()):
            if subject_of(name) is not None:
                continue  # a signature, say: no version of what the repository holds
            members.setdefault(name.repository, {})[facts.id] = (-created, facts.id)
    return {
        repository: set(sorted(ages, key=ages.__getitem__)[:count])
        for repository, ages in members.items()
    }


class _Pass:
    """One rule, applied to what the rules before it left."""

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        number: int,
        rule: Rule,
        filters: Filters,
        moment: Moment,
        disk: Disk,
    ) -> None:
        self._snapshot = snapshot
        self._number = number
        self._rule = rule
        self._filters = filters
        self._now = moment.now
        self._last_used = moment.last_used
        self._floor = rule.floor(disk)
        self.goals = rule.goals(snapshot.stored, disk)
        self._newest: Mapping[str, set[Digest]] = {}
        if rule.keep is not None:
            names = {image: snapshot.names_of(image) for image in snapshot.facts}
            self._newest = newest_of_repositories(snapshot.facts.values(), names, rule.keep)
        self.steps: list[Step] = []
        self.kept: dict[Digest, tuple[str, str]] = {}
        self._free_to_go: dict[Digest, None] = {}

    def run(self) -> None:
        for image in self._snapshot.facts:
            reason = self._reason_to_stay(image)
            if reason is None:
                self._free_to_go[image] = None
            else:
                self.kept[image] = reason
        queue = [self._key(i) for i in self._free_to_go if not self._has_children(i)]
        heapify(queue)
        aims = self._unmet()
        while queue and (aims or not self.goals):
            image = heappop(queue)[-1]
            for parent in self._take(image, aims):
                if parent in self._free_to_go:
                    heappush(queue, self._key(parent))
            aims = self._unmet()
        self._account_for_the_rest()

    def _take(self, image: Digest, aims: Sequence[Goal]) -> list[Digest]:
        """Plan one removal; returns the parents that it leaves without a child."""
        snapshot = self._snapshot
        removal = plan_deletion(snapshot, image, spare=self._is_spared)
        if snapshot.stored - removal.freed < self._floor:
            self.kept[image] = (
                RESERVED, f"without it the store would fall below {size_text(self._floor)}",
            )  # fmt: skip
            return []
        names = snapshot.names_of(image)
        why = self._why(image, names, aims)
        if len(removal.delete) > 1:
            why += f"; {len(removal.delete) - 1} that only it needed go along"
        used = self._last_used[image]
        self.steps.append(Step(image, names, self._number, why, used, removal))
        above = dict.fromkeys(map(snapshot.parent_of, removal.delete))
        snapshot.apply(removal)
        return [
            parent
            for parent in above
            if parent is not None and snapshot.has_image(parent) and not self._has_children(parent)
        ]

    def _unmet(self) -> list[Goal]:
        # What a goal asks below the reserved space is not asked of the images.
        stored = self._snapshot.stored
        return [g for g in self.goals if stored > max(g.most, self._floor)]

    def _account_for_the_rest(self) -> None:
        enough = self.goals and not self._unmet()
        for image in self._free_to_go:
            if image in self.kept or not self._snapshot.has_image(image):
                continue
            child = next(iter(self._snapshot.children_of(image)), None)
            if enough or child is None:
                self.kept[image] = (ENOUGH, "it need not go: the goals are reached")
            else:
                self.kept[image] = (CHILDREN, f"its child {child.short} stays")

    # What decides about one image

    def _reason_to_stay(self, image: Digest) -> tuple[str, str] | None:
        """Why an image may not go whatever becomes of the others; None if it may."""
        rule, snapshot = self._rule, self._snapshot
        if snapshot.is_pinned(image):
            return PINNED, "it is pinned"
        for lease in snapshot.leases_on(image):
            return LEASED, f"it is held by {'hard' if lease.hard else 'soft'} lease {lease.name}"
        names = snapshot.names_of(image)
        if snapshot.subjects_of(image) and not names_of_its_own(names):
            return SUBJECT, "it goes with what it refers to"
        for pattern in rule.protect:
            for name in names:
                if protects(pattern, name):
                    return PROTECTED, f"{name.familiar} is protected by {pattern}"
        reason = self._reason_of_filters(image, names)
        if reason is not None:
            return reason
        idle = max(self._now - self._last_used[image], 0)
        if idle < rule.min_age:
            return FRESH, (
                f"used {duration_text(idle)} ago, less than the minimum age of"
                f" {duration_text(rule.min_age)}"
            )
        if rule.unused_for is not None and idle < rule.unused_for:
            return USED, f"used {duration_text(idle)} ago"
        for name in names:
            if image in self._newest.get(name.repository, ()):
                return NEWEST, f"among the newest {rule.keep} of {familiar_name(name.repository)}"
        return None

    def _reason_of_filters(
        self, image: Digest, names: Sequence[Reference]
    ) -> tuple[str, str] | None:
        filters = self._filters
        if filters.patterns:
            if not names:
                return UNCHOSEN, "it has no name to choose it by"
            outside = [name for name in names if name not in filters.names(names)]
            if outside:
                return UNCHOSEN, f"{outside[0].familiar} is not chosen"
        if filters.dangling is not None:
            dangling = is_dangling_in(self._snapshot, image)
            if filters.dangling is not dangling:
                return UNCHOSEN, "it is dangling" if dangling else "it is not dangling"
        facts = self._snapshot.facts_of(image)
        if filters.accepts(facts):
            return None
        if filters._replace(until=None).accepts(facts):
            return YOUNG, "it was built later"
        return PROTECTED, "the filters spare it"

    def _is_spared(self, ancestor: Digest) -> bool:
        """Whether a nameless ancestor stays when its last child goes.

        That it has no name to choose it by does not spare it: it goes where its child goes.
        """
        reason = self.kept.get(ancestor)
        return reason is not None and reason[0] != UNCHOSEN

    def _key(self, image: Digest) -> tuple[bool, int, int, Digest]:
        created = self._snapshot.facts_of(image).created
        return (
            bool(self._snapshot.names_of(image)),
            self._last_used[image],
            created if created is not None else _NO_TIME,
            image,
        )

    def _has_children(self, image: Digest) -> bool:
        return next(iter(self._snapshot.children_of(image)), None) is not None

    def _why(self, image: Digest, names: Sequence[Reference], aims: Sequence[Goal]) -> str:
        idle = max(self._now - self._last_used[image], 0)
        parts = ["dangling"] if is_dangling_in(self._snapshot, image) else []
        parts.append(f"last used {duration_text(idle)} ago")
        if self._rule.keep is not None and names:
            parts.append(f"not among the newest {self._rule.keep}")
        parts += [f"for {goal.setting} {goal.wanted}" for goal in aims[:1]]
        return ", ".join(parts)
