"""What a policy asks of a store: settings as people write them, checked, and what they amount to.

A rule has conditions and goals. Its conditions say which images may go: all of them must hold. Its
goals say how far: images go until every goal is met; a rule without goals removes all that may go.
A policy is one rule or several, each applied to what the last one left.

The names are those of Docker's builder (`max-used-space`, `min-free-space`, `reserved-space`) and
of the kubelet (high and low water, a minimum age); as there, conditions never yield to a goal.
"""

from __future__ import annotations

from casstore.errors import CasstoreError, quote
from casstore.model.amount import (
    WHOLE,
    Space,
    parse_duration,
    parse_share,
    parse_space,
    share_text,
)
from casstore.model.storage import Disk
from casstore.rules.filters import BadFilter, check_pattern, parse_filters, parse_moment
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    T = TypeVar("T")

# As the kubelet's imageMinimumGCAge: what has just arrived is about to be used.
MINIMUM_AGE = "2m"
MAX_KEEP = 1_000_000
MAX_RULES = 100

SETTINGS = (
    "max-used-space", "min-free-space", "reserved-space", "high-water", "low-water", "unused-for",
    "until", "keep", "protect", "only", "filter", "min-age",
)  # fmt: skip
GOALS = ("max-used-space", "min-free-space", "high-water")
# Without one of these a rule would mean every image there is.
_NEEDED = (*GOALS, "unused-for", "until", "keep")


class BadSetting(CasstoreError):
    """A setting that does not exist, or with a value that it does not take."""

    exit_code = 2

    def __init__(self, setting: str, reason: str) -> None:
        super().__init__(f"{quote(setting)[1:-1]}: {reason}" if setting else reason)
        self.setting = setting
        self.reason = reason


class Goal(Value):
    """One goal of a rule, in bytes of this store."""

    setting: str
    wanted: str  # as the policy says it
    most: int  # bytes of blobs that the store may hold; below 0 where that is not enough


class Rule(Value):
    """One rule, with its settings parsed."""

    max_used: Space | None
    min_free: Space | None
    reserved: Space | None
    high: int | None  # shares of the file system in use, in hundredths of a percent
    low: int | None
    unused_for: int | None  # ns
    min_age: int  # ns
    until: str | None  # as filters take it
    keep: int | None
    protect: tuple[str, ...]
    only: tuple[str, ...]
    filters: tuple[str, ...]  # `name=value`
    given: tuple[tuple[str, object], ...]  # the settings as they came, with the defaults

    def settings(self) -> dict[str, object]:
        """The rule as a policy file would have it."""
        return dict(self.given)

    def goals(self, stored: int, disk: Disk) -> list[Goal]:
        """What the goals amount to for a store of `stored` bytes; met ones too.

        `most` is never below what `reserved-space` keeps for the store.
        """
        goals = []
        if self.max_used is not None:
            goals.append(Goal("max-used-space", str(self.max_used), self.max_used.of(disk.total)))
        if self.min_free is not None:
            lacking = self.min_free.of(disk.total) - disk.free
            goals.append(Goal("min-free-space", str(self.min_free), stored - max(lacking, 0)))
        if self.high is not None and self.low is not None:
            used = disk.total - disk.free
            over = used > disk.total * self.high // WHOLE
            lacking = used - disk.total * self.low // WHOLE if over else 0
            wanted = f"{share_text(self.high)} to {share_text(self.low)}"
            goals.append(Goal("high-water", wanted, stored - max(lacking, 0)))
        return goals

    def floor(self, disk: Disk) -> int:
        """Bytes of blobs that the store may always hold."""
        return 0 if self.reserved is None else self.reserved.of(disk.total)


