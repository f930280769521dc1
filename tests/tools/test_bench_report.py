"""tools/bench: what becomes of the figures when all has been measured."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest

from tests.architecture.sources import ROOT


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module that writes the report, found where tools/bench finds it."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("benchmarks.report")


def grown(report: ModuleType, **figures: dict[int, float]) -> list[str]:
    """The table of growth, from each command's processor time by the size of the store."""
    rows = [
        report.Row(f"{size} images: {verb}", "casstore", 3, cpu, cpu, 0)
        for verb, taken in figures.items()
        for size, cpu in taken.items()
    ]
    lines: list[str] = report.growth(rows)
    return lines


def test_a_figure_of_several_runs_says_how_far_they_differ(report: ModuleType) -> None:
    row = report.Row(
        "tag", "casstore", 3, 0.02, 1.5, 0, wall_range=(0.0188, 0.0312), cpu_range=(1.25, 1.75)
    )

    table: str = report.table([row], {}, [])

    assert "| 20.0 ms (18.8 to 31.2) | 1.50 s (1.25 to 1.75) |" in table


def test_a_figure_of_one_run_stands_alone(report: ModuleType) -> None:
    row = report.Row("tag", "casstore", 1, 0.02, 0.0, 0, wall_range=(0.02, 0.02))

    assert "| 1 | 20.0 ms |  |" in report.table([row], {}, [])


def test_time_in_proportion_to_the_store_has_a_slope_of_one(report: ModuleType) -> None:
    table = grown(report, df={10: 0.01, 100: 0.1, 1000: 1.0})

    assert "| df | 10.0 ms | 100.0 ms | 1.00 s | 1.00 |" in table


def test_a_command_measured_at_one_size_has_no_slope(report: ModuleType) -> None:
    table = grown(report, rmi={10: 0.01}, listing={10000: 0.5})

    assert "| rmi | 10.0 ms |  |  |" in table
    assert "| listing |  | 500.0 ms |  |" in table


def test_a_time_too_short_to_be_seen_counts_for_no_slope(report: ModuleType) -> None:
    table = grown(report, rmi={10: 0.0, 100: 0.01})

    assert "| rmi |  | 10.0 ms |  |" in table
