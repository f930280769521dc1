"""The time as a store can note it."""

from __future__ import annotations

import time

_LAST = (1 << 63) - 1  # nanoseconds since 1970 that fit into a column of SQLite: in 2262
# In 2255, so that later times still fit. For a clock beyond it time stands still, and what ends at
# some time does not end.
CLOCK_STOPS = 9_000_000_000 * 1_000_000_000
# Last uses dated further ahead of the clock than this are ignored: they would protect for ever.
AHEAD = 3600 * 1_000_000_000


def current_time() -> int:
    """Nanoseconds since 1970, as far as a store can note them."""
    try:
        return min(time.time_ns(), CLOCK_STOPS)
    except OverflowError:  # Python's own clock ends there too
        return CLOCK_STOPS


def end_of(begin: int, duration: float) -> int:
    """When so many nanoseconds from `begin` are over, or the last moment that can be noted."""
    return max(-_LAST, min(begin + int(max(-_LAST, min(duration, _LAST))), _LAST))