def parse_rule(settings: Mapping[str, object], *, now: int) -> Rule:
    """A rule from settings by name; values as in a policy file (texts, integers, lists of texts).

    Raises:
        BadSetting: an unknown setting, a wrong value, or settings that do not go together.
    """
    for name in settings:
        if name not in SETTINGS:
            raise BadSetting(name, f"there is no setting {quote(name)}")
    keep = settings.get("keep")
    if isinstance(keep, str) and keep.isascii() and keep.isdigit() and len(keep) <= 9:
        keep = int(keep)
    if keep is not None and (not isinstance(keep, int) or isinstance(keep, bool)
                             or not 0 <= keep <= MAX_KEEP):  # fmt: skip
        raise BadSetting("keep", f"a number of images is needed, not {quote(keep)}")
    until = _text(settings, "until")
    if until is not None:
        try:
            parse_moment(until, now)
        except BadFilter as error:
            raise BadSetting("until", str(error)) from None
    space, share, length = "a size as 50GB or 10%", "a share as 85%", "a duration as 7d or 1h30m"
    if settings.get("min-age") is None:
        settings = {**settings, "min-age": MINIMUM_AGE}
    high = _value(settings, "high-water", parse_share, share)
    low = _value(settings, "low-water", parse_share, share)
    rule = Rule(
        max_used=_value(settings, "max-used-space", parse_space, space),
        min_free=_value(settings, "min-free-space", parse_space, space),
        reserved=_value(settings, "reserved-space", parse_space, space),
        high=high,
        low=low if low is not None else high,
        unused_for=_value(settings, "unused-for", parse_duration, length),
        min_age=_value(settings, "min-age", parse_duration, length) or 0,
        until=until,
        keep=keep,
        protect=_patterns(settings, "protect"),
        only=_patterns(settings, "only"),
        filters=_filters(settings, now),
        given=tuple((name, settings[name]) for name in SETTINGS if settings.get(name) is not None),
    )
    _check_together(rule, settings)
    return rule


def _check_together(rule: Rule, settings: Mapping[str, object]) -> None:
    if rule.high is None and "low-water" in settings:
        raise BadSetting("low-water", "it needs high-water, which says when to start")
    if rule.high is not None and rule.low is not None and rule.low > rule.high:
        raise BadSetting("low-water", "it is above high-water")
    if (
        rule.max_used is not None
        and rule.reserved is not None
        and (rule.max_used.share is None) == (rule.reserved.share is None)
        and rule.max_used < rule.reserved
    ):
        raise BadSetting("reserved-space", "it is more than max-used-space")
    narrow = any(text.partition("=")[0].strip().lower() == "dangling" for text in rule.filters)
    if not narrow and all(settings.get(name) is None for name in _NEEDED):
        raise BadSetting("", f"a rule needs one of {', '.join(_NEEDED)}")


def _value(
    settings: Mapping[str, object], name: str, parse: Callable[[str], T | None], needed: str
) -> T | None:
    text = settings.get(name)
    if text is None:
        return None
    value = parse(text) if isinstance(text, str) else None
    if value is None:
        raise BadSetting(name, f"{needed} is needed, not {quote(text)}")
    return value


def _text(settings: Mapping[str, object], name: str) -> str | None:
    text = settings.get(name)
    if text is not None and not isinstance(text, str):
        raise BadSetting(name, f"a text is needed, not {quote(text)}")
    return text


def _texts(settings: Mapping[str, object], name: str) -> tuple[str, ...]:
    given = settings.get(name)
    if isinstance(given, str):
        given = [given]
    if given is None:
        return ()
    if not isinstance(given, list | tuple) or not all(isinstance(one, str) for one in given):
        raise BadSetting(name, "a text or a list of texts is needed")
    return tuple(given)


def _patterns(settings: Mapping[str, object], name: str) -> tuple[str, ...]:
    patterns = _texts(settings, name)
    for pattern in patterns:
        try:
            check_pattern(pattern)
        except BadFilter as error:
            raise BadSetting(name, f"{quote(pattern)}: {error}") from None
    return patterns


def _filters(settings: Mapping[str, object], now: int) -> tuple[str, ...]:
    filters = _texts(settings, "filter")
    try:
        parse_filters(filters, now=now, created_of=lambda _: 0, numeric_booleans=True)
    except CasstoreError as error:
        raise BadSetting("filter", str(error)) from None
    return filters


def shown_rule(rule: Rule) -> str:
    """The rule in one line, as a policy file's settings."""
    return ", ".join(f"{name} {_shown(value)}" for name, value in rule.settings().items())


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
