"""The one filter engine of images, prune, rmi --glob and save: `name=value` filters on images.

Meanings are Docker's: several values of `label` must all hold, several of `reference` any; `*`
and `?` stop at a slash. `**` crosses slashes (ours).
"""

from __future__ import annotations

from casstore.errors import CasstoreError, UsageError, quote
from casstore.model.amount import parse_duration
from casstore.model.reference import DEFAULT_DOMAIN
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from casstore.model.kept import ImageFacts
    from casstore.model.reference import Reference

_NAMES = frozenset(("dangling", "label", "label!", "before", "since", "until", "reference"))
_COMPILED: dict[str, tuple[str, list[tuple[str, str, bool]]]] = {}  # as many as a person gives


class BadFilter(CasstoreError):
    """A filter that does not exist, or with a value that it does not take."""


def name_and_value(text: str, known: Container[str]) -> tuple[str, str]:
    """The two sides of a `name=value` filter, without blanks; the name in lower case.

    Raises:
        UsageError: there is no `=`.
        BadFilter: the name is not known.
    """
    name, equals, value = text.partition("=")
    name, value = name.strip().lower(), value.strip()
    if not equals:
        raise UsageError(
            f'invalid argument "{text}" for "-f, --filter" flag: bad format of filter'
            " (expected name=value)"
        )
    if name not in known:
        raise BadFilter(f"Invalid filter '{name}'")
    return name, value


class Filters(Value):
    """Parsed filters; `accepts` decides about one image."""

    dangling: bool | None
    labels: tuple[tuple[str, str | None], ...]  # all must hold; None: any value
    lacking: tuple[tuple[str, str | None], ...]  # none may hold
    before: int | None  # strictly older than (ns)
    since: int | None  # strictly newer than (ns)
    until: int | None  # created at or before (ns)
    patterns: tuple[str, ...]  # any; empty: no restriction

    @property
    def everything(self) -> bool:
        """Whether `accepts` says yes to every image."""
        dates = (self.before, self.since, self.until)
        return not self.labels and not self.lacking and dates == (None, None, None)

    @property
    def label_room(self) -> dict[str, int]:
        """What `accepts` needs of the labels: of each value one character more than it must have.

        So a longer value is still another one.
        """
        room: dict[str, int] = {}
        for key, value in (*self.labels, *self.lacking):
            room[key] = max(room.get(key, 1), len(value or "") + 1)
        return room

    def accepts(self, facts: ImageFacts) -> bool:
        """Whether labels and dates of an image pass (names and dangling are the caller's)."""
        if self.labels or self.lacking:
            labels = dict(facts.labels)
            if not all(_has(labels, key, value) for key, value in self.labels):
                return False
            if any(_has(labels, key, value) for key, value in self.lacking):
                return False
        created = facts.created if facts.created is not None else -(1 << 63)
        return (
            (self.before is None or created < self.before)
            and (self.since is None or created > self.since)
            and (self.until is None or created <= self.until)
        )

    def names(self, names: Sequence[Reference]) -> tuple[Reference, ...]:
        """Those names that the reference patterns let through."""
        if not self.patterns:
            return tuple(names)
        return tuple(n for n in names if any(fits(p, n) for p in self.patterns))


def _has(labels: dict[str, str], key: str, value: str | None) -> bool:
    return key in labels and (value is None or labels[key] == value)


def parse_filters(
    filters: Sequence[str],
    *,
    patterns: Sequence[str] = (),
    now: int,
    created_of: Callable[[str], int],
    numeric_booleans: bool = False,
) -> Filters:
    """Parse `name=value` filters.

    Args:
        filters: as given with -f/--filter.
        patterns: further reference patterns (the REPO[:TAG] argument of images).
        now: the present in ns since 1970.
        created_of: the creation time of an IMAGE argument, for before= and since=.
        numeric_booleans: prune takes dangling=1 and 0, images does not.

    Raises:
        UsageError: a filter without `=`.
        BadFilter: an unknown filter or a bad value.
        NotFound, InvalidReference: the image of before= or since= is not there.
    """
    dangling: set[bool] = set()
    labels: list[tuple[str, str | None]] = []
    lacking: list[tuple[str, str | None]] = []
    globs = list(patterns)
    before = since = until = None
    for text in filters:
        name, value = name_and_value(text, _NAMES)
        if name == "dangling":
            dangling.add(_boolean(value, numeric=numeric_booleans))
        elif name in ("label", "label!"):
            key, has_value, wanted = value.partition("=")
            (labels if name == "label" else lacking).append((key, wanted if has_value else None))
        elif name == "before":
            moment = created_of(value)
            before = moment if before is None else min(before, moment)
        elif name == "since":
            moment = created_of(value)
            since = moment if since is None else max(since, moment)
        elif name == "until":
            if until is not None:
                raise BadFilter("more than one until filter specified")
            until = parse_moment(value, now)
        else:
            globs.append(value)
    for glob in globs:
        check_pattern(glob)
    return Filters(
        (True in dangling) if dangling else None, tuple(labels), tuple(lacking), before, since,
        until, tuple(globs),
    )  # fmt: skip


def _boolean(value: str, *, numeric: bool) -> bool:
    if value == "true" or (numeric and value == "1"):
        return True
    if value == "false" or (numeric and value == "0"):
        return False
    raise BadFilter(f"Invalid filter 'dangling=[{value}]'")


