"""A store that gets such inputs, and the judge of how every command ends.

What is asked of a command, whatever it is given: a status that is documented, one line on stderr
where it fails, no traceback, no control characters, a bound on memory and time, nothing written
outside the store, and no change where it is refused. What is taken leaves a store that is clean.
"""

from __future__ import annotations

import io
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random
from types import FrameType

import pytest

from casstore import Store
from casstore.cli.main import main

FIXTURES = Path(__file__).parents[2] / "fixtures"
SECONDS = 20.0  # of a processor
HANGING = 300.0  # of waiting, which may be for the processor
MEBIBYTES = 300
SILENT = ("fsck", "why")  # a finding is on stdout; of a whole digest that is not there, nothing
STATUSES = (0, 1, 2, 3, 10, 12)
Kind = Callable[["Victim", Random], None]


class Wrong(Exception):
    """A command did not end as it must."""


class Hung(BaseException):
    """A command takes too long; no handler of errors is to keep it going."""


class Victim:
    """Tries inputs on a store, and keeps those that find something.

    Args:
        folder: everything is in here; the directories around the store must stay as they are.
        kinds: what can be tried, as `KINDS` of tests/property/inputs.py.
        findings: where the input of a finding goes.
    """

    def __init__(self, folder: Path, kinds: tuple[Kind, ...], findings: Path) -> None:
        self.tried: Counter[str] = Counter()
        self.inputs = folder / "in"
        self.store = folder / "store"
        self.secret = folder / "home" / "secret"
        self._folder = folder
        self._good = folder / "good"
        self._findings = findings
        self._kinds = kinds
        self._commands: list[str] = []
        self._around = [folder / name for name in ("cwd", "home", "tmp")]
        for path in self._around:
            path.mkdir(parents=True)
        self.secret.write_text("not for anybody")
        with Store(str(self._good)) as store:
            store.load(str(FIXTURES / "transcripts" / "archives" / "chain.tar"))
        self._outside = self._look_around()
        self._changed = True
        self._fresh()

    def problem(self, chance: Random, label: str, kinds: tuple[Kind, ...] = ()) -> str:
        """Try one input; an empty text if it was taken, or refused, as it must be.

        What is wrong is told with the commands, and where the input was put away under `label`.
        """
        kind = chance.choice(kinds or self._kinds)
        self.tried[kind.__name__] += 1
        self._commands.clear()
        self._fresh()
        with self._elsewhere():
            try:
                kind(self, chance)
            except Wrong as wrong:
                kept = self._keep(f"{kind.__name__}-{label}")
                self._changed = True
                return f"{kind.__name__}: {wrong}; its input is {kept}"
        return ""

    def run(self, *words: str, stdin: bytes = b"", fails: bool | None = None) -> int:
        """Run a command and judge how it ends; raises Wrong.

        Args:
            words: of the command line, after --store.
            stdin: what it can read there.
            fails: whether it may (None), must or must not.
        """
        status, out, said = self._ended(list(words), stdin)
        self.said, self.out = said, out
        if status not in STATUSES or "Traceback" in said or "internal error" in said:
            raise Wrong(f"exit status {status}: {said[-900:]}")
        if status and not said and words[0] not in SILENT:
            raise Wrong(f"exit status {status} without a word")
        if any((ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160 for c in said):
            raise Wrong(f"control characters: {said[:300]!r}")
        if "out of memory" in said:
            raise Wrong(f"more than {MEBIBYTES} MiB")
        if fails is not None and fails is not bool(status):
            raise Wrong(f"exit status {status}: {said[-300:] or out[-300:]}")
        if (outside := self._look_around()) != self._outside:
            raise Wrong(f"wrote outside: {sorted(outside ^ self._outside)}")
        return status

    def offer(self, *words: str, stdin: bytes = b"", leaves: str = "/") -> int:
        """Run a command that takes its input whole, or changes nothing; the store is clean.

        A name in the store that begins with `leaves` may stay where it is refused.
        """
        before = self._files()
        if self.run(*words, stdin=stdin):
            changed = {one for one in before ^ self._files() if not one[0].startswith(leaves)}
            if changed:
                raise Wrong(f"refused with {self.said!r}, and changed {sorted(changed)[:6]}")
        else:
            self._changed = True
            self.run("fsck", fails=False)
        return self._status

    def changes(self) -> None:
        """What comes now may change the store for good."""
        self._changed = True

    def _ended(self, words: list[str], stdin: bytes) -> tuple[int, str, str]:
        said, begin = io.StringIO(), time.monotonic()
        written = io.BytesIO()
        out = io.TextIOWrapper(written, encoding="utf-8", errors="backslashreplace")
        given = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8", errors="surrogateescape")
        self._commands.append(" ".join(ascii(word[:300]) for word in words))
        with redirect_stdout(out), redirect_stderr(said), pytest.MonkeyPatch.context() as patched:
            patched.setattr(sys, "stdin", given)
            try:
                with memory_bound(MEBIBYTES), time_bound(SECONDS, HANGING):
                    self._status = main(["--store", str(self.store), *words])
            except Hung:
                raise Wrong(f"not done after {time.monotonic() - begin:.1f} s") from None
        out.flush()
        text = written.getvalue().decode("utf-8", "replace")
        return self._status, text, said.getvalue()

    def _fresh(self) -> None:
        shutil.rmtree(self.inputs, ignore_errors=True)
        self.inputs.mkdir()
        if self._changed:
            shutil.rmtree(self.store, ignore_errors=True)
            shutil.copytree(self._good, self.store)
            self._changed = False

    @contextmanager
    def _elsewhere(self) -> Iterator[None]:
        cwd, home, temporary = map(str, self._around)
        variables = {"HOME": home, "TMPDIR": temporary, "CASSTORE_DEBUG": "1"}
        came = os.getcwd()
        os.chdir(cwd)
        try:
            with pytest.MonkeyPatch.context() as patched:
                for name, value in variables.items():
                    patched.setenv(name, value)
                yield
        finally:
            os.chdir(came)

    def keep_choices(self, label: str, data: bytes) -> Path:
        """Put away the bytes that `Choices` made an input of."""
        self._findings.mkdir(parents=True, exist_ok=True)
        path = self._findings / f"{label}.choices"
        path.write_bytes(data)
        return path

    def _keep(self, label: str) -> Path:
        kept = self._findings / label
        kept.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", f"{self.inputs}/.", str(kept)], check=False)
        (kept / "COMMANDS").write_text("\n".join(self._commands) + "\n")
        return kept

    def _look_around(self) -> set[tuple[str, int]]:
        return {
            (str(path), path.lstat().st_size) for top in self._around for path in top.rglob("*")
        }

    def _files(self) -> set[tuple[str, tuple[int, int, int]]]:
        return {
            (str(path.relative_to(self.store)), (one.st_size, one.st_ino, one.st_mtime_ns))
            for path in self.store.rglob("*")
            for one in (path.lstat(),)
            if path.name != "casstore.lock" and not path.is_dir() and ".db" not in path.name
        }


@contextmanager
def memory_bound(mebibytes: int) -> Iterator[None]:
    """What is written to and shared with nobody may grow by so much; more is a MemoryError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    with open("/proc/self/status", encoding="ascii") as status:
        kibibytes = next(int(line.split()[1]) for line in status if line.startswith("VmData:"))
    resource.setrlimit(resource.RLIMIT_DATA, ((kibibytes << 10) + (mebibytes << 20), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


@contextmanager
def time_bound(working: float, waiting: float) -> Iterator[None]:
    """Raise Hung after so many seconds of the processor, or so many in all, wherever it is."""

    def end(_signal: int, _frame: FrameType | None) -> None:
        raise Hung

    timers = ((signal.SIGPROF, signal.ITIMER_PROF, working),
              (signal.SIGALRM, signal.ITIMER_REAL, waiting))  # fmt: skip
    before = [signal.signal(number, end) for number, _, _ in timers]
    for _, timer, seconds in timers:
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for (number, timer, _), handler in zip(timers, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)


def resident() -> int:
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
