"""Inputs that are nearly right get one line and change nothing. `tools/torture fuzz` tries more."""

from __future__ import annotations

import argparse
import importlib.util
import time
from pathlib import Path
from random import Random

import pytest

from tests.crash import torture
from tests.property.hostile import ALL_KINDS
from tests.property.mutation import Choices
from tests.property.victim import Kind, Victim

OF_EACH = 2


def chance(seed: int = 1) -> Random:
    return Random(seed)  # noqa: S311 - an input to repeat


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Victim:
    folder = tmp_path_factory.mktemp("fuzz")
    return Victim(folder / "victim", ALL_KINDS, folder / "findings")


@pytest.mark.parametrize("kind", dict.fromkeys(ALL_KINDS), ids=lambda kind: kind.__name__)
def test_an_input_that_is_nearly_right_is_taken_or_refused_and_nothing_else(
    victim: Victim, kind: Kind
) -> None:
    for seed in range(OF_EACH):
        assert victim.problem(chance(seed), str(seed), (kind,)) == ""


def broken(victim: Victim, _: Random) -> None:
    victim.run("rmi", "nosuch:1", fails=False)


def littering(victim: Victim, _: Random) -> None:
    (victim.secret.parent / "new").touch()
    victim.run("images")


def test_what_goes_wrong_is_told_with_the_commands_and_the_input_kept(
    victim: Victim, tmp_path: Path
) -> None:
    told = victim.problem(chance(), "1", (broken,))

    assert "broken: exit status 1" in told and "No such image" in told
    kept = Path(told.rpartition(" ")[2])
    assert (kept / "COMMANDS").read_text() == "'rmi' 'nosuch:1'\n"


def test_a_file_outside_of_the_store_is_noticed(victim: Victim) -> None:
    told = victim.problem(chance(), "1", (littering,))
    (victim.secret.parent / "new").unlink()

    assert "wrote outside" in told


def test_memory_is_bounded_and_out_of_it_is_a_finding(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hungry(victim: Victim, _: Random) -> None:
        victim.run("images")

    monkeypatch.setattr("tests.property.victim.main", lambda words: len(bytearray(1 << 30)))
    with pytest.raises(MemoryError):
        victim.problem(chance(), "1", (hungry,))


def test_a_command_that_hangs_is_a_finding(
    victim: Victim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hanging(victim: Victim, _: Random) -> None:
        victim.run("images")

    monkeypatch.setattr("tests.property.victim.HANGING", 0.05)
    monkeypatch.setattr("tests.property.victim.main", lambda words: time.sleep(60))

    assert "not done after" in victim.problem(chance(), "1", (hanging,))


def test_choices_are_those_of_their_bytes_and_then_always_the_same() -> None:
    assert Choices(b"\x70").choice(range(8)) == 7  # the first four bits of a byte
    assert [Choices(b"ab").random() for _ in range(2)] == [Choices(b"ab").random()] * 2
    assert Choices(b"").randbytes(8) == Choices(b"").randbytes(8)


def test_without_atheris_the_guided_form_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    good, told = torture.fuzz(argparse.Namespace(guided=True, seed=1))

    assert not good and "atheris is not installed" in told and "\n" not in told
