"""Every Python file of the project is type-checked, and checked strictly."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.sources import ROOT


def configured() -> dict[str, Any]:
    settings: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    return settings


def is_python(path: Path) -> bool:
    if path.suffix:
        return path.suffix == ".py"
    with path.open("rb") as file:
        first = file.readline(100)
    return first.startswith(b"#!") and b"python" in first


def test_every_python_file_is_type_checked() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a checkout of git")
    named = set(configured()["files"])
    unchecked = [
        name
        for name in listed.stdout.split("\0")
        if name and (ROOT / name).is_file() and is_python(ROOT / name)
        if not any(name == one or name.startswith(f"{one}/") for one in named)
    ]

    assert unchecked == []


def test_the_checks_are_strict() -> None:
    settings = configured()

    assert settings["strict"] is True
    assert "overrides" not in settings