def parse_moment(text: str, now: int) -> int:
    """A moment in ns: `10m` or `1h30m` ago, a date, a date with time, or Unix seconds.

    Raises:
        BadFilter: none of these.
    """
    ago = parse_duration(text)
    if ago is not None:
        return now - ago
    whole, dot, fraction = text.partition(".")
    if text.isascii() and whole.removeprefix("-").isdigit() and (not dot or fraction.isdigit()):
        return int(whole) * 10**9 + int(fraction[:9].ljust(9, "0") if dot else 0)
    moment = _date(text)
    if moment is None:
        raise BadFilter(f"failed to parse value as time or duration: {quote(text)}")
    return moment


def _date(text: str) -> int | None:
    from datetime import datetime

    for form in ("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H"):
        try:
            return int(datetime.strptime(text, form).astimezone().timestamp()) * 10**9
        except ValueError:
            continue
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int(parsed.timestamp() * 10**6) * 1000 if parsed.tzinfo is not None else None


def fits(pattern: str, name: Reference) -> bool:
    """Whether a pattern fits a reference: its familiar form, or in full where it says so.

    A pattern that begins with `docker.io/` is meant in full. No other one is, so that `*/*/*` does
    not begin to choose what is called `shop/app`.
    """
    return matches(pattern, name.familiar) or (
        pattern.startswith(DEFAULT_DOMAIN + "/") and matches(pattern, name)
    )


def protects(pattern: str, name: Reference) -> bool:
    """The same for a pattern that protects: without a slash it looks at a name's last part too.

    `*:stable` is meant to hold base/os:stable, and what stays by mistake can still be removed.
    """
    return fits(pattern, name) or matches(pattern, name.familiar.rpartition("/")[2])


def matches(pattern: str, familiar: str) -> bool:
    """Whether a pattern fits a familiar reference, or its name without the tag."""
    if not familiar.startswith(_compiled(pattern)[0]):
        return False  # nor does the name without the tag, which is its beginning
    name, _, _ = familiar.partition("@")
    head, slash, tail = name.rpartition("/")
    bare = head + slash + tail.partition(":")[0]
    return glob(pattern, familiar) or glob(pattern, bare)


def check_pattern(pattern: str) -> None:
    r"""Raises BadFilter for a pattern that can never be right (`[` without end, a lone `\`)."""
    _tokens(pattern)


def glob(pattern: str, text: str) -> bool:
    """Go's path.Match on the whole text, and `**` for anything, slashes included."""
    return _match(_compiled(pattern)[1], 0, text, 0, set())


def _compiled(pattern: str) -> tuple[str, list[tuple[str, str, bool]]]:
    """The plain characters that a pattern starts with, and its parts; kept, for many names."""
    known = _COMPILED.get(pattern)
    if known is None:
        tokens = _tokens(pattern)
        plain = ""
        for kind, what, _ in tokens:
            if kind:
                break
            plain += what
        known = _COMPILED[pattern] = plain, tokens
    return known


def _match(
    tokens: list[tuple[str, str, bool]], t: int, text: str, at: int, failed: set[tuple[int, int]]
) -> bool:
    # Depth is bounded by the number of stars; `failed` keeps it polynomial.
    while t < len(tokens):
        kind, what, negated = tokens[t]
        if kind in ("*", "**"):
            if (t, at) in failed:
                return False
            end = at
            while True:
                if _match(tokens, t + 1, text, end, failed):
                    return True
                if end == len(text) or (kind == "*" and text[end] == "/"):
                    failed.add((t, at))
                    return False
                end += 1
        if at == len(text):
            return False
        c = text[at]
        if kind == "?":
            fits = c != "/"
        elif kind == "[":
            fits = (
                negated != any(what[i] <= c <= what[i + 1] for i in range(0, len(what), 2))
                and c != "/"
            )
        else:
            fits = c == what
        if not fits:
            return False
        t, at = t + 1, at + 1
    return at == len(text)


def _tokens(pattern: str) -> list[tuple[str, str, bool]]:
    tokens: list[tuple[str, str, bool]] = []
    at = 0
    while at < len(pattern):
        c = pattern[at]
        at += 1
        if c == "*":
            if pattern[at : at + 1] == "*":
                at += 1
                tokens.append(("**", "", False))
            else:
                tokens.append(("*", "", False))
        elif c == "?":
            tokens.append(("?", "", False))
        elif c == "[":
            ranges, negated, at = _class(pattern, at)
            tokens.append(("[", ranges, negated))
        else:
            if c == "\\":
                c, at = _plain(pattern, at)
            tokens.append(("", c, False))
    return tokens


def _class(pattern: str, at: int) -> tuple[str, bool, int]:
    negated = pattern[at : at + 1] == "^"
    at += negated
    ranges = ""
    while True:
        if pattern[at : at + 1] == "]" and ranges:
            return ranges, negated, at + 1
        low, at = _member(pattern, at)
        high = low
        if pattern[at : at + 1] == "-":
            high, at = _member(pattern, at + 1)
        ranges += low + high


def _member(pattern: str, at: int) -> tuple[str, int]:
    if pattern[at : at + 1] == "\\":
        return _plain(pattern, at + 1)
    if at >= len(pattern) or pattern[at] in "-]":
        raise BadFilter("syntax error in pattern")
    return pattern[at], at + 1


def _plain(pattern: str, at: int) -> tuple[str, int]:
    if at >= len(pattern):
        raise BadFilter("syntax error in pattern")
    return pattern[at], at + 1
