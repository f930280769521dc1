"""What came of each mutant, kept so that a run goes on where it stopped; and which are equivalent.

`equivalent.txt` lists mutants that no test can tell from casstore, each with the reason: its module
and function, the line before and after, and the reason as further lines, with a blank line between
mutants. They are not tried.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.mutation.mutants import Mutant

EQUIVALENT = Path(__file__).with_name("equivalent.txt")
_SURVIVED, _KILLED = 77, 78


class Outcome(NamedTuple):
    """`killed`, `survived`, `unreached` (no test executes it) or `equivalent`."""

    what: str
    by: str = ""
    tests: int = 0

    @classmethod
    def of(cls, status: int, told: str, tests: int) -> Outcome:
        if status == _SURVIVED:
            return cls("survived", "", tests)
        return cls("killed", told or f"a crash, or time ({status})", tests)


FORGOTTEN = Outcome("")


class Ledger:
    """The outcomes of all runs, a line of JSON each; the last one about a mutant counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._outcomes: dict[str, Outcome] = {}
        self.equivalent = set(read_equivalent(EQUIVALENT.read_text()))
        if path.exists():
            for line in path.read_text().splitlines():
                key, *outcome = json.loads(line)
                self._outcomes[key] = Outcome(*outcome)
        self._outcomes = {
            key: outcome for key, outcome in self._outcomes.items() if outcome != FORGOTTEN
        }

    def knows(self, mutant: Mutant) -> bool:
        return self.outcome(mutant) is not None

    def outcome(self, mutant: Mutant) -> Outcome | None:
        if mutant.key in self.equivalent:
            return Outcome("equivalent")
        return self._outcomes.get(mutant.key)

    def note(self, mutant: Mutant, outcome: Outcome) -> None:
        self._outcomes[mutant.key] = outcome
        with self._path.open("a") as file:
            file.write(json.dumps([mutant.key, *outcome]) + "\n")

    def forget(self, mutants: Iterable[Mutant], what: Iterable[str]) -> None:
        """Have the mutants tried again of which one of these came."""
        for mutant in mutants:
            outcome = self._outcomes.get(mutant.key)
            if outcome is not None and outcome.what in what:
                self.note(mutant, FORGOTTEN)
                del self._outcomes[mutant.key]

    def count(self, mutants: Iterable[Mutant]) -> Counter[str]:
        """How many came to what; `untried` are those that no run has come to."""
        outcomes = (self.outcome(mutant) for mutant in mutants)
        return Counter("untried" if one is None else one.what for one in outcomes)


def read_equivalent(text: str) -> dict[str, str]:
    """Each mutant by its key, with the reason."""
    found = {}
    for block in text.split("\n\n"):
        lines = [line for line in block.strip().splitlines() if not line.startswith("#")]
        if not lines:
            continue
        if len(lines) < 4 or not lines[1].startswith("- ") or not lines[2].startswith("+ "):
            raise ValueError(f"no mutant with a reason: {block}")
        found["\n".join(lines[:3])] = " ".join(lines[3:])
    return found
