from __future__ import annotations

import time

import pytest

from casstore.cli.render import age, go_time, image_size, rfc3339, size, table

DAY = 86400


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (7, "7 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1234, "1.234 kB"),
        (12345, "12.35 kB"),
        (999_499, "999.5 kB"),
        (999_999, "1000 kB"),
        (1_000_000, "1 MB"),
        (4_964_000, "4.964 MB"),
        (12_345_678, "12.35 MB"),
        (2_430_000, "2.43 MB"),
        (3 * 10**9, "3 GB"),
        (3 * 10**12, "3 TB"),
    ],
)
def test_a_size_has_four_significant_digits(count: int, text: str) -> None:
    assert size(count) == text


def test_an_image_that_adds_to_a_parent_shows_two_sizes() -> None:
    assert image_size(7, 4_964_000) == "7 B (virtual 4.964 MB)"
    assert image_size(0, 4_964_000) == "0 B (virtual 4.964 MB)"
    assert image_size(2_430_000, 2_430_000) == "2.43 MB"


def test_a_size_that_counts_layers_as_they_are_stored_is_marked() -> None:
    assert image_size(7, 7, settled=False) == "~7 B"
    assert image_size(7, 4_964_000, settled=False) == "~7 B (virtual ~4.964 MB)"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "Less than a second ago"),
        (0, "Less than a second ago"),
        (1, "1 second ago"),
        (23, "23 seconds ago"),
        (59, "59 seconds ago"),
        (60, "About a minute ago"),
        (119, "About a minute ago"),
        (120, "2 minutes ago"),
        (3599, "59 minutes ago"),
        (3600, "About an hour ago"),
        (5399, "About an hour ago"),
        (5400, "2 hours ago"),
        (47 * 3600 + 1799, "47 hours ago"),
        (47 * 3600 + 1800, "2 days ago"),
        (13 * DAY, "13 days ago"),
        (14 * DAY, "2 weeks ago"),
        (63 * DAY, "9 weeks ago"),
        (90 * DAY - 1801, "12 weeks ago"),
        (90 * DAY, "3 months ago"),
        (729 * DAY, "24 months ago"),
        (730 * DAY, "2 years ago"),
        (4400 * DAY, "12 years ago"),
    ],
)
def test_an_age_is_told_in_its_largest_unit(seconds: int, text: str) -> None:
    now = 2 * 10**18
    assert age(now - seconds * 10**9, now) == text


def test_only_whole_seconds_of_the_creation_time_count() -> None:
    now = 2 * 10**18
    assert age(now - 23 * 10**9 + 5, now) == "23 seconds ago"


@pytest.mark.parametrize("created", [None, -62_135_596_800 * 10**9])
def test_an_unknown_time_or_gos_zero_time_is_not_available(created: int | None) -> None:
    assert age(created, 2 * 10**18) == "N/A"
    assert rfc3339(created) == "N/A"


def test_a_time_beyond_the_calendar_is_not_available() -> None:
    assert go_time(10**30) == "N/A"


def test_dates_are_in_local_time_with_its_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = 1_386_740_030 * 10**9
    try:
        monkeypatch.setenv("TZ", "UTC")
        time.tzset()
        assert rfc3339(moment) == "2013-12-11T05:33:50Z"
        assert go_time(moment) == "2013-12-11 05:33:50 +0000 UTC"
        monkeypatch.setenv("TZ", "XYZ-05:30")
        time.tzset()
        assert rfc3339(moment) == "2013-12-11T11:03:50+05:30"
        assert go_time(moment) == "2013-12-11 11:03:50 +0530 XYZ"
        assert rfc3339(moment, utc=True) == "2013-12-11T05:33:50Z"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_column_is_as_wide_as_its_longest_cell_and_three_and_at_least_twenty() -> None:
    assert table(("A", "B", "C"), [("x" * 18, "y", "z"), ("x", "", "")]) == (
        "A                    B                   C\nxxxxxxxxxxxxxxxxxx   y                   z\nx"
    )


def test_only_blanks_at_the_end_of_a_line_go() -> None:
    assert table(("A", "B"), [("", "y")]) == f"{'A':20}B\n{'':20}y"


def test_least_widths_can_be_given() -> None:
    assert table(("A", "B", "C"), [("x", "y", "z")], (10, 4)) == "A         B   C\nx         y   z"
