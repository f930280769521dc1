"""Times as Python's `datetime` has them, for callers; the store itself counts nanoseconds.

`datetime` is imported when one is asked for: it costs more than a look at an image does.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime


def datetime_of(nanoseconds: int) -> datetime:
    """A time in nanoseconds since 1970, in UTC and rounded down to a microsecond.

    Times that a store notes are in the years 1677 to 2262, and all of these can be had; before the
    year 1 and after 9999 it is the first or the last moment that `datetime` has.
    """
    from datetime import UTC, datetime, timedelta

    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        if nanoseconds < 0:
            return datetime.min.replace(tzinfo=UTC)
        return datetime.max.replace(tzinfo=UTC)


def datetime_or_none(nanoseconds: int | None) -> datetime | None:
    """The same of a time that may not be known."""
    return None if nanoseconds is None else datetime_of(nanoseconds)
