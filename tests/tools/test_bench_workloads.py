"""tools/bench: what a workload is given to compare."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from tests.architecture.sources import ROOT


@pytest.fixture
def workloads(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module that has the workloads, found where tools/bench finds it."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("benchmarks.workloads")


def names(workloads: ModuleType, **options: tuple[str, str]) -> list[str]:
    bench = workloads.Bench(
        folder=Path("/nowhere"), python="/bin/python", tools={}, programs=frozenset(), runs=1,
        long_runs=1, megabytes=1, sizes=(), seed=1, **options,
    )  # fmt: skip
    return [tool.name for tool in bench.both("x")]


def test_casstore_is_measured_alone_where_no_earlier_one_is_asked_for(
    workloads: ModuleType,
) -> None:
    assert names(workloads) == ["casstore"]


def test_an_earlier_casstore_is_measured_beside(workloads: ModuleType) -> None:
    assert names(workloads, before=("abc123", "/old/python")) == ["casstore", "casstore abc123"]
