"""tools/find-python and .ci/run: which Pythons there are, and what is run on them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT


class Machine:
    """A machine on whose PATH there are interpreters of the test's own before all others."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "bin"
        self.path.mkdir()
        self.home = folder / "home"
        self.program("id", "echo 1000")  # so that nobody is root and makes users

    def program(self, name: str, *lines: str) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text("\n".join(["#!/bin/sh", *lines, ""]))
        (self.path / name).chmod(0o755)

    def python(self, version: str, name: str = "") -> str:
        """An interpreter that says it is of this version; its path."""
        name = name or f"python{version}"
        self.program(name, f'echo "{version} $0"')
        return str(self.path / name)

    def says(self, *words: str) -> list[str]:
        """The lines that a command prints, of the test's own interpreters."""
        environment = {
            "PATH": f"{self.path}:/usr/bin:/bin", "HOME": str(self.home),
            "PYENV_ROOT": str(self.path / "pyenv"),
        }  # fmt: skip
        done = subprocess.run(
            words, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
        )
        return [line for line in done.stdout.splitlines() if str(self.path) in line]

    def pythons(self) -> list[str]:
        return self.says("bash", "-euo", "pipefail", "-c", ". tools/find-python; find_pythons")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_pythons_are_found_on_path_and_at_pyenv_the_oldest_first(machine: Machine) -> None:
    fourteen = machine.python("3.14")
    eleven = machine.python("3.11")
    twelve = machine.python("3.12", "pyenv/versions/3.12.9/bin/python3")

    assert machine.pythons() == [f"3.11 {eleven}", f"3.12 {twelve}", f"3.14 {fourteen}"]


def test_a_python_with_several_names_is_one(machine: Machine) -> None:
    path = machine.python("3.12")
    os.symlink(path, machine.path / "python3")

    assert machine.pythons() == [f"3.12 {path}"]


def test_a_python_that_is_too_old_or_does_not_start_is_none(machine: Machine) -> None:
    machine.program("python3.12", "exit 0")  # prints nothing: that is what an old one does
    machine.program("python3.13", "echo 'pyenv: python3.13: command not found' >&2", "exit 127")

    assert machine.pythons() == []


def test_ci_runs_each_python_that_is_claimed_and_tells_of_the_others(machine: Machine) -> None:
    for version in ("3.11", "3.12", "3.13", "3.19"):
        machine.python(version)

    lines = [line.replace(f"{machine.path}/", "") for line in machine.says(".ci/run", "--list")]

    assert [" ".join(line.split()) for line in lines] == [
        "3.11 python3.11",
        "3.12-space python3.12",
        "3.13-space python3.13",
        "not run: Python 3.19 (python3.19), which setup.cfg does not claim",
    ]
