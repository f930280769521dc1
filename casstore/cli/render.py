"""Sizes, ages, dates and tables as the command line shows them.

The forms are those of the rmi and images pages of Docker's first years: four significant digits
and a blank (`4.964 MB`), weeks up to 90 days, columns at least 20 wide with a gap of 3.
"""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

NONE = "<none>"
UNKNOWN = "N/A"
GAP = 3
LEAST_WIDTH = 20
_BETWEEN = "\0"
SECOND = 1_000_000_000
YEAR_TWO = -62_104_060_800  # before this a config says year 1, Go's zero time: it says nothing

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_HOUR = 3600.0


def size(count: int) -> str:
    """A number of bytes for people, in thousands: `7 B`, `4.964 MB`, `1000 kB` for 999999."""
    amount = float(count)
    unit = 0
    while amount >= 1000.0 and unit < len(_UNITS) - 1:
        amount /= 1000.0
        unit += 1
    return f"{amount:.4g} {_UNITS[unit]}"


def image_size(own: int, total: int, *, settled: bool = True) -> str:
    """The SIZE column: what the image adds to its parent, and all of it where that differs.

    Unless all layers are settled, the bytes as stored stand for some: `~2.43 MB`.
    """
    about = "" if settled else "~"
    whole = about + size(total)
    return whole if own == total else f"{about}{size(own)} (virtual {whole})"


def span(seconds: float) -> str:
    """A length of time for people, in its largest unit."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole < 60:
        return "1 second" if whole == 1 else f"{whole} seconds"
    minutes = whole // 60
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    hours = int(seconds / _HOUR + 0.5)  # the only unit that is rounded to the nearest
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    if hours < 24 * 14:
        return f"{hours // 24} days"
    if hours < 24 * 90:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{int(seconds / _HOUR / 24 / 365)} years"


def age(created: int | None, now: int) -> str:
    """The CREATED column, from two times in nanoseconds since 1970; whole seconds count."""
    if is_unknown(created):
        return UNKNOWN
    assert created is not None
    return span(now / SECOND - created // SECOND) + " ago"


def is_unknown(moment: int | None) -> bool:
    """Whether a time says nothing: absent, or Go's zero time."""
    return moment is None or moment // SECOND < YEAR_TWO


def rfc3339(moment: int | None, *, utc: bool = False) -> str:
    """`2013-12-11T05:33:50Z`, in local time with its offset unless `utc`."""
    parts = _fields(moment, utc=utc)
    if parts is None:
        return UNKNOWN
    date, clock, offset, _ = parts
    return f"{date}T{clock}" + ("Z" if offset == 0 else _offset(offset, ":"))


def rfc3339_nano(moment: int) -> str:
    """The same in local time, with all nine digits of the fraction, as `docker events` has it."""
    text, fraction = rfc3339(moment), f".{moment % SECOND:09d}"
    return text[:19] + fraction + text[19:] if text != UNKNOWN else text


def go_time(moment: int | None) -> str:
    """`2013-12-11 05:33:50 +0000 UTC`: how Docker prints CreatedAt, in local time."""
    parts = _fields(moment, utc=False)
    if parts is None:
        return UNKNOWN
    date, clock, offset, zone = parts
    return f"{date} {clock} {_offset(offset, '')} {zone}"


def log_time() -> str:
    """`2013/12/11 05:47:16`, now, in local time: how Go's log package dates a line."""
    from casstore.clock import current_time

    return time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(current_time() // SECOND))


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    least: Sequence[int] = (),
) -> str:
    """Lines without a last newline; `least` gives the least widths where they are not 20."""
    return "\n".join(table_lines(header, rows, least))


def table_lines(
    header: Sequence[str], rows: Iterable[Sequence[str]], least: Sequence[int] = ()
) -> Iterator[str]:
    """The same line by line. Cells are kept as one text a line: there may be 100 000."""
    last = len(header) - 1
    widths = [
        max(len(title) + GAP, least[column] if column < len(least) else LEAST_WIDTH)
        for column, title in enumerate(header[:-1])
    ]
    kept: list[str | tuple[str, ...]] = []
    for line in rows:
        for column in range(last):
            widths[column] = max(widths[column], len(line[column]) + GAP)
        text = _BETWEEN.join(line)
        kept.append(text if text.count(_BETWEEN) == last else tuple(line))
    form = "".join(f"{{:<{width}}}" for width in widths) + "{}"
    yield form.format(*header).rstrip(" ")
    for cells in kept:
        yield form.format(*(cells.split(_BETWEEN) if isinstance(cells, str) else cells)).rstrip(" ")


def _fields(moment: int | None, *, utc: bool) -> tuple[str, str, int, str] | None:
    if is_unknown(moment):
        return None
    assert moment is not None
    try:
        t = time.gmtime(moment // SECOND) if utc else time.localtime(moment // SECOND)
    except (OverflowError, ValueError, OSError):  # further off than the C library reckons
        return None
    return (
        f"{t.tm_year:04d}-{t.tm_mon:02d}-{t.tm_mday:02d}",
        f"{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d}",
        t.tm_gmtoff or 0,
        t.tm_zone or "UTC",
    )


def _offset(seconds: int, colon: str) -> str:
    minutes = abs(seconds) // 60
    return f"{'-' if seconds < 0 else '+'}{minutes // 60:02d}{colon}{minutes % 60:02d}"
