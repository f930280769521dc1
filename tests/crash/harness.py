"""Stop the real command at every system call that changes the disk, and look what is left.

strace (Debian's package) delivers a signal, or an error, at the k-th such call of a thread. What
is looked at afterwards is in checks.py.
"""

from __future__ import annotations

import compileall
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple, TypeVar

from casstore import Store
from tests.crash.checks import (
    PARTIAL,
    Expectation,
    output_problems,
    state_of,
    tree_of,
    tree_problems,
    verify,
)
from tests.crash.scenarios import Scenario
from tests.crash.trees import fingerprint, read_tree, write_tree

CALLS = (
    "write,pwrite64,writev,rename,renameat,renameat2,link,linkat,unlink,unlinkat,fsync,fdatasync,"
    "ftruncate,truncate,mkdir,mkdirat,rmdir,fchmod,chmod,fchmodat,fallocate,copy_file_range,"
    "symlink,symlinkat,sendfile,utimensat,fchown,fchownat"
)
COMMANDS = "/casstore/cli/commands/"  # once one is loaded, it is we who tell of errors
MODULE = re.compile(r'\.(pyc?|so)"')
NOISE = "ERROR:root:code for hash"  # hashlib's own word when its modules cannot be loaded
NO_ERRORS = ("Warning: ", "Would free ")  # the latter sums up a dry run
T = TypeVar("T")

ROOT = Path(__file__).parents[2]
# Of the commands. PYTHONPATH says which casstore runs: a sweep runs a copy that is compiled.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


# Calls that can fail, beyond those that change the disk.
FAILING = f"{CALLS},openat,read,pread64"
FULL = ("ENOSPC", "EDQUOT")


class Point(NamedTuple):
    """One call of a kind in a thread, by its number: 1 is the first."""

    call: str
    number: int
    here: bool = True  # it is about a file of ours, not about a terminal
    line: str = ""  # of an openat


class Fault(NamedTuple):
    """An error at a call, and at each of its kind after that if it is for ever."""

    point: Point
    cause: str
    forever: bool


