"""What all tests need, however busy the machine: threads that start under coverage, and time."""

from __future__ import annotations

import sys
import time
from typing import Any

from hypothesis import HealthCheck, settings

_settrace = sys.settrace


def _patient_settrace(function: Any) -> None:
    """`sys.settrace`, but that it waits for one that is just being set.

    CPython 3.11 refuses the second of two threads that set a trace function at the same time, and a
    thread that starts under coverage would end with that before it has run: whoever waits for it
    waits for ever.
    """
    while True:
        try:
            _settrace(function)
        except RuntimeError:
            time.sleep(0)
        else:
            return


if sys.version_info[:2] == (3, 11):
    sys.settrace = _patient_settrace

# How long an example takes is told of the machine, not of casstore.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
