"""Times in documents: RFC 3339 text to nanoseconds since 1970, by integers alone.

`datetime` stops at microseconds, and an order by creation needs all nine digits that Docker
writes.
"""

from __future__ import annotations

NANOSECONDS = 1_000_000_000
MAX_NS = (1 << 63) - 1
MIN_NS = -(1 << 63)
MAX_FRACTION = 9

_DIGITS = frozenset("0123456789")
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_EPOCH_DAY = 719_162  # days from 0001-01-01 to 1970-01-01


def parse_time(text: str) -> int | None:
    """Nanoseconds since 1970, clamped to 64 bits; None for the year 1, Go's zero time.

    Raises:
        ValueError: `text` is not `YYYY-MM-DDTHH:MM:SS[.fraction](Z|±HH:MM)`.
    """
    date, clock, zone = text[:10], text[11:19], text[19:]
    if text[10:11] not in ("T", "t") or date[4:8:3] != "--" or clock[2:6:3] != "::":
        raise ValueError(text)
    year, month, day = _number(date[:4]), _number(date[5:7]), _number(date[8:10])
    hour, minute, second = _number(clock[:2]), _number(clock[3:5]), _number(clock[6:8])
    fraction = 0
    if zone.startswith("."):
        digits = zone[1 : len(zone) - len(zone[1:].lstrip("0123456789"))]
        if not 0 < len(digits) <= MAX_FRACTION:
            raise ValueError(text)
        fraction = int(digits.ljust(MAX_FRACTION, "0"))
        zone = zone[1 + len(digits) :]
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not (1 <= month <= 12 and hour < 24 and minute < 60 and second <= 60):
        raise ValueError(text)
    if not 1 <= day <= _MONTH_DAYS[month - 1] + (leap and month == 2):
        raise ValueError(text)
    offset = _offset(zone)
    if year <= 1:
        return None
    past = year - 1
    days = past * 365 + past // 4 - past // 100 + past // 400 - _EPOCH_DAY
    days += sum(_MONTH_DAYS[: month - 1]) + (leap and month > 2) + day - 1
    seconds = days * 86400 + hour * 3600 + minute * 60 + second - offset
    return max(MIN_NS, min(MAX_NS, seconds * NANOSECONDS + fraction))


def go_time(text: str) -> str:
    """`text` as Go writes the same time: no zeros at the end of the fraction, Z for UTC.

    Raises:
        ValueError: as `parse_time`.
    """
    parse_time(text)
    clock, zone = text[:19].upper(), text[19:]
    fraction = ""
    if zone.startswith("."):
        end = len(zone) - len(zone[1:].lstrip("0123456789"))
        fraction = zone[:end].rstrip("0").rstrip(".")
        zone = zone[end:]
    return clock + fraction + ("Z" if _offset(zone) == 0 else zone)


def _number(text: str) -> int:
    if not _DIGITS.issuperset(text):
        raise ValueError(text)
    return int(text)


def _offset(text: str) -> int:
    if text in ("Z", "z"):
        return 0
    if len(text) != 6 or text[0] not in "+-" or text[3] != ":":
        raise ValueError(text)
    hours, minutes = _number(text[1:3]), _number(text[4:6])
    if hours > 24 or minutes > 59:
        raise ValueError(text)
    seconds = hours * 3600 + minutes * 60
    return -seconds if text[0] == "-" else seconds


def format_time(nanoseconds: int) -> str:
    """RFC 3339 in UTC as Go writes it (RFC3339Nano): no zeros at the end of the fraction."""
    from time import gmtime, strftime

    seconds, fraction = divmod(nanoseconds, NANOSECONDS)
    digits = f"{fraction:09d}".rstrip("0")
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(seconds)) + (digits and "." + digits) + "Z"
