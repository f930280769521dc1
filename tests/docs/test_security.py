"""SECURITY.md says what the code does."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

TEXT = (Path(__file__).resolve().parents[2] / "SECURITY.md").read_text()
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
ROWS = re.findall(r"^\| [^|]+ \| (\d+)(?: (\w+))? \| `([\w.]+)\.(\w+)` \|$", TEXT, re.MULTILINE)


def test_the_table_of_limits_is_read_whole() -> None:
    table = TEXT.partition("## Limits")[2].partition("## ")[0]
    assert len(ROWS) == sum(line.startswith("| ") for line in table.splitlines()) - 1


@pytest.mark.parametrize(("number", "unit", "module", "name"), ROWS)
def test_a_limit_is_the_constant_that_it_names(
    number: str, unit: str, module: str, name: str
) -> None:
    assert getattr(importlib.import_module(module), name) == int(number) * UNITS.get(unit, 1)
