"""Inputs that are nearly right get one line and change nothing. `tools/torture fuzz` tries more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.property.mutation import Victim


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CASSTORE_DEBUG", "1")
        yield Victim(Path(tmp_path_factory.mktemp("victim")))


@given(seed=st.integers(0, 1 << 40))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_an_input_that_is_nearly_right_is_taken_or_refused_and_nothing_else(
    victim: Victim, seed: int
) -> None:
    assert victim.problem(Random(seed)) == ""  # noqa: S311 - hypothesis chooses
