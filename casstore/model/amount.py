"""Sizes, shares and lengths of time as people write them in options and policy files.

Strict on purpose: what is not one of the forms below is refused, for a policy that is misread
removes images. Units of a thousand are written as casstore shows sizes (`50GB` is 50 * 10**9
bytes), those of 1024 with an i (`50GiB`).
"""

from __future__ import annotations

from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SECOND = 10**9
MAX_DIGITS = 15  # of one number, before and after its point
MAX_SIZE = (1 << 63) - 1  # bytes; sizes are int64 everywhere
MAX_DURATION = 1000 * 365 * 86400 * SECOND  # a thousand years: past it a date is a slip
WHOLE = 10_000  # a share of one, in hundredths of a percent

_SIZES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "PB": 10**15,
          "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "KIB": 1 << 10,
          "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40, "PIB": 1 << 50}  # fmt: skip
_DURATIONS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": SECOND, "m": 60 * SECOND,
              "h": 3600 * SECOND, "d": 86400 * SECOND, "w": 7 * 86400 * SECOND}  # fmt: skip
_SHOWN = (("d", 86400 * SECOND), ("h", 3600 * SECOND), ("m", 60 * SECOND), ("s", SECOND))
_SHOWN_SIZES = (("PB", 10**15), ("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3))
_DIGITS = frozenset("0123456789")
_NUMBER = _DIGITS | {"."}


class Space(Value):
    """An amount of space: bytes, or a share of the file system."""

    bytes: int  # 0 where it is a share
    share: int | None  # of WHOLE; None for bytes

    def of(self, total: int) -> int:
        """Bytes, on a file system of `total` bytes."""
        return self.bytes if self.share is None else total * self.share // WHOLE

    def __str__(self) -> str:
        return size_text(self.bytes) if self.share is None else share_text(self.share)


def parse_size(text: str) -> int | None:
    """Bytes: a number with or without a unit (`50GB`, `1.5 TiB`, `1000`); None if it is none."""
    return _measure(text, _SIZES, MAX_SIZE)


def parse_share(text: str) -> int | None:
    """A share of one in hundredths of a percent, from `85%` or `12.5%`; None if it is none."""
    if not text.endswith("%"):
        return None
    return _measure(text[:-1], {"": WHOLE // 100}, WHOLE)


def parse_space(text: str) -> Space | None:
    """A size, or a share of the file system; None if it is neither."""
    share = parse_share(text)
    if share is not None:
        return Space(0, share)
    size = parse_size(text)
    return None if size is None else Space(size, None)


def parse_duration(text: str) -> int | None:
    """Nanoseconds, from numbers with units (`7d`, `1h30m`, `90s`, `2w`); None if it is none."""
    total, at = 0, 0
    while at < len(text):
        start = at
        while at < len(text) and text[at] in _NUMBER:
            at += 1
        number = text[start:at]
        start = at
        while at < len(text) and text[at] not in _NUMBER:
            at += 1
        part = _scaled(number, _DURATIONS.get(text[start:at]))
        if part is None:
            return None
        total += part
        if total > MAX_DURATION:
            return None
    return total if text else None


def duration_text(length: int) -> str:
    """A length of time in its largest whole unit, as policies write it: `9d`, `45s`."""
    for unit, worth in _SHOWN:
        if length >= worth:
            return f"{length // worth}{unit}"
    return "0s"


def size_text(size: int) -> str:
    """A size as policies write it: `50GB`, `1.5MB`, `7B`."""
    for unit, worth in _SHOWN_SIZES:
        if size >= worth:
            return f"{size / worth:.4g}{unit}"
    return f"{size}B"


def share_text(share: int) -> str:
    """A share as policies write it: `85%`."""
    return f"{share / (WHOLE // 100):g}%"


def _measure(text: str, units: Mapping[str, int], most: int) -> int | None:
    at = 0
    while at < len(text) and text[at] in _NUMBER:
        at += 1
    unit = text[at:].removeprefix(" ")
    value = _scaled(text[:at], units.get(unit.upper() if unit.isascii() else unit))
    return value if value is not None and value <= most else None


def _scaled(number: str, unit: int | None) -> int | None:
    """`number` times `unit`, exactly, rounded down; None where either is not well formed."""
    whole, point, rest = number.partition(".")
    if unit is None or not whole or not _DIGITS.issuperset(whole + rest) or (point and not rest):
        return None
    if len(whole) > MAX_DIGITS or len(rest) > MAX_DIGITS:
        return None
    return int(whole) * unit + (int(rest) * unit // 10 ** len(rest) if rest else 0)
