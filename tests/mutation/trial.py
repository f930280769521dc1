"""Trying mutants: a process is forked, given the mutant, and runs the tests that reach it.

A mutant inside a function takes the place of the function's code in a process that has casstore
and all tests loaded already (`Loaded`): that costs milliseconds. Any other, such as a constant of a
module, is there when casstore is imported (`Importing`), in a process that has to begin with that.
"""

from __future__ import annotations

import ast
import faulthandler
import functools
import gc
import importlib
import importlib.util
import json
import os
import pkgutil
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType
from typing import NoReturn

import pytest

from tests.mutation.ledger import Ledger, Outcome
from tests.mutation.mutants import FUNCTION, Mutant
from tests.mutation.reach import ROOT, Reach, Recorder

SURVIVED, KILLED = 77, 78  # exit statuses; any other is a crash, or time that ran out
# Seconds, and as often a test's own time, before a test counts as hanging: of the processor, for
# others may be using it, and of the clock, for a test that waits for ever uses none.
BUSY, WAITING = 5.0, 60.0
MEMORY = 6 << 30
KILLERS = 3  # tests that killed the last mutants of the same function are tried first
# The tests there start casstore as processes, where a mutant is not.
PROCESSES = ("architecture", "compat", "crash", "docs", "mutation", "scale")
ARGUMENTS = (
    "--capture=no", "-p", "no:cacheprovider", "-p", "no:terminalreporter", "-o",
    "faulthandler_timeout=0", "--assert=plain", "-q",
    *(f"--ignore=tests/{folder}" for folder in PROCESSES),
)  # fmt: skip


Functions = dict[tuple[str, str, int], list[FunctionType]]


