"""Killed at a system call, a command leaves the state before or the state after.

Here a few points of each command; `tools/torture` goes through all of them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.crash.harness import SCENARIOS, Bench, Scenario

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
SAMPLE = 6


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_killed_command_leaves_the_state_before_or_after(
    scenario: Scenario, tmp_path: Path
) -> None:
    bench = Bench(scenario, tmp_path / "bench")
    for point in bench.points(SAMPLE):
        done = bench.kill(point)
        assert bench.verify(finished=done.returncode == 0) == "", f"killed at call {point}"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
@pytest.mark.parametrize("cause", ["ENOSPC", "EIO"])
def test_an_error_of_the_disk_is_one_clear_line_and_changes_nothing(
    scenario: Scenario, cause: str, tmp_path: Path
) -> None:
    bench = Bench(scenario, tmp_path / "bench")
    for point in bench.points(SAMPLE):
        done = bench.fail(point, cause)
        assert bench.verify(finished=done.returncode == 0) == "", f"{cause} at call {point}"
        assert bench.complaint(done) == "", f"{cause} at call {point}"
