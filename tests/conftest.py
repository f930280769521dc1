"""What all tests need: threads that start under a tracer."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any


class _PatientSys:
    """`sys`, but that setting a trace function waits for one that is just being set.

    CPython 3.11 refuses the second of two threads that set one at the same time, and a thread that
    starts under coverage would end with that, before it has run; whoever waits for it waits for
    ever.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)

    def settrace(self, function: Any) -> None:
        while True:
            try:
                return sys.settrace(function)
            except RuntimeError:
                time.sleep(0)


def _be_patient() -> None:
    vars(threading)["_sys"] = _PatientSys()  # where a thread looks it up
    collector = sys.modules.get("coverage.collector")
    if collector is not None:
        vars(collector)["sys"] = _PatientSys()  # which sets and unsets its own


if sys.version_info[:2] == (3, 11):
    _be_patient()
