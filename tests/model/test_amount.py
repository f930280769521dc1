"""Sizes, shares and durations: what is read, what is refused, and how they are shown."""

from __future__ import annotations

import pytest

from casstore.model.amount import (
    SECOND,
    Space,
    duration_text,
    parse_duration,
    parse_share,
    parse_size,
    parse_space,
    size_text,
)

HOUR, DAY = 3600 * SECOND, 86400 * SECOND


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0), ("1000", 1000), ("7B", 7), ("50GB", 50 * 10**9), ("50 GB", 50 * 10**9),
        ("50gb", 50 * 10**9), ("50g", 50 * 10**9), ("50GiB", 50 << 30), ("1.5kB", 1500),
        ("9" * 15, 10**15 - 1),
        ("1." + "0" * 15, 1),
        ("9223372036854.775807MB", (1 << 63) - 1),
        ("0.0005kB", 0), ("9PB", 9 * 10**15),
    ],
)  # fmt: skip
def test_a_size_is_a_number_with_or_without_a_unit(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("units", "base"),
    [("B kB MB GB TB PB", 1000), ("B K M G T P", 1000), ("B KiB MiB GiB TiB PiB", 1024)],
)
def test_units_go_by_a_thousand_and_those_with_an_i_by_1024(units: str, base: int) -> None:
    assert [parse_size(f"1{unit}") for unit in units.split()] == [base**n for n in range(6)]


@pytest.mark.parametrize(
    "text",
    ["", "GB", "-1GB", "+1", "1,5GB", "1.GB", ".5GB", "1..5GB", "1e3", "5 0GB", "50  GB", "50GB ",
     " 50GB", "50XB", "٣GB", "1_000", "10%", "9" * 16, "9223372036854775808", "9223PB1", "infB",
     "50ĠB", "50G\u0131B", "9223372036854.775808MB", "1." + "0" * 16],
)  # fmt: skip
def test_what_is_no_size_is_refused(text: str) -> None:
    assert parse_size(text) is None


@pytest.mark.parametrize(("text", "share"), [("85%", 8500), ("12.5%", 1250), ("0%", 0),
                                             ("100%", 10000)])  # fmt: skip
def test_a_share_is_a_percentage(text: str, share: int) -> None:
    assert parse_share(text) == share


@pytest.mark.parametrize("text", ["85", "%", "101%", "-1%", "85 %%", "1e1%"])
def test_what_is_no_share_is_refused(text: str) -> None:
    assert parse_share(text) is None


def test_a_share_of_the_file_system_amounts_to_bytes() -> None:
    assert parse_space("10%") == Space(0, 1000)
    assert Space(0, 1000).of(12345) == 1234
    assert Space(7, None).of(12345) == 7


@pytest.mark.parametrize(
    ("text", "length"),
    [("7d", 7 * DAY), ("1h30m", HOUR + HOUR // 2), ("90s", 90 * SECOND), ("2w", 14 * DAY),
     ("1.5h", HOUR + HOUR // 2), ("0s", 0), ("10ms", SECOND // 100), ("3µs", 3000),
     ("365000d", 365_000 * DAY)],
)  # fmt: skip
def test_a_duration_is_numbers_with_units(text: str, length: int) -> None:
    assert parse_duration(text) == length


@pytest.mark.parametrize(
    "text",
    ["", "7", "d", "7 d", "-7d", "7d ", "7days", "1h30", "1..5h", "1.h", "٣d", "9" * 400 + "s",
     "400000d", "365000d1ns", "1h 30m"],
)  # fmt: skip
def test_what_is_no_duration_is_refused(text: str) -> None:
    assert parse_duration(text) is None


def test_they_are_shown_in_the_largest_unit_that_fits() -> None:
    assert [duration_text(n) for n in (0, SECOND, 59 * SECOND, 60 * SECOND, 9 * DAY + HOUR)] == [
        "0s", "1s", "59s", "1m", "9d",
    ]  # fmt: skip
    assert [size_text(n) for n in (7, 999, 1000, 50 * 10**9)] == ["7B", "999B", "1kB", "50GB"]
