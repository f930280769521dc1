"""The random histories of images in several forms (test_forms.py), for as long as is wished."""

from __future__ import annotations

import time
import traceback
from typing import NamedTuple

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.property.test_forms import Forms

HISTORIES_AT_ONCE = 50
STEPS = 40  # at most, of one history


class Lived(NamedTuple):
    """What became of some minutes."""

    histories: int
    steps: int
    wrong: list[str]


def live(seed: int, minutes: float) -> Lived:
    """Histories until the time is over; what is told of one that goes wrong has its steps."""
    end = time.monotonic() + minutes * 60
    wrong = []
    histories = steps = 0
    while time.monotonic() < end:
        Forms.histories = Forms.steps = 0
        try:
            run_state_machine_as_test(
                hypothesis.seed(seed)(Forms),
                settings=settings(
                    max_examples=HISTORIES_AT_ONCE,
                    stateful_step_count=STEPS,
                    deadline=None,
                    database=None,
                    phases=[Phase.generate],  # to shrink one takes minutes: other seeds find more
                    report_multiple_bugs=False,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            notes = "\n".join(getattr(error, "__notes__", ()))
            trace = "".join(traceback.format_exception(error)[-6:])
            wrong.append(f"history of seed {seed}:\n{notes}\n{trace}")
        histories, steps = histories + Forms.histories, steps + Forms.steps
        seed += 1
    return Lived(histories, steps, wrong)
