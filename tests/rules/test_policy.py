"""Settings of a policy: what each takes, which go together, and what the goals amount to."""

from __future__ import annotations

import pytest

from casstore.model.amount import SECOND
from casstore.model.storage import Disk
from casstore.rules.policy import BadSetting, parse_rule, shown_rule

NOW = 10**18


def refusal(**settings: object) -> str:
    with pytest.raises(BadSetting) as caught:
        parse_rule({name.replace("_", "-"): value for name, value in settings.items()}, now=NOW)
    return str(caught.value)


def mosts(stored: int, disk: Disk, **settings: object) -> list[int]:
    rule = parse_rule({n.replace("_", "-"): value for n, value in settings.items()}, now=NOW)
    return [goal.most for goal in rule.goals(stored, disk)]


@pytest.mark.parametrize("name", ["max_used", "Keep", "", "unused_for"])
def test_a_setting_that_does_not_exist_is_refused(name: str) -> None:
    with pytest.raises(BadSetting, match="there is no setting"):
        parse_rule({name: "1", "keep": 1}, now=NOW)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("max_used_space", "50XB"), ("max_used_space", 50), ("max_used_space", True),
        ("min_free_space", "101%"), ("reserved_space", ""), ("high_water", "85GB"),
        ("high_water", 85), ("unused_for", "7"), ("unused_for", 7), ("min_age", "soon"),
        ("until", "yesterday"), ("until", 5), ("keep", -1), ("keep", "x"), ("keep", True),
        ("keep", 1.5), ("keep", 10**7), ("protect", "["), ("protect", [1]), ("only", "\\"),
        ("filter", "label"), ("filter", "nosuch=1"), ("filter", "dangling=yes"),
        ("keep", "\u0663"), ("keep", "1" * 5000), ("keep", "1" * 10), ("protect", 5),
        ("protect", ["a", 1]),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_by_the_name_of_its_setting(setting: str, value: object) -> None:
    assert refusal(**{setting: value}).startswith(setting.replace("_", "-") + ": ")


@pytest.mark.parametrize(
    "settings",
    [{}, {"protect": "a"}, {"only": "a"}, {"min_age": "1d"}, {"reserved_space": "1GB"},
     {"filter": "label=a"}],
)  # fmt: skip
def test_a_rule_that_would_mean_every_image_is_refused(settings: dict[str, object]) -> None:
    assert refusal(**settings).startswith("a rule needs one of max-used-space")


def test_low_water_needs_a_high_water_that_is_no_lower() -> None:
    assert refusal(low_water="70%", keep=1) == (
        "low-water: it needs high-water, which says when to start"
    )
    assert refusal(high_water="70%", low_water="85%") == "low-water: it is above high-water"


def test_more_cannot_be_reserved_than_may_be_used() -> None:
    assert refusal(max_used_space="1GB", reserved_space="2GB") == (
        "reserved-space: it is more than max-used-space"
    )


def test_what_is_refused_is_told_apart_from_why() -> None:
    with pytest.raises(BadSetting) as caught:
        parse_rule({"low-water": "70%", "keep": 1}, now=NOW)

    assert caught.value.setting == "low-water"
    assert caught.value.reason == "it needs high-water, which says when to start"


def test_as_much_can_be_reserved_as_may_be_used() -> None:
    parse_rule({"max-used-space": "1GB", "reserved-space": "1GB"}, now=NOW)


def test_a_share_and_a_size_are_not_compared() -> None:
    parse_rule({"max-used-space": "1%", "reserved-space": "2GB"}, now=NOW)
    parse_rule({"max-used-space": "1GB", "reserved-space": "99%"}, now=NOW)


@pytest.mark.parametrize(
    ("given", "keep"), [("5", 5), ("000000007", 7), (1_000_000, 1_000_000), (0, 0)]
)
def test_keep_takes_up_to_a_million_also_as_a_text_of_up_to_nine_digits(
    given: object, keep: int
) -> None:
    assert parse_rule({"keep": given}, now=NOW).keep == keep


def test_a_filter_takes_numbers_for_dangling_as_in_prune() -> None:
    assert parse_rule({"filter": "dangling=1"}, now=NOW).filters == ("dangling=1",)


def test_a_setting_of_none_is_not_given() -> None:
    assert parse_rule({"keep": 1, "min-age": None}, now=NOW) == parse_rule({"keep": 1}, now=NOW)


def test_a_rule_can_be_shown_as_its_settings_with_the_default_minimum_age() -> None:
    rule = parse_rule({"keep": 1, "protect": ["a", "b"]}, now=NOW)

    assert rule.settings() == {"keep": 1, "protect": ["a", "b"], "min-age": "2m"}
    assert shown_rule(rule) == "keep 1, protect a b, min-age 2m"


def test_what_has_just_arrived_is_young_for_two_minutes_unless_told_otherwise() -> None:
    assert parse_rule({"keep": 1}, now=NOW).min_age == 120 * SECOND
    assert parse_rule({"keep": 1, "min-age": "0s"}, now=NOW).min_age == 0


def test_max_used_space_is_what_the_blobs_may_take() -> None:
    assert mosts(900, Disk(1000, 50), max_used_space="300") == [300]
    assert mosts(900, Disk(1000, 50), max_used_space="40%") == [400]


def test_min_free_space_takes_from_the_store_what_the_disk_lacks() -> None:
    assert mosts(900, Disk(1000, 50), min_free_space="200") == [750]
    assert mosts(900, Disk(1000, 50), min_free_space="20%") == [750]
    assert mosts(900, Disk(1000, 300), min_free_space="200") == [900]


@pytest.mark.parametrize(
    ("free", "most"),
    [(100, 900 - 200), (150, 900), (160, 900)],  # used: 90 %, 85 %, 84 %
)
def test_above_high_water_the_disk_is_brought_down_to_low_water(free: int, most: int) -> None:
    assert mosts(900, Disk(1000, free), high_water="85%", low_water="70%") == [most]


def test_without_low_water_high_water_is_where_it_stops() -> None:
    assert mosts(900, Disk(1000, 100), high_water="85%") == [850]
