"""Killed at a system call, a command leaves the state before or the state after.

Here a few points of each command; `tools/torture kill` goes through all of them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.harness import Bench
from tests.crash.registry import serving
from tests.crash.scenarios import SCENARIOS, Scenario, named

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
SAMPLE = 2


@pytest.fixture(scope="module")
def registry() -> Iterator[None]:
    with serving():
        yield


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_killed_command_leaves_the_state_before_or_after(
    scenario: Scenario, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if scenario.needs_registry:
        request.getfixturevalue("registry")
    if scenario.unpacks and os.geteuid() != 0:
        pytest.skip("the tree has a directory that only root may look into")
    bench = Bench(scenario, tmp_path / "bench")
    for point in bench.points(SAMPLE):
        assert bench.killed(point) == "", f"killed at call {point}"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("command", ["load beside", "rmi", "save"])
def test_a_command_that_is_asked_to_end_leaves_the_state_before_or_after(
    command: str, name: str, tmp_path: Path
) -> None:
    bench = Bench(named(command), tmp_path / "bench")
    for point in bench.points(SAMPLE):
        assert bench.killed(point, name) == "", f"{name} at call {point}"
