"""Go's time.Time and time.Duration, with the methods that templates call.

`{{.Config.Healthcheck.Interval}}` prints `30s` and is a number to everything else;
`{{.Metadata.LastTagTime.Format "2006-01-02"}}` prints a date.
"""

from __future__ import annotations

from casstore.cli.jsontext import Shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

SECOND = 1_000_000_000
_UNITS = (("h", 3600 * SECOND), ("m", 60 * SECOND))


class Duration(int):
    """A length of time, in nanoseconds."""

    def __str__(self) -> str:
        """As Go prints it: `1h0m0s`, `1.5s`, `20ms`."""
        left, sign = abs(int(self)), "-" if self < 0 else ""
        if left < SECOND:
            for unit, size in (("ms", 1_000_000), ("µs", 1000)):
                if left >= size:
                    return f"{sign}{_decimal(left, size)}{unit}"
            return f"{sign}{left}ns" if left else "0s"
        text = ""
        for unit, size in _UNITS:
            if text or left >= size:
                text += f"{left // size}{unit}"
                left %= size
        return f"{sign}{text}{_decimal(left, SECOND)}s"


class Time(Shown):
    """A moment: RFC 3339 with up to nine digits of a second, read when it is first asked for."""

    __slots__ = ("_moment", "_nano", "_text")

    def __init__(self, text: str, moment: datetime | None = None, nano: int = 0) -> None:
        """The text of a time, or a moment in whole seconds and the nanoseconds beyond."""
        self._text, self._moment, self._nano = text, moment, nano

    def _read(self) -> datetime:
        # datetime costs more than all else that inspect imports
        if self._moment is None:
            from datetime import datetime

            clock, dot, rest = self._text.partition(".")
            digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
            self._moment = datetime.fromisoformat(clock + (rest[len(digits) :] if dot else ""))
            self._nano = int(digits[:9].ljust(9, "0")) if digits else 0
        return self._moment

    def __str__(self) -> str:
        """As Go prints it: `2013-12-11 05:33:50.123 +0000 UTC`."""
        return self.format("2006-01-02 15:04:05.999999999 -0700 MST")

    def __bool__(self) -> bool:
        """A struct is true."""
        return True

    def as_json(self) -> str:
        """In RFC 3339."""
        return self.format("2006-01-02T15:04:05.999999999Z07:00")

    def format(self, layout: str) -> str:
        """Go's Format."""
        moment = self._read()
        out, at = "", 0
        while at < len(layout):
            for mark, show in _LAYOUT:
                if layout.startswith(mark, at):
                    out += show(moment)
                    at += len(mark)
                    break
            else:
                c = layout[at]
                run = len(layout) - len(layout[at + 1 :].lstrip("09")) - at - 1
                fraction = layout[at + 1 : at + 1 + run]
                if c in ".," and run and len(set(fraction)) == 1:
                    out += self._fraction(c, fraction)
                    at += run
                else:
                    out += c
                at += 1
        return out

    def _fraction(self, point: str, form: str) -> str:
        digits = f"{self._nano:09d}"[: len(form)]
        if form[0] == "9":
            digits = digits.rstrip("0")
        return point + digits if digits else ""

    def unix(self) -> int:
        """Whole seconds since 1970."""
        from datetime import UTC, datetime, timedelta

        return (self._read() - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)

    def at(self, zone: str) -> Time:
        """The same moment, in `UTC` or `Local` time."""
        from datetime import UTC

        return Time("", self._read().astimezone(UTC if zone == "UTC" else None), self._nano)

    def part(self, name: str) -> int:
        """A field of the date or the clock."""
        return int(getattr(self._read(), name))

    def nano(self) -> int:
        """Nanoseconds since 1970."""
        return self.unix() * SECOND + self._nano


def _decimal(count: int, unit: int) -> str:
    whole, rest = divmod(count, unit)
    digits = f"{rest:0{len(str(unit)) - 1}d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


