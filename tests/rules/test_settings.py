"""The settings of a store: only what is known, only what it takes."""

from __future__ import annotations

import pytest

from casstore.errors import NotFound, UsageError
from casstore.rules.settings import SETTINGS, checked, keep_in_force, key_of, parse_keep, value_of

HOUR = 3600 * 10**9


@pytest.mark.parametrize(
    ("text", "keep"),
    [("0", 0), ("0s", 0), ("90s", HOUR // 40), ("24h", 24 * HOUR), ("7d", 168 * HOUR),
     ("1h30m", HOUR * 3 // 2), ("24", None), ("-1h", None), ("", None), ("forever", None),
     ("1h ", None), ("\u0661h", None), ("9" * 30 + "d", None), ("200000w", None),
     ("36600d", 36600 * 24 * HOUR), ("36601d", None)],
)  # fmt: skip
def test_a_time_to_keep_is_a_duration_or_0(text: str, keep: int | None) -> None:
    assert parse_keep(text) == keep


def test_a_setting_that_does_not_exist_is_not_found() -> None:
    with pytest.raises(NotFound, match="No such setting"):
        checked("trash.keeps", "1h")


def test_a_value_that_a_setting_does_not_take_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="expected a duration"):
        checked("trash.keep", "long")


def test_a_value_that_a_setting_takes_is_what_is_kept() -> None:
    assert checked("trash.keep", "1h") == "1h"


@pytest.mark.parametrize("value", ["", "never", "Always"])
def test_index_json_is_published_always_or_on_demand(value: str) -> None:
    assert checked("publish", "on-demand") == "on-demand"
    with pytest.raises(UsageError, match="always or on-demand is needed"):
        checked("publish", value)


def test_a_time_to_keep_that_is_none_keeps_nothing() -> None:
    assert keep_in_force({key_of("trash.keep"): "from another version"}.get) == 0


def test_every_default_is_a_value_that_the_setting_takes() -> None:
    assert [name for name, one in SETTINGS.items() if not one.check(one.default)] == []


def test_what_is_not_set_has_its_default() -> None:
    nothing: dict[str, str] = {}
    assert value_of(nothing.get, "trash.keep") == "0"
    assert keep_in_force(nothing.get) == 0
    assert keep_in_force({key_of("trash.keep"): "1h"}.get) == HOUR