class Pool:
    """Forked processes, so many at a time, each with a temporary directory of its own."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._running: dict[int, tuple[str, Callable[[int, str], None]]] = {}

    def start(self, work: Callable[[str], int], done: Callable[[int, str], None]) -> None:
        """Run `work` in a process; `done` gets its exit status and what it wrote."""
        while len(self._running) >= self._jobs:
            self._reap()
        folder = tempfile.mkdtemp(prefix="mutate-")
        process = os.fork()
        if process == 0:
            _work(work, folder)
        self._running[process] = folder, done

    def finish(self) -> None:
        while self._running:
            self._reap()

    def _reap(self) -> None:
        process, status = os.wait()
        folder, done = self._running.pop(process)
        try:
            os.killpg(process, signal.SIGKILL)
        except ProcessLookupError:
            pass
        told = Path(folder, "told")
        text = told.read_text() if told.exists() else ""
        shutil.rmtree(folder, ignore_errors=True)
        done(os.waitstatus_to_exitcode(status), text)


def _work(work: Callable[[str], int], folder: str) -> NoReturn:
    status = 1
    try:
        os.setsid()
        os.nice(19)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        status = work(folder)
    except BaseException:  # noqa: BLE001 - whatever it was, the tests did not go through
        status = KILLED
    finally:
        os._exit(status)


def _tell(folder: str, text: str) -> None:
    Path(folder, "told").write_text(text)


class Trier:
    """Runs tests one after another, and ends the process at the first that fails."""

    def __init__(self, folder: str, seconds: dict[str, float]) -> None:
        self._folder = folder
        self._seconds = seconds

    def run(self, items: Sequence[pytest.Item]) -> int:
        terminal = sys.__stderr__
        assert terminal is not None
        for item, following in zip(items, [*items[1:], None], strict=True):
            times = 1 + self._seconds.get(item.nodeid, 0)
            signal.setitimer(signal.ITIMER_PROF, BUSY * times)
            faulthandler.dump_traceback_later(WAITING * times, exit=True, file=terminal)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_PROF, 0)
        return SURVIVED

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            _tell(self._folder, report.nodeid)
            os._exit(KILLED)


class Loaded:
    """A pytest plugin that, in the place of the tests, makes the map and tries mutants."""

    def __init__(
        self, reach: Reach, ledger: Ledger, mutants: Sequence[Mutant], *, jobs: int, limit: float,
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._reach = reach
        self._ledger = ledger
        self._mutants = mutants
        self._pool = Pool(jobs)
        self._limit = limit
        self._say = say
        self._killers: dict[tuple[str, str], list[str]] = {}

    def pytest_configure(self) -> None:
        from hypothesis import settings

        settings.register_profile("mutation", database=None, derandomize=True, deadline=None)
        settings.load_profile("mutation")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        _import_all()
        files: dict[Path, list[pytest.Item]] = {}
        for item in session.items:
            files.setdefault(item.path, []).append(item)
        functions = _functions()
        gc.collect()
        gc.freeze()  # so that forked processes share what stays as it is
        self._make_map(files)
        self._reach.load(files)
        self._try_all({item.nodeid: item for item in session.items}, functions)
        return True

    def _make_map(self, files: dict[Path, list[pytest.Item]]) -> None:
        modules = {mutant.module for mutant in self._mutants}
        missing = self._reach.missing(files, modules)
        if missing:
            self._say(f"seeing what the tests in {len(missing)} files reach")
        for path in missing:
            self._pool.start(
                functools.partial(_record, files[path]),
                functools.partial(self._recorded, path),
            )
        self._pool.finish()

    def _recorded(self, path: Path, status: int, told: str) -> None:
        if status == SURVIVED:
            self._reach.write(path, json.loads(told))
        else:
            self._say(f"{path.relative_to(ROOT)}: could not be run ({status})")

    def _try_all(self, items: dict[str, pytest.Item], functions: Functions) -> None:
        for mutant in self._mutants:
            if self._ledger.knows(mutant):
                continue
            patch = mutant.outer and _patch(mutant, functions)
            if not patch:
                continue
            tests = self._tests(mutant, items, patch[0][0].__code__)
            if not tests:
                self._ledger.note(mutant, Outcome("unreached"))
                continue
            self._pool.start(
                functools.partial(
                    _try_loaded, patch, [items[test] for test in tests], self._reach.seconds
                ),
                functools.partial(self._tried, mutant, len(tests)),
            )
        self._pool.finish()

    def _tests(
        self, mutant: Mutant, items: dict[str, pytest.Item], function: CodeType
    ) -> list[str]:
        reaching = self._reach.tests(mutant.module, mutant.lines)
        if not reaching:  # but what a test forks may, which is not seen: those that come near
            reaching = self._reach.tests(mutant.module, _lines_of(function))
        tests = [test for test in reaching if test in items]
        tests = within(self._limit, tests, self._reach.seconds)
        first = [
            one for one in self._killers.get((mutant.module, mutant.outer), ()) if one in tests
        ]
        return [*first, *(test for test in tests if test not in first)]

    def _tried(self, mutant: Mutant, number: int, status: int, told: str) -> None:
        self._ledger.note(mutant, Outcome.of(status, told, number))
        if status == KILLED and told:
            known = self._killers.setdefault((mutant.module, mutant.outer), [])
            known[:] = [told, *(test for test in known if test != told)][:KILLERS]


def within(limit: float, tests: Iterable[str], seconds: dict[str, float]) -> list[str]:
    """As many tests, in their order, as take `limit` seconds; the first in any case."""
    chosen: list[str] = []
    for test in tests:
        limit -= seconds.get(test, 0.0)
        if limit < 0 and chosen:
            break
        chosen.append(test)
    return chosen


def _record(items: list[pytest.Item], folder: str) -> int:
    recorder = Recorder(items)
    items[0].config.pluginmanager.register(recorder)
    _tell(folder, json.dumps(recorder.run()))
    return SURVIVED


def _try_loaded(
    patch: list[tuple[FunctionType, CodeType]],
    items: list[pytest.Item],
    seconds: dict[str, float],
    folder: str,
) -> int:
    for function, code in patch:
        function.__code__ = code
    trier = Trier(folder, seconds)
    items[0].config.pluginmanager.register(trier)
    return trier.run(items)


def _import_all() -> None:
    casstore = importlib.import_module("casstore")
    assert str(ROOT / "casstore") in casstore.__path__
    for module in pkgutil.walk_packages(casstore.__path__, "casstore."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def _functions() -> Functions:
    found: Functions = {}
    for one in gc.get_objects():
        if isinstance(one, FunctionType):
            code = one.__code__
            key = code.co_filename, code.co_qualname, code.co_firstlineno
            found.setdefault(key, []).append(one)
    return found


def _patch(mutant: Mutant, functions: Functions) -> list[tuple[FunctionType, CodeType]]:
    """The live functions to be changed, each with its new code; empty if that cannot be done."""
    path = str(ROOT / mutant.module)
    old = _code(Path(path).read_text(), path, mutant)
    new = _code(mutant.source, path, mutant)
    live = functions.get((path, mutant.outer, old.co_firstlineno), [])
    if old.co_freevars != new.co_freevars:
        return []
    return [(function, new) for function in live]


def _lines_of(function: CodeType) -> range:
    """The lines of a function's body."""
    lines = [line for _, _, line in function.co_lines() if line is not None]
    return range(min(lines) + 1, max(lines) + 1)


