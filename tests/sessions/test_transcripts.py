"""Recorded sessions of a real dockerd, replayed on casstore (fixtures/transcripts)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.sessions.replay")

from tests.sessions.replay import Session  # noqa: E402 - registered first

TRANSCRIPTS = Path(__file__).parents[2] / "fixtures" / "transcripts"
SCENARIOS = sorted(path.stem for path in TRANSCRIPTS.glob("*.json"))

# (scenario, step) -> our exit status and why it is not dockerd's. What such a step leaves in the
# store differs too; the scenario is compared again from where the two are equal.
DECIDED = {
    ("images-listing", 22): (0, "a pattern in full fits the name in full, as in Docker 28"),
    ("prune", 17): (1, "dangling=false would empty the store without a word: refused"),
    ("prune-filters", 14): (1, "a value that is no boolean is a slip: refused, not passed over"),
    ("save", 20): (0, "an image without layers is legal, so it can be saved"),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_recorded_session_goes_as_it_went_with_docker(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = json.loads((TRANSCRIPTS / f"{name}.json").read_text())
    (tmp_path / "archives").symlink_to(TRANSCRIPTS / "archives")
    monkeypatch.chdir(tmp_path)
    decided = {step: status for (where, step), (status, _) in DECIDED.items() if where == name}
    session = Session(scenario, TRANSCRIPTS, tmp_path, decided)
    try:
        for number, step in enumerate(scenario["steps"]):
            __tracebackhide__ = True
            try:
                session.step(number, step)
            except AssertionError as error:
                what = " ".join(step.get("argv", map(str, step.values())))
                error.add_note(f"in step {number} of {name}: {what}")
                raise
    finally:
        session.close()


def test_every_decision_is_about_a_recorded_step() -> None:
    for name, step in DECIDED:
        scenario = json.loads((TRANSCRIPTS / f"{name}.json").read_text())
        assert 0 <= step < len(scenario["steps"])
