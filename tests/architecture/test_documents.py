"""What the documents say is what the program does."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from configparser import ConfigParser

import pytest

import casstore
from casstore.cli.main import COMMANDS
from tests.architecture.sources import PACKAGE, ROOT, modules
from tests.architecture.test_floors import FLOOR_OF

README = ROOT / "README.md"
ARCHITECTURE = ROOT / "ARCHITECTURE.md"
CHANGELOG = ROOT / "CHANGELOG.md"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_shows_every_command(command: str) -> None:
    assert re.search(rf"\b{command}\b", README.read_text(encoding="utf-8"))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_module_with_its_help(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "casstore", command, "--help"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.lstrip().startswith(f"Usage:  casstore {command} ")
    assert COMMANDS[command] in done.stdout


def test_the_man_pages_are_those_that_the_parsers_give() -> None:
    done = subprocess.run(
        [sys.executable, "tools/man", "--check"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_map_shows_every_room_floor_by_floor() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    shown = re.findall(r"^ {4}([\w./]+)(?: +([\w./]+))?  ", text, re.MULTILINE)
    rooms = [re.split(r"[/.]", name)[0] for line in shown for name in line if name]
    floors = [FLOOR_OF[room] for room in rooms]

    assert set(rooms) == FLOOR_OF.keys()
    assert floors == sorted(floors)


def test_the_format_of_the_store_is_specified() -> None:
    assert (PACKAGE / "backends" / "local" / "FORMAT.md").is_file()


def test_every_public_name_can_be_had() -> None:
    assert all(getattr(casstore, name) is not None for name in casstore.__all__)


def test_every_fixture_and_marker_of_the_plugin_is_in_the_readme() -> None:
    plugin = next(m for m in modules() if m.path == "pytest_plugin/__init__.py")
    fixtures = re.findall(r"^def (casstore_\w+)\(", plugin.text, re.MULTILINE)
    markers = re.findall(r'"(casstore_\w+)[:(]', plugin.text)
    text = README.read_text(encoding="utf-8")

    assert len(fixtures) == 8
    assert len(markers) == 4
    assert [name for name in [*fixtures, *markers] if name not in text] == []


def test_the_changelog_has_the_version() -> None:
    assert casstore.__version__ in CHANGELOG.read_text(encoding="utf-8")


def test_the_package_is_described_in_one_file_and_the_tools_are_told_in_the_other() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    assert {name.partition(".")[0] for name in setup.sections()} == {"metadata", "options"}
    assert set(tools) == {"build-system", "tool"}


def test_no_file_that_a_tool_prefers_to_those_two_is_there() -> None:
    preferred = """
        setup.py MANIFEST.in requirements.txt pytest.ini .pytest.ini tox.ini conftest.py
        mypy.ini .mypy.ini ruff.toml .ruff.toml .flake8 .coveragerc noxfile.py
        """

    assert [name for name in preferred.split() if (ROOT / name).exists()] == []


def test_each_dependency_has_a_place_where_it_is_used() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    needed = {
        re.split(r"[ <>=~]", line)[0]
        for line in setup["options"]["install_requires"].split("\n")
        if line and not line.startswith("#")
    }
    imported = {name.split(".")[0] for module in modules() for name in module.imports()}

    assert needed <= imported
