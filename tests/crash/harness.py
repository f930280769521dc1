"""Stop the real command at every system call that changes the disk, and look what is left.

strace (Debian's package) delivers a signal, or an error, at the k-th such call of a thread. What
is looked at afterwards is in checks.py.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from casstore import Store
from tests.crash.checks import Expectation, output_problems, state_of, verify
from tests.crash.scenarios import Scenario

CALLS = (
    "write,pwrite64,writev,rename,renameat,renameat2,link,linkat,unlink,unlinkat,fsync,fdatasync,"
    "ftruncate,truncate,mkdir,mkdirat,rmdir,fchmod,chmod,fchmodat,fallocate,copy_file_range,"
    "symlink,symlinkat,sendfile"
)
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


class Point(NamedTuple):
    """The count-th call of a kind in a thread."""

    call: str
    count: int
    here: bool  # it is about a file of ours, not about a terminal


class Bench:
    """A prepared store to copy from, and copies to break."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self.scenario = scenario
        self.folder = folder
        folder.mkdir(parents=True)
        self.original = folder / "original"
        with Store(str(self.original)) as store:
            scenario.prepare(store)
        before = state_of(self._copy("look"))
        self.store = folder / "store"
        self.out = folder / "out"
        self.calls = self._count()
        self.expected = Expectation(scenario, before, state_of(self.store))

    def _copy(self, name: str) -> Path:
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        if self.original.exists():
            shutil.copytree(self.original, path, symlinks=True)
        return path

    def reset(self) -> None:
        """A fresh copy of the prepared store."""
        self._copy("store")
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.unlink(missing_ok=True)

    def command(self) -> list[str]:
        """The command on the copy."""
        words = self.scenario.words(self.out)
        return [sys.executable, "-m", "casstore", "--store", str(self.store), *words]

    def run(self, *inject: str, calls: str = CALLS) -> subprocess.CompletedProcess[str]:
        """Run the command on a fresh copy under strace with an injection."""
        self.reset()
        rules = [f"--inject={rule}" for rule in inject]
        trace = ["-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", *rules]
        return subprocess.run(
            ["env", "--default-signal", "strace", *trace, *self.command()],
            capture_output=True, text=True, check=False, cwd=self.folder, env=ENVIRONMENT,
        )  # fmt: skip

    def _count(self, calls: str = CALLS) -> list[Point]:
        """The command's changing calls. strace counts each kind of call in each thread."""
        self.reset()
        log = self.folder / "trace"
        done = subprocess.run(
            ["strace", "-f", "-y", "-qq", "-o", str(log), "-e", f"trace={calls}", *self.command()],
            capture_output=True, text=True, check=False, cwd=self.folder, env=ENVIRONMENT,
        )  # fmt: skip
        self.status = done.returncode
        if self.status != (12 if "blob-missing" in self.scenario.damaged else 0):
            raise AssertionError(f"{self.scenario.name}: {done.stderr}")
        points: dict[Point, None] = {}
        counts: dict[tuple[str, str], int] = {}
        for line in log.read_text().splitlines():
            if found := re.match(r"(\d+)\s+(\w+)\(", line):
                counts[found.groups()] = counts.get(found.groups(), 0) + 1
                here = str(self.folder) in line
                points[Point(found[2], counts[found.groups()], here)] = None
        return list(points)

    def points(self, at_most: int | None = None) -> list[Point]:
        """The calls to stop at, in the order of the command: all, or a spread of them."""
        return spread(self.calls, at_most)

    def kill(self, point: Point, name: str = "SIGKILL") -> subprocess.CompletedProcess[str]:
        """Run the command and send it a signal on entry to a changing call."""
        return self.run(f"{point.call}:signal={name}:when={point.count}")

    def killed(self, point: Point, name: str = "SIGKILL") -> str:
        """What is wrong after a signal at a point; an empty text if nothing is."""
        done = self.kill(point, name)
        expected = {self.status, 128 + signal.Signals[name], -signal.Signals[name]}
        if done.returncode not in expected:
            return f"exit status {done.returncode}: {done.stderr}"
        if "Traceback" in done.stderr:
            return done.stderr
        if name != "SIGKILL" and (parts := self._parts()):
            self.verify(finished=False)  # which removes them
            return f"left beside the output: {parts}"
        return self.verify(finished=done.returncode == self.status)

    def verify(self, *, finished: bool) -> str:
        """What is wrong with the store after an interruption; an empty text if nothing is."""
        expected = self.expected
        allowed = [expected.after] if finished else [expected.before, expected.after]
        for part in self._parts():  # nobody but the killed save knows of its output's
            part.unlink()
        if self.out.is_file() and (bad := output_problems(self.out)):
            return bad
        return verify(self.store, self.out, expected, allowed=allowed)

    def _parts(self) -> list[Path]:
        return list(self.folder.glob("out.*.part"))


def spread(things: list[Any], at_most: int | None) -> list[Any]:
    """All of a list, or so many from all over it."""
    if at_most is None or len(things) <= at_most:
        return things
    last = len(things) - 1
    return [things[i * last // (at_most - 1)] for i in range(at_most)]