def _offset(moment: datetime, colon: str) -> str:
    offset = moment.utcoffset()
    minutes = int(offset.total_seconds()) // 60 if offset is not None else 0
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}{colon}{abs(minutes) % 60:02d}"


def _zone(moment: datetime) -> str:
    name = moment.tzname() or ""
    return _offset(moment, "") if name.startswith("UTC") and name != "UTC" else name


def _utc_or(moment: datetime, colon: str) -> str:
    offset = _offset(moment, colon)
    return "Z" if offset == f"+00{colon}00" else offset


def _hour(moment: datetime) -> int:
    return moment.hour % 12 or 12


_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September"),
    *("October", "November", "December"),
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# What stands for what in a layout; of two that begin alike the longer one first.
_LAYOUT: tuple[tuple[str, Callable[[datetime], str]], ...] = (
    ("January", lambda t: _MONTHS[t.month - 1]),
    ("Jan", lambda t: _MONTHS[t.month - 1][:3]),
    ("Monday", lambda t: _DAYS[t.weekday()]),
    ("Mon", lambda t: _DAYS[t.weekday()][:3]),
    ("MST", _zone),
    ("2006", lambda t: f"{t.year:04d}"),
    ("002", lambda t: f"{t.timetuple().tm_yday:03d}"),
    ("01", lambda t: f"{t.month:02d}"),
    ("02", lambda t: f"{t.day:02d}"),
    ("03", lambda t: f"{_hour(t):02d}"),
    ("04", lambda t: f"{t.minute:02d}"),
    ("05", lambda t: f"{t.second:02d}"),
    ("06", lambda t: f"{t.year % 100:02d}"),
    ("15", lambda t: f"{t.hour:02d}"),
    ("_2", lambda t: f"{t.day:2d}"),
    ("PM", lambda t: "AM" if t.hour < 12 else "PM"),
    ("pm", lambda t: "am" if t.hour < 12 else "pm"),
    ("Z07:00", lambda t: _utc_or(t, ":")),
    ("Z0700", lambda t: _utc_or(t, "")),
    ("-07:00", lambda t: _offset(t, ":")),
    ("-0700", lambda t: _offset(t, "")),
    ("-07", lambda t: _offset(t, "")[:3]),
    ("1", lambda t: str(t.month)),
    ("2", lambda t: str(t.day)),
    ("3", lambda t: str(_hour(t))),
    ("4", lambda t: str(t.minute)),
    ("5", lambda t: str(t.second)),
)

# name -> (what it is called with, number of its arguments)
METHODS: dict[type, dict[str, tuple[Callable[..., object], int]]] = {
    Duration: {
        "Hours": (lambda d: d / (3600 * SECOND), 0),
        "Microseconds": (lambda d: int(d / 1000), 0),
        "Milliseconds": (lambda d: int(d / 1_000_000), 0),
        "Minutes": (lambda d: d / (60 * SECOND), 0),
        "Nanoseconds": (int, 0),
        "Seconds": (lambda d: d / SECOND, 0),
        "String": (str, 0),
    },
    Time: {
        "Day": (lambda t: t.part("day"), 0),
        "Format": (Time.format, 1),
        "Hour": (lambda t: t.part("hour"), 0),
        "IsZero": (lambda t: t.as_json() == "0001-01-01T00:00:00Z", 0),
        "Local": (lambda t: t.at("Local"), 0),
        "Minute": (lambda t: t.part("minute"), 0),
        "Month": (lambda t: t.format("January"), 0),
        "Second": (lambda t: t.part("second"), 0),
        "String": (str, 0),
        "UTC": (lambda t: t.at("UTC"), 0),
        "Unix": (Time.unix, 0),
        "UnixMilli": (lambda t: t.nano() // 1_000_000, 0),
        "UnixNano": (Time.nano, 0),
        "Weekday": (lambda t: t.format("Monday"), 0),
        "Year": (lambda t: t.part("year"), 0),
        "YearDay": (lambda t: int(t.format("002")), 0),
    },
}
