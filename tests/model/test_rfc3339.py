from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casstore.model.rfc3339 import MAX_NS, MIN_NS, format_time, go_time, parse_time


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:59:59.5Z", -500_000_000),
        ("2026-11-23T07:24:15.290750294Z", 1795418655290750294),
        ("2013-06-13T14:03:50.821769-07:00", 1371157430821769000),
        ("2000-02-29T00:00:00Z", 951782400_000_000_000),
        ("1970-01-01t00:00:00z", 0),
        ("1970-01-01T00:00:60Z", 60 * 10**9),
        ("1970-01-01T00:59:00+00:59", 0),
        ("1970-01-02T00:00:00+24:00", 0),
        ("1970-01-01T05:30:00+05:30", 0),
        ("1969-12-31T18:30:00-05:30", 0),
        ("0001-01-01T00:00:00Z", None),
        ("9999-12-31T23:59:59Z", MAX_NS),
        ("1000-01-01T00:00:00Z", MIN_NS),
    ],
)
def test_a_time_is_its_nanoseconds(text: str, nanoseconds: int | None) -> None:
    assert parse_time(text) == nanoseconds


@given(st.datetimes(timezones=st.just(dt.UTC)))
def test_times_agree_with_the_calendar(moment: dt.datetime) -> None:
    delta = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

    expected = (delta // dt.timedelta(microseconds=1)) * 1000
    clamped = max(MIN_NS, min(MAX_NS, expected))
    assert parse_time(moment.isoformat()) == (None if moment.year == 1 else clamped)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2020-01-01",
        "2020-01-01T00:00:00",
        "2020-13-01T00:00:00Z",
        "2021-02-29T00:00:00Z",
        "2020-01-01T24:00:00Z",
        "2020-01-01T00:00:00.Z",
        "2020-01-01T00:00:00.1234567890Z",
        "2020-01-01T00:00:00+1:00",
        "2020-01-01T00:00:00Zulu",
        "2020-01-01 00:00:00Z",
        "٢٠٢٠-01-01T00:00:00Z",
        "2020-01-01T00:00:00.²Z",
        "2020x01-01T00:00:00Z",
        "2020-01x01T00:00:00Z",
        "2020-01-01T00x00:00Z",
        "2020-01-01T00:00x00Z",
        "2020-01-01T00:00:0",
        "2020-00-01T00:00:00Z",
        "2020-01-00T00:00:00Z",
        "2020-04-31T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2020-01-01T00:60:00Z",
        "2020-01-01T00:00:61Z",
        "2020-01-01T00:00:00*01:00",
        "2020-01-01T00:00:00+01x00",
        "2020-01-01T00:00:00+25:00",
        "2020-01-01T00:00:00+01:60",
    ],
)
def test_what_is_no_time_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the caller says what it is of
        parse_time(text)


def test_go_writes_no_time_that_is_none() -> None:
    with pytest.raises(ValueError, match="2020-13-01"):
        go_time("2020-13-01T00:00:00Z")


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
        (-500_000_000, "1969-12-31T23:59:59.5Z"),
        (951782400_000_000_000, "2000-02-29T00:00:00Z"),
    ],
)
def test_a_time_is_written_in_utc_without_zeros_at_its_end(nanoseconds: int, text: str) -> None:
    assert format_time(nanoseconds) == text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2013-12-11T05:33:40Z", "2013-12-11T05:33:40Z"),
        ("2013-12-11T05:33:40.120Z", "2013-12-11T05:33:40.12Z"),
        ("2013-12-11T05:33:40.000+00:00", "2013-12-11T05:33:40Z"),
        ("2013-06-13T14:03:50.821769-07:00", "2013-06-13T14:03:50.821769-07:00"),
    ],
)
def test_go_writes_the_same_time_without_what_says_nothing(text: str, written: str) -> None:
    assert go_time(text) == written
