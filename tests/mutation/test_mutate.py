"""tools/mutate on a package of a few lines: it finds what its tests do not notice."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutation.reach import ROOT

MODULE = """\
LIMIT = 1


def add(total, number):
    if number > 0:
        total.append(number)
        total.sort()
    return total


def is_over(total):
    return len(total) > LIMIT
"""
TESTS = """\
from casstore.sums import add, is_over


def test_a_number_is_added():
    assert add([], 2) == [2]


def test_what_is_negative_is_not():
    assert add([], -2) == []


def test_a_limit():
    assert is_over([1, 2])
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of its own, with the tool and one module that is not tested well."""
    for name in ("casstore", "tests/mutation", "tools"):
        (tmp_path / name).mkdir(parents=True)
    for path in (ROOT / "tests" / "mutation").glob("*.py"):
        shutil.copy(path, tmp_path / "tests" / "mutation")
    shutil.copy(ROOT / "tools" / "mutate", tmp_path / "tools")
    (tmp_path / "tests/mutation/equivalent.txt").write_text(
        "casstore/sums.py add\n- if number > 0:\n+ if number >= 0:\nFor the test's sake.\n"
    )
    (tmp_path / "casstore/__init__.py").touch()
    (tmp_path / "casstore/sums.py").write_text(MODULE)
    (tmp_path / "tests/test_sums.py").write_text(TESTS)
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\npythonpath = ['.']\n")
    return tmp_path


def mutate(project: Path, *words: str) -> list[str]:
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(project)}
    done = subprocess.run(
        [sys.executable, "tools/mutate", "casstore/sums.py", *words],
        cwd=project, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    return done.stdout.splitlines()


def test_what_no_test_notices_is_told_as_a_difference(project: Path) -> None:
    assert mutate(project, "--jobs", "2", "--matching", "total.") == [
        "",
        "casstore/sums.py:7: survived, 1 tests",
        "casstore/sums.py add",
        "- total.sort()",
        "+ pass",
        "",
        "casstore/sums.py: 2 mutants: 1 killed, 1 survived",
        "all: 2 mutants: 1 killed, 1 survived",
    ]


def test_the_outcome_is_counted_and_a_second_run_has_nothing_to_do(project: Path) -> None:
    counted = "all: 10 mutants: 1 equivalent, 5 killed, 4 survived"

    assert mutate(project)[-1] == counted
    (project / "tests/test_sums.py").unlink()
    assert mutate(project)[-1] == counted


def test_a_mutant_outside_of_functions_is_tried_too(project: Path) -> None:
    assert "+ LIMIT = 0" in mutate(project, "--matching", "LIMIT = ")


def test_what_only_a_forked_process_of_a_test_reaches_is_tried(project: Path) -> None:
    with (project / "casstore/sums.py").open("a") as file:
        file.write("\n\ndef one(child):\n    if child:\n        return 1\n    return 0\n")
    with (project / "tests/test_sums.py").open("a") as file:
        file.write("\n\ndef test_in_a_child():\n    import os\n    from casstore.sums import one\n")
        file.write("    assert one(False) == 0\n    child = os.fork()\n    if child == 0:\n")
        file.write("        os._exit(one(True))\n    assert os.waitpid(child, 0)[1] == 256\n")

    assert mutate(project, "--matching", "return 1")[-1] == "all: 2 mutants: 2 killed"


def test_what_survived_can_be_tried_again(project: Path) -> None:
    mutate(project)
    with (project / "tests/test_sums.py").open("a") as file:
        file.write("\n\ndef test_the_order():\n    assert add([2], 1) == [1, 2]\n")

    assert "- total.sort()" not in mutate(project, "--again")


def test_a_module_that_a_test_reached_and_that_is_gone_ends_nothing(project: Path) -> None:
    other = project / "casstore/other.py"
    other.write_text("def one():\n    return 1\n")
    with (project / "tests/test_sums.py").open("a") as file:
        file.write("\n\ndef test_one():\n    import sys\n    if 'casstore.other' in sys.modules:\n")
        file.write("        assert sys.modules['casstore.other'].one() == 1\n")
    before = mutate(project)[-1]
    other.unlink()

    assert mutate(project, "--again")[-1] == before
