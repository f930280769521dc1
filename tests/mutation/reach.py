"""Which test executes which lines of casstore, and how long it takes: what a mutant is tried with.

Made by running every test under coverage, in a forked process for each test file; one that has
changed is run again, and so is one that reaches a module that has. A test that does not pass there
is left out. What a test starts as a process is not seen.
"""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import coverage
import pytest

ROOT = Path(__file__).parents[2]


@functools.cache
def fingerprint(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


class Recorder:
    """Runs the tests of one file in this process, and writes down what they reach."""

    def __init__(self, items: Sequence[pytest.Item]) -> None:
        self._items = items
        self._current = ""
        self._seconds: dict[str, float] = {}
        self._bad: set[str] = set()
        # What a fixture of a wider scope executes counts for every test that uses it.
        self._used_by: dict[str, list[str]] = {}
        self._coverage = coverage.Coverage(
            data_file=None, source=[str(ROOT / "casstore")], branch=False, config_file=False
        )

    def run(self) -> dict[str, Any]:
        for item in self._items:
            for name in getattr(item, "fixturenames", ()):
                self._used_by.setdefault(f"fixture {name}", []).append(item.nodeid)
        self._coverage.start()
        for item, following in zip(self._items, [*self._items[1:], None], strict=True):
            self._current = item.nodeid
            self._coverage.switch_context(item.nodeid)
            started = time.monotonic()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            self._seconds[item.nodeid] = round(time.monotonic() - started, 4)
        self._coverage.stop()
        lines = self._lines()
        sources = {module: fingerprint(ROOT / module) for module in lines}
        return {
            "tests": self._seconds, "bad": sorted(self._bad), "sources": sources, "lines": lines,
        }  # fmt: skip

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:
            self._bad.add(report.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[object]
    ) -> Generator[None, object, object]:
        if fixturedef.scope == "function":
            return (yield)
        self._coverage.switch_context(f"fixture {fixturedef.argname}")
        try:
            return (yield)
        finally:
            self._coverage.switch_context(self._current)

    def _lines(self) -> dict[str, dict[str, str]]:
        data = self._coverage.get_data()
        found: dict[str, dict[str, str]] = {}
        for path in data.measured_files():
            masks: dict[str, int] = {}
            for line, contexts in data.contexts_by_lineno(path).items():
                for context in contexts:
                    for test in self._used_by.get(context, (context,)):
                        masks[test] = masks.get(test, 0) | 1 << line
            module = str(Path(path).relative_to(ROOT))
            found[module] = {test: f"{mask:x}" for test, mask in masks.items() if test}
        return found


class Reach:
    """The map as a whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.bad: set[str] = set()
        self.seconds: dict[str, float] = {}
        self._masks: dict[str, list[tuple[str, int]]] = {}

    def missing(self, files: Iterable[Path], modules: Iterable[str]) -> list[Path]:
        """The test files that are to be run: new, changed, or what they reach in `modules` has."""
        now = {module: fingerprint(ROOT / module) for module in modules}
        return [path for path in files if not self._is_known(path, now)]

    def _is_known(self, path: Path, now: Mapping[str, str]) -> bool:
        recorded = self._read(path)
        return recorded is not None and all(
            fingerprint == now.get(module, fingerprint)
            for module, fingerprint in recorded["sources"].items()
        )

    def _read(self, path: Path) -> dict[str, Any] | None:
        file = self._file(path)
        if not file.exists():
            return None
        found: dict[str, Any] = json.loads(file.read_text())
        return found

    def _file(self, path: Path) -> Path:
        return self._folder / f"{self._name(path)}-{fingerprint(path)}.json"

    @staticmethod
    def _name(path: Path) -> str:
        return str(path.relative_to(ROOT)).replace("/", "-").removesuffix(".py")

    def write(self, path: Path, recorded: dict[str, Any]) -> None:
        target = self._file(path)
        for old in self._folder.glob(f"{self._name(path)}-*.json"):
            old.unlink()
        part = target.with_suffix(".part")
        part.write_text(json.dumps(recorded))
        part.rename(target)

    def load(self, files: Iterable[Path]) -> None:
        for path in files:
            recorded = self._read(path)
            if recorded is None:
                continue
            bad = set(recorded["bad"])
            self.bad |= bad
            self.seconds |= recorded["tests"]
            for module, masks in recorded["lines"].items():
                source = ROOT / module  # it may be gone
                if not source.exists() or fingerprint(source) != recorded["sources"][module]:
                    continue
                self._masks.setdefault(module, []).extend(
                    (test, int(mask, 16)) for test, mask in masks.items() if test not in bad
                )

    def tests(self, module: str, lines: Iterable[int]) -> list[str]:
        """The tests that execute one of the lines, fastest first."""
        wanted = 0
        for line in lines:
            wanted |= 1 << line
        found = [test for test, mask in self._masks.get(module, ()) if mask & wanted]
        return sorted(found, key=lambda test: (self.seconds[test], test))
