"""The settings of a store: their names, what they take, and what holds where one is not set.

They live in the store, so that every process that uses it keeps to the same ones.
"""

from __future__ import annotations

from casstore.errors import NotFound, UsageError, quote
from casstore.model.keys import (
    ALL,
    ALWAYS,
    DIGEST,
    ON_DEMAND,
    PUBLISH,
    SETTING,
    TRASH_KEEP,
    VERIFY,
)
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MAX_KEEP_NS = 100 * 366 * 86400 * 10**9  # a hundred years


class Setting(Value):
    """What can be set."""

    name: str
    default: str
    help: str  # one line
    takes: str  # what a value looks like, for messages
    check: Callable[[str], bool]


def parse_keep(text: str) -> int | None:
    """How long the trash keeps what is removed, in ns; 0 for not at all; None for bad text."""
    from casstore.model.amount import parse_duration

    if text == "0":
        return 0
    duration = parse_duration(text)
    return duration if duration is not None and 0 <= duration <= MAX_KEEP_NS else None


SETTINGS = {
    setting.name: setting
    for setting in (
        Setting(
            PUBLISH,
            ALWAYS,
            "when index.json is written: by every change, or by publish alone",
            "always or on-demand is needed",
            lambda text: text in (ALWAYS, ON_DEMAND),
        ),
        Setting(
            TRASH_KEEP,
            "0",
            "how long rmi and prune keep what they remove in the trash",
            "expected a duration such as 90s, 30m, 24h or 7d; 0 for no trash",
            lambda text: parse_keep(text) is not None,
        ),
        Setting(
            VERIFY,
            ALL,
            "what pull, load and copy verify of layers before they store them",
            "all or digest is needed",
            lambda text: text in (ALL, DIGEST),
        ),
    )
}


def setting_named(name: str) -> Setting:
    """The setting of that name. Raises NotFound."""
    if name not in SETTINGS:
        raise NotFound(f"No such setting: {quote(name)} (there is: {', '.join(SETTINGS)})")
    return SETTINGS[name]


def checked(name: str, value: str) -> str:
    """A value that the setting takes.

    Raises:
        NotFound: there is no such setting.
        UsageError: it does not take the value.
    """
    setting = setting_named(name)
    if not setting.check(value):
        raise UsageError(f"invalid value {quote(value)} for {name}: {setting.takes}")
    return value


def key_of(name: str) -> str:
    """Where the index has a setting."""
    return SETTING + name


def value_of(meta: Callable[[str], Any], name: str) -> str:
    """The value in force; `meta` looks into the meta table."""
    value = meta(key_of(name))
    return value if isinstance(value, str) else setting_named(name).default


def keep_in_force(meta: Callable[[str], Any]) -> int:
    """How long removals are kept (ns), by the store's setting."""
    return parse_keep(value_of(meta, TRASH_KEEP)) or 0


def verifies_digests_only(meta: Callable[[str], Any]) -> bool:
    """Whether layers come in with their digests and sizes verified alone, by the setting."""
    return value_of(meta, VERIFY) == DIGEST