def _code(source: str, path: str, mutant: Mutant) -> CodeType:
    def all_code(code: CodeType) -> Iterable[CodeType]:
        for const in code.co_consts:
            if isinstance(const, CodeType):
                yield const
                yield from all_code(const)

    module = compile(source, path, "exec", dont_inherit=True)
    named = [code for code in all_code(module) if code.co_qualname == mutant.outer]
    return named[mutant.nth]


# Mutants that must be there when casstore is imported


class Importing:
    """Tries the mutants that `Loaded` has left."""

    def __init__(
        self, reach: Reach, ledger: Ledger, mutants: Sequence[Mutant], *, jobs: int, limit: float,
    ) -> None:  # fmt: skip
        self._reach = reach
        self._ledger = ledger
        self._mutants = mutants
        self._pool = Pool(jobs)
        self._limit = limit

    def run(self) -> None:
        for mutant in self._mutants:
            if self._ledger.knows(mutant):
                continue
            tests = within(self._limit, self._tests(mutant), self._reach.seconds)
            if not tests:
                self._ledger.note(mutant, Outcome("unreached"))
                continue
            self._pool.start(
                functools.partial(_try_importing, mutant, tests, self._reach.seconds),
                functools.partial(self._tried, mutant, len(tests)),
            )
        self._pool.finish()

    def _tried(self, mutant: Mutant, number: int, status: int, told: str) -> None:
        self._ledger.note(mutant, Outcome.of(status, told, number))

    def _tests(self, mutant: Mutant) -> list[str]:
        found = set(self._reach.tests(mutant.module, mutant.lines))
        for module, lines in _users(mutant.names):
            found.update(self._reach.tests(module, lines))
        # Then all of the module, and of the room: a field of a value is named by tests alone.
        end = mutant.source.count("\n") + 1
        rest = set(self._reach.tests(mutant.module, range(1, end)))
        room = f"tests/{Path(mutant.module).parent.relative_to('casstore')}/"
        rest.update(test for test in self._reach.seconds if test.startswith(room))
        seconds = self._reach.seconds
        return [
            test
            for some in (found, rest - found - self._reach.bad)
            for test in sorted(some, key=lambda test: (seconds[test], test))
        ]


@functools.cache
def _trees() -> dict[str, ast.Module]:
    return {
        str(path.relative_to(ROOT)): ast.parse(path.read_text())
        for path in sorted((ROOT / "casstore").rglob("*.py"))
    }


@functools.cache
def _users(names: tuple[str, ...]) -> list[tuple[str, range]]:
    """The functions of casstore that name one of them."""
    found = []
    for module, tree in _trees().items():
        for node in ast.walk(tree):
            if isinstance(node, FUNCTION):
                used = {
                    getattr(part, "id", None) or getattr(part, "attr", None)
                    for part in ast.walk(node)
                }
                if used & set(names):
                    lines = range(node.body[0].lineno, (node.end_lineno or node.lineno) + 1)
                    found.append((module, lines))
    return found


class _Finder:
    """Finds one module, with a mutant's source in the place of its own."""

    def __init__(self, mutant: Mutant) -> None:
        self._path = str(ROOT / mutant.module)
        self._name = mutant.module.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        self._source = mutant.source

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != self._name:
            return None
        source = self._source

        class Loader(SourceFileLoader):
            def get_code(self, fullname: str) -> CodeType:
                return compile(source, self.path, "exec", dont_inherit=True)

        return importlib.util.spec_from_file_location(
            name, self._path, loader=Loader(name, self._path)
        )


class _Selected:
    """A pytest plugin that runs the tests it is given, in their order."""

    def __init__(self, tests: list[str], trier: Trier) -> None:
        self._tests = tests
        self._trier = trier
        self.status = KILLED

    pytest_configure = Loaded.pytest_configure

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        session.config.pluginmanager.register(self._trier)
        items = {item.nodeid: item for item in session.items}
        self.status = self._trier.run([items[test] for test in self._tests])
        return True


def _try_importing(mutant: Mutant, tests: list[str], seconds: dict[str, float], folder: str) -> int:
    sys.meta_path.insert(0, _Finder(mutant))
    files = dict.fromkeys(test.partition("::")[0] for test in tests)
    selected = _Selected(tests, Trier(folder, seconds))
    pytest.main([*ARGUMENTS, *files], plugins=[selected])
    return selected.status
