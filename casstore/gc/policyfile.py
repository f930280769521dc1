"""Policies as people write them: a TOML file, a mapping from Python, options of a command line.

Every mistake of a file is reported, each with its line. A file has the settings of one rule, or
`[[rule]]` tables with the settings of several; what stands before the tables holds for each of
them unless it says otherwise.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping

from casstore.clock import current_time
from casstore.errors import UsageError, quote
from casstore.model.arguments import PATHS, path_of, several
from casstore.rules.policy import GOALS, MAX_RULES, BadSetting, Rule, parse_rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from casstore.model.parameters import Several, StrPath

MAX_FILE = 64 << 10
# The time that tomllib takes for a key grows with the square of its dots.
MAX_LINE = 8 << 10
# Bytes that are parsed again to tell the line of a mistake; after that it is the rule's.
MAX_PARSED = 4 << 20
RULE = "rule"


class BadPolicy(UsageError):
    """A policy that cannot be used; `mistakes` has a line for each thing that is wrong."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = tuple(mistakes)


def policy_from_file(path: str, overrides: Mapping[str, object], *, now: int) -> tuple[Rule, ...]:
    """The rules of a policy file, with settings from elsewhere in place of its own.

    Args:
        path: of a TOML file.
        overrides: settings by name; one that no rule has is added to every rule, but a goal only
            to a policy of one rule, for which of several should pursue it?
        now: in ns.

    Raises:
        BadPolicy: mistakes in the file, or settings that do not fit it.
        UsageError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise UsageError(f"policy {quote(path)}: {reason}") from None
    if len(data) > MAX_FILE:
        raise BadPolicy([f"{path}: exceeds the limit of {MAX_FILE} bytes"])
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadPolicy([f"{path}:{line}: not UTF-8"]) from None
    for number, one in enumerate(text.splitlines(), 1):
        if len(one) > MAX_LINE:
            raise BadPolicy([f"{path}:{number}: exceeds the limit of {MAX_LINE} characters a line"])
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadPolicy([_syntax_error(path, text, str(error))]) from None
    except ValueError:
        raise BadPolicy([f"{path}: a number has too many digits"]) from None
    except RecursionError:
        raise BadPolicy([f"{path}:1: nested too deeply"]) from None
    return _policy_from_document(document, overrides, now=now, place=_Places(path, text))


def parse_policy(policy: Mapping[str, object] | StrPath) -> tuple[Rule, ...]:
    """The rules of a policy, checked: what `Store.collect` does first.

    Args:
        policy: settings as in a policy file, or the path of one.

    Raises:
        BadPolicy: it has mistakes; all of them are told.
        UsageError: the file cannot be read.
    """
    return policy_rules(policy, now=current_time())


def policy_rules(
    policy: Mapping[str, Any] | Several[Rule] | StrPath, *, now: int
) -> tuple[Rule, ...]:
    """The rules of a mapping of the same shape as a policy file, or of a file. Raises BadPolicy."""
    if isinstance(policy, Mapping):
        return _policy_from_document(policy, {}, now=now, place=None)
    if isinstance(policy, PATHS):
        return policy_from_file(path_of(policy), {}, now=now)
    return several(policy, "policy", Rule)


def _policy_from_document(
    document: Mapping[str, Any],
    overrides: Mapping[str, object],
    *,
    now: int,
    place: _Places | None,
) -> tuple[Rule, ...]:
    mistakes: list[tuple[int, str]] = []

    def mistake(rule: int, setting: str, text: str) -> None:
        line = place.line(rule, setting) if place is not None else 0
        where = f"{place.path}:{line}: " if place is not None else ""
        mistakes.append((line, where + text))

    common = {name: value for name, value in document.items() if name != RULE}
    tables = document.get(RULE, [{}])
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        mistake(0, RULE, "rule: write [[rule]] before the settings of each rule")
        tables = []
    elif not 1 <= len(tables) <= MAX_RULES:
        mistake(0, RULE, f"rule: 1 to {MAX_RULES} rules are needed")
        tables = tables[:MAX_RULES]
    given = [{**common, **table} for table in tables]
    try:
        given = [_override(one, given, overrides) for one in given]
    except BadSetting as error:
        mistakes.append((0, str(error)))
    rules: list[Rule] = []
    for number, settings in enumerate(given, 1):
        try:
            rules.append(parse_rule(settings, now=now))
        except BadSetting:
            for setting, text in _mistakes(settings, now):
                own = number if RULE in document and setting not in common else 0
                mistake(own, setting, text)
    if mistakes:
        raise BadPolicy(list(dict.fromkeys(text for _, text in sorted(mistakes))))
    return tuple(rules)


def _mistakes(settings: Mapping[str, object], now: int) -> list[tuple[str, str]]:
    """Every mistake of a rule, by setting: each that is found is left out and the rest read on."""
    left = dict(settings)
    found: list[tuple[str, str]] = []
    while True:
        try:
            parse_rule(left, now=now)
        except BadSetting as error:
            if error.setting or not found:
                found.append((error.setting, str(error)))
            if error.setting not in left:
                return found
            del left[error.setting]
        else:
            return found


def _override(
    settings: Mapping[str, object],
    given: Sequence[Mapping[str, object]],
    overrides: Mapping[str, object],
) -> dict[str, object]:
    merged = dict(settings)
    for name, value in overrides.items():
        somewhere = any(name in one for one in given)
        if name in settings or not somewhere:
            if not somewhere and name in GOALS and len(given) > 1:
                raise BadSetting(name, "none of the policy's rules has it: which should pursue it?")
            merged[name] = value
    return merged


def _syntax_error(path: str, text: str, message: str) -> str:
    # tomllib says "Expected '=' after a key (at line 3, column 5)" or "(at end of document)".
    what, _, where = message.rpartition(" (at ")
    words = where.rstrip(")").split()
    if words[:1] == ["line"]:
        return f"{path}:{words[1].rstrip(',')}: {what}"
    return f"{path}:{text.count(chr(10)) + (not text.endswith(chr(10)))}: {what or message}"


class _Places:
    """Where the settings stand in a file that is good TOML."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self._text = text
        self._lines: dict[tuple[int, str], int] | None = None

    def line(self, rule: int, setting: str) -> int:
        """The line of a setting of the n-th rule (0: before the tables), or of the rule itself."""
        if self._lines is None:
            self._lines = self._find()
        lines = self._lines
        return lines.get((rule, setting), lines.get((rule, ""), lines.get((1, ""), 1)))

    def _find(self) -> dict[tuple[int, str], int]:
        """The first line of each statement: where everything before it is good TOML by itself."""
        found: dict[tuple[int, str], int] = {}
        rule, statement, start, parsed = 0, "", 0, 0
        for number, line in enumerate(self._text.splitlines(keepends=True), 1):
            if not statement:
                start = number
                if not line.strip() or line.lstrip().startswith("#"):
                    continue
            statement += line
            parsed += len(statement)
            if parsed > MAX_PARSED:
                break
            try:
                value = tomllib.loads(statement)
            except tomllib.TOMLDecodeError:
                continue  # a list or a text of several lines goes on
            if statement.lstrip().startswith("["):
                rule += RULE in value
                found.setdefault((rule, ""), start)
                found.setdefault((0, next(iter(value))), start)
            for name in value:
                found.setdefault((rule, name), start)
            statement = ""
        return found
