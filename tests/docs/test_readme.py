"""The README is true: its example runs, and what it points to is there."""

from __future__ import annotations

import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

import casstore
from casstore import Store
from casstore.cli.helppages import STATUSES
from casstore.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
DOCUMENTS = (
    "README.md", "ARCHITECTURE.md", "CHANGELOG.md", "tests/README.md",
    "casstore/backends/local/FORMAT.md",
    "docs/gc.md", "docs/python.md", "docs/trust.md",
)  # fmt: skip


def output_of(example: str, folder: Path) -> str:
    (folder / "fixtures").symlink_to(ROOT / "fixtures")
    done = subprocess.run(
        [sys.executable, "-c", example],
        cwd=folder, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_python_example_runs(tmp_path: Path) -> None:
    told = output_of(EXAMPLES[0], tmp_path)

    assert "Conflict" in told
    assert "No such image: nosuch:latest" in told


def test_the_example_of_the_document_runs(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PYTHON, re.DOTALL)

    told = output_of(example, tmp_path)

    assert "Loading 0 " in told
    assert "Saving " in told
    assert (tmp_path / "layout" / "index.json").exists()


@pytest.mark.parametrize("name", casstore.__all__)
def test_every_public_name_is_explained(name: str) -> None:
    assert re.search(rf"`(?:casstore\.)?{name}\b", PYTHON) or f"`{name}(" in README


def test_the_example_of_the_plugin_is_python() -> None:
    compile(EXAMPLES[1], "README.md", "exec")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_shown_in_use(command: str) -> None:
    assert re.search(rf"\bcasstore {command}\b", README)


@pytest.mark.parametrize("status", [status for status, _ in STATUSES])
def test_every_exit_status_is_explained(status: int) -> None:
    assert f"\n| {status} | " in README


@pytest.mark.parametrize("path", DOCUMENTS)
def test_files_that_a_document_names_are_there(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    named = re.findall(r"`((?:casstore|docs|tests|tools|fixtures|man|completions)/[\w./-]*)`", text)

    missing = [name for name in named if not (ROOT / name).exists()]

    assert [name for name in missing if name != "fixtures/busybox.tar"] == []


def test_modules_that_the_map_and_the_table_name_are_there() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_]+/[\w./-]*)`", text))
    for line in re.findall(r"^ {4}(.{31})\S", text, re.MULTILINE):
        named |= set(line.split())
    roots = (ROOT, ROOT / "casstore")
    in_a_store = {"blobs/sha256/", "ingest/"}

    missing = [name for name in named if not any((root / name).exists() for root in roots)]

    assert set(missing) - in_a_store == set()


def test_the_demo_builds_from_all_that_setup_names() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    options = setup["options"]
    named = f"{setup['metadata']['license_files']}\n{options['scripts']}\n" + "\n".join(
        setup["options.data_files"].values()
    )
    wanted = {path.split("/")[0] for path in named.split()} | {"casstore", "README.md"}
    copied = re.search(r"^cp -R (.*) ", (ROOT / "tools" / "demo").read_text(), re.MULTILINE)

    assert copied
    assert wanted - set(copied[1].split()) == set()


def test_every_method_of_store_is_in_the_readme() -> None:
    methods = [name for name in dir(Store) if not name.startswith("_")]
    methods += [
        f"{part}.{name}"
        for part in ("leases", "trash", "settings")
        for name in dir(getattr(Store, part))
        if not name.startswith("_")
    ]
    told = README.partition("## From Python")[2].partition("## In tests")[0]

    assert [name for name in methods if f"`{name}`" not in told and f".{name}(" not in told] == []


def test_no_item_and_no_heading_stands_twice() -> None:
    for path in DOCUMENTS:
        lines = [
            line for line in (ROOT / path).read_text(encoding="utf-8").splitlines()
            if line.startswith(("- ", "## "))
        ]  # fmt: skip
        doubled = {line for line in lines if lines.count(line) > 1}
        assert doubled == set(), path
