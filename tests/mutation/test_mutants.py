"""The changes that tools/mutate makes, and those that it does not."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.mutation.ledger import EQUIVALENT, Ledger, Outcome, read_equivalent
from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.reach import ROOT


def mutants(code: str) -> list[Mutant]:
    return mutants_of("module.py", textwrap.dedent(code))


def changes(code: str) -> list[str]:
    """What becomes of the lines of a function with this body, line before and after."""
    body = textwrap.indent(textwrap.dedent(code), "    ")
    return [f"{one.before} -> {one.after}" for one in mutants(f"def f(x):\n{body}\n")]


@pytest.mark.parametrize(
    ("line", "mutated"),
    [
        ("g()", ["pass"]),
        ("x.y = g()", ["pass"]),
        ("y = g()", []),
        ("return g()", ["return None"]),
        ("return x < y", ["return None", "return x <= y", "return x >= y"]),
        ("y = x is not None", ["y = x is None"]),
        ("y = a and b", ["y = a or b", "y = b", "y = a"]),
        ("y = g(a or b)", ["y = g((a and b))", "y = g(b)", "y = g(a)"]),
        ("y = not a", ["y = (a)"]),
        ("y = z[0]", ["y = z[1]"]),
        ("y = True", ["y = False"]),
        ("y = a + b", ["y = a - b"]),
        ("y = a + 'text'", []),
        ("y = sorted(z, key=k)", ["y = list(z)"]),
        ("y = [a for a in z if a]", ["y = [a for a in z if not a]"]),
    ],
)
def test_one_thing_is_changed_at_a_time(line: str, mutated: list[str]) -> None:
    assert changes(line) == [f"{line} -> {one}" for one in mutated]


def test_a_condition_is_turned_round_and_what_depends_on_it_left_out() -> None:
    assert changes("if x:\n    raise Wrong('a text', 1)") == [
        "if x: -> if not x:",
        "raise Wrong('a text', 1) -> pass",
        "raise Wrong('a text', 1) -> raise Wrong('a text', 0)",
    ]


def test_a_loop_goes_on_where_it_should_end_and_ends_where_it_should_go_on() -> None:
    assert changes("for a in x:\n    if a > 2:\n        break\n    continue")[2:] == [
        "break -> continue", "continue -> break", "continue -> pass",
    ]  # fmt: skip


def test_what_no_test_can_notice_is_left_alone() -> None:
    code = '''
    """A docstring."""
    from __future__ import annotations

    __all__ = ["f" + g(1)]
    T = TypeVar("T", covariant=True)
    Path: TypeAlias = str | bytes
    TYPE_CHECKING = False
    if TYPE_CHECKING:
        from somewhere import Something

    class C:
        """Another."""

        field: Literal[1]

        def __repr__(self) -> str:
            return f"{1}"

    def f(x: Literal[0]) -> Literal[True]:
        assert x is not None
        if x:
            raise NotImplementedError
        print(f"{x[1]} of {len(x) + 1}") if False else None
    '''

    assert [one.after for one in mutants(code)] == [
        "if not x:", "pass", 'print(f"{x[1]} of {len(x) + 1}") if True else None',
    ]  # fmt: skip


def test_a_mutant_is_known_by_its_function_and_not_by_its_line() -> None:
    code = "class C:\n    def f(self):\n        return self.x\n"

    assert {one.key for one in mutants(code)} == {one.key for one in mutants("import os\n" + code)}


def test_the_same_change_twice_in_a_function_is_two_mutants() -> None:
    first, second = mutants("def f():\n    g()\n    g()\n")

    assert first.key != second.key
    assert (first.line, second.line) == (2, 3)


def test_every_mutant_is_python() -> None:
    path = "casstore/rules/removal.py"
    for mutant in mutants_of(path, (ROOT / path).read_text()):
        compile(mutant.source, path, "exec")


def test_a_run_goes_on_where_the_last_one_stopped(tmp_path: Path) -> None:
    mutant = mutants("def f():\n    g()\n")[0]
    path = tmp_path / "outcomes"
    Ledger(path).note(mutant, Outcome("survived", "", 3))

    assert Ledger(path).outcome(mutant) == Outcome("survived", "", 3)
    Ledger(path).forget([mutant], ["survived"])
    assert not Ledger(path).knows(mutant)


def test_each_mutant_that_is_called_equivalent_exists_and_has_a_reason() -> None:
    equivalent = read_equivalent(EQUIVALENT.read_text())
    modules = {key.partition(" ")[0] for key in equivalent}
    there = {
        mutant.key for path in modules for mutant in mutants_of(path, (ROOT / path).read_text())
    }

    assert sorted(equivalent.keys() - there) == []
    assert all(equivalent.values())