class Bench:
    """A prepared store to copy from, and copies to break."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self.scenario = scenario
        self.folder = folder
        folder.mkdir(parents=True)
        self.original = folder / "original"
        with Store(str(self.original)) as store:
            scenario.prepare(store)
        self._prepared = read_tree(self.original)
        self._untouched = fingerprint(self.original)
        self.store = folder / "store"
        self.out = folder / "out"
        self.twin = folder / "twin"  # a copy of the store by hard links
        self.reset()
        before = state_of(self.store)
        self.calls = self._count(CALLS)
        self.expected = Expectation(scenario, before, state_of(self.store), tree_of(self.out))
        self._verdicts: dict[tuple[bytes, bool, bool], str] = {}

    def reset(self) -> None:
        """A fresh copy of the prepared store."""
        write_tree(self._prepared, self.store)
        for left in (*self.folder.glob(".casstore-*.part"), *self.folder.glob(f"out{PARTIAL}*")):
            shutil.rmtree(left)
        if self.scenario.linked:
            shutil.rmtree(self.twin, ignore_errors=True)
            subprocess.run(["cp", "-al", self.store, self.twin], check=True)
        if self.out.is_dir():
            shutil.rmtree(self.out)
        self.out.unlink(missing_ok=True)
        if self.scenario.there is not None:
            self.scenario.there(self.out)

    def command(self) -> list[str]:
        """The command on the copy."""
        words = self.scenario.words(self.out)
        return [sys.executable, *self.scenario.program, "--store", str(self.store), *words]

    def run(self, call: str, effect: str) -> subprocess.CompletedProcess[str]:
        """Run the command on a fresh copy, and let strace have an effect on a call of it.

        With a filter in the kernel it runs at its own speed up to that call. A signal needs strace
        to stop it at each call: after the filter's stop strace cannot deliver one.
        """
        self.reset()
        speed = ["--seccomp-bpf"] if "signal=" not in effect else []
        rules = ["-e", f"trace={call}", f"--inject={call}:{effect}"]
        return subprocess.run(
            ["env", "--default-signal", "strace", "-f", *speed, "-qq", "-o", "/dev/null", *rules,
             *self.command()],
            capture_output=True, text=True, check=False, cwd=self.folder, env=ENVIRONMENT,
        )  # fmt: skip

    def _count(self, calls: str) -> list[Point]:
        """The command's changing calls. strace counts each kind of call in each thread."""
        self.reset()
        log = self.folder / "trace"
        done = subprocess.run(
            ["strace", "-f", "-y", "-qq", "-o", str(log), "-e", f"trace={calls}", *self.command()],
            capture_output=True, text=True, check=False, cwd=self.folder, env=ENVIRONMENT,
        )  # fmt: skip
        self.status = done.returncode
        if self.status != self.scenario.status:
            raise AssertionError(f"{self.scenario.name}: {done.stderr}")
        points: dict[Point, None] = {}
        running = False
        early: set[tuple[str, int]] = set()  # a thread's first calls have the numbers of these
        counts: dict[tuple[str, str], int] = {}
        for line in log.read_text().splitlines():
            if found := re.match(r"(\d+)\s+(\w+)\(", line):
                thread, call = found[1], found[2]
                number = counts[thread, call] = counts.get((thread, call), 0) + 1
                opened = line if call == "openat" else ""
                running = running or COMMANDS in opened
                if not running:
                    early.add((call, number))
                here = f'"{self.folder}/' in opened or bool(running and MODULE.search(opened))
                here = here or (not opened and str(self.folder) in line)
                here = here and (call, number) not in early
                points[Point(call, number, here, opened)] = None
        return list(points)

    def points(self, at_most: int | None = None) -> list[Point]:
        """The calls to stop at, in the order of the command: all, or a spread of them."""
        return spread(self.calls, at_most)

    def kill(self, point: Point, name: str = "SIGKILL") -> subprocess.CompletedProcess[str]:
        """Run the command and send it a signal on entry to a changing call."""
        return self.run(point.call, f"signal={name}:when={point.number}")

    def killed(self, point: Point, name: str = "SIGKILL") -> str:
        """What is wrong after a signal at a point; an empty text if nothing is."""
        done = self.kill(point, name)
        expected = {self.status, 128 + signal.Signals[name], -signal.Signals[name]}
        if done.returncode not in expected:
            return f"exit status {done.returncode}: {done.stderr}"
        if "Traceback" in done.stderr:
            return done.stderr
        if parts := self._parts():
            self.verify(finished=False)  # which removes them
            return f"left beside the output: {parts}"
        return self.verify(finished=done.returncode == self.status)

    def faults(self, at_most: int | None = None) -> list[Fault]:
        """Errors that can happen, in the order of the command: all, or a spread of them."""
        points = [point for point in self._count(FAILING) if point.here]
        every = [
            Fault(point, cause, forever)
            for point in points
            for cause in causes(point)
            for forever in (False, True)
        ]
        return spread(every, at_most)

    def failed(self, fault: Fault) -> str:
        """What is wrong after an error at a call; an empty text if nothing is."""
        when = f"{fault.point.number}{'+' if fault.forever else ''}"
        done = self.run(fault.point.call, f"error={fault.cause}:when={when}")
        finished = done.returncode == self.status
        if wrong := self._complaint(done, silent=fault.point.call == "write" and fault.forever):
            return wrong
        if fault.point.call not in ("unlink", "unlinkat") and (parts := self._parts()):
            self.verify(finished=False)  # which removes them
            return f"left beside the output: {parts}"
        # Where no write works any more, the answer is lost too: after a commit that is an error.
        # fsck mends, then checks: what it cannot check it may have mended.
        mute = fault.point.call == "write" and fault.forever
        deaf = self._has_findings(done) or self.scenario.in_turns or mute
        return self.verify(finished=finished, failed=not finished and not deaf)

    def _has_findings(self, done: subprocess.CompletedProcess[str]) -> bool:
        """Whether it is fsck, and what is wrong, or cannot be read, stands on stdout."""
        unreadable = done.returncode == 1 and "-unreadable" in (done.stdout or "")
        return self.scenario.command.startswith("fsck") and (done.returncode == 12 or unreadable)

    def _complaint(self, done: subprocess.CompletedProcess[str], *, silent: bool) -> str:
        """What is wrong with how a command told of an error."""
        said = f"exit status {done.returncode}: {done.stderr}"
        if done.returncode not in (0, 1, 12):
            return said
        if NOISE in done.stderr:
            return ""
        if "Traceback" in done.stderr or "internal error" in done.stderr:
            return said
        lines = [line for line in done.stderr.splitlines() if not line.startswith(NO_ERRORS)]
        if done.returncode == self.status == 0:
            return said if lines else ""
        silent = silent or self._has_findings(done)
        return "" if len(lines) == 1 or (silent and not lines) else said

    def verify(self, *, finished: bool, failed: bool = False) -> str:
        """What is wrong with the store after an interruption; an empty text if nothing is.

        Args:
            finished: only the state after will do.
            failed: only the state before will do.
        """
        for part in self._parts():
            part.unlink()
        state = fingerprint(self.store, self.out), finished, failed
        if state not in self._verdicts:
            self._verdicts[state] = self._verify(finished=finished, failed=failed)
        return self._verdicts[state]

    def _verify(self, *, finished: bool, failed: bool) -> str:
        expected = self.expected
        allowed = [expected.before] * (not finished) + [expected.after] * (not failed)
        if expected.scenario.unpacks:
            if bad := tree_problems(self.out, expected, done=finished):
                return bad
        elif self.out.exists() and (bad := output_problems(self.out)):
            return bad
        # What SQLite brings from the log into the database, when it closes it, changes no content.
        if self.scenario.linked and fingerprint(self.twin) != self._untouched:
            return "the copy by hard links has changed"
        return verify(self.store, self.out, expected, allowed=allowed, done=finished)

    @property
    def states(self) -> int:
        """How many different states were looked at."""
        return len(self._verdicts)

    def _parts(self) -> list[Path]:
        return list(self.folder.glob("out.*.part"))


def compiled(folder: Path) -> str:
    """A copy of casstore with its bytecode, as it is installed: what PYTHONPATH is to be.

    Without bytecode a command compiles itself first, which takes twice as long as all the rest.
    """
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "casstore", folder / "casstore", ignore=ignored)
    if not compileall.compile_dir(folder, quiet=1):
        raise AssertionError("casstore does not compile")
    return str(folder)


def causes(point: Point) -> tuple[str, ...]:
    """The errors that a call can meet."""
    if point.call in ("read", "pread64"):
        return ("EIO",)
    if point.call == "openat":
        making = FULL if "O_CREAT" in point.line else ()
        changing = ("EROFS",) if "O_RDWR" in point.line or "O_WRONLY" in point.line else ()
        return ("EMFILE",) if MODULE.search(point.line) else ("EMFILE", "EIO", *making, *changing)
    return ("EIO", "EROFS", *FULL)


def spread(things: list[T], at_most: int | None) -> list[T]:
    """All of a list, or so many from all over it."""
    if at_most is None or len(things) <= at_most:
        return things
    last = len(things) - 1
    return [things[i * last // (at_most - 1)] for i in range(at_most)]
