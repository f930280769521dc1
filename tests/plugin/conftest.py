"""Runs pytest in pytest, with the plugin loaded whether or not casstore is installed."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

Run = Callable[..., pytest.RunResult]

INSTALLED = any(point.name == "casstore" for point in entry_points(group="pytest11"))
PLUGIN = () if INSTALLED else ("-p", "casstore.pytest_plugin")
# Of no use to the inner run; hypothesis alone takes most of its time.
WITHOUT = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
ROOT = Path(__file__).resolve().parents[2]
ARCHIVES = ROOT / "fixtures" / "images" / "docker-save"


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Write a test module and run it; arguments go to the inner pytest."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)  # of workers and subprocesses
    pytester.makeini("[pytest]\naddopts = --strict-markers -W error\n")

    def run(source: str, *arguments: str) -> pytest.RunResult:
        pytester.makepyfile(source)
        return pytester.runpytest(*PLUGIN, *WITHOUT, *arguments)

    return run


@pytest.fixture
def archives(pytester: pytest.Pytester) -> Path:
    """The folder "archives" beside the inner test: archives that docker saved."""
    folder = pytester.path / "archives"
    folder.symlink_to(ARCHIVES)
    return folder
