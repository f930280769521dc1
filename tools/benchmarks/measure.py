"""Whole processes, measured: wall time, processor time with a daemon's share, peak memory.

Contenders run in alternation, so that a noisy minute falls on all of them; medians are reported.
"""

from __future__ import annotations

import os
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

# A process's peak memory starts with that of the process that started it: so a small one starts it,
# and measures, that its own start does not count.
LAUNCHER = """
import os, sys, time
start = time.perf_counter()
process = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, used = os.wait4(process, 0)
wall = time.perf_counter() - start
status = os.waitstatus_to_exitcode(status)
text = f"{status} {wall} {used.ru_utime + used.ru_stime} {used.ru_maxrss}"
os.write(int(sys.argv[1]), text.encode())
"""


@dataclass(frozen=True)
class Sample:
    """One run."""

    wall: float  # seconds
    cpu: float  # seconds, client and daemon
    memory: int  # bytes, the client's peak


@dataclass(frozen=True)
class Contender:
    """What one tool runs for a workload: a command, or a call of our own as a limit."""

    name: str
    words: Sequence[str] = ()
    before: Callable[[], object] = lambda: None  # not measured
    daemon: Callable[[], float] = lambda: 0.0  # its processor seconds so far
    call: Callable[[], object] | None = None  # instead of `words`
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Row:
    """A workload's figures for one contender: medians of the runs, the memory's maximum."""

    workload: str
    contender: str
    runs: int
    wall: float
    cpu: float
    memory: int
    note: str = ""
    wall_range: tuple[float, float] | None = None  # least and most of the runs
    cpu_range: tuple[float, float] | None = None

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


class Failed(Exception):
    """A command that should have been measured failed."""


def once(contender: Contender) -> Sample:
    """Run it, after its preparation."""
    contender.before()
    daemon = contender.daemon()
    start = time.perf_counter()
    if contender.call is not None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        contender.call()
        wall = time.perf_counter() - start
        now = resource.getrusage(resource.RUSAGE_SELF)
        cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
        return Sample(wall, cpu, 0)
    reader, writer = os.pipe()
    environment = {**os.environ, **contender.environment}
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", LAUNCHER, str(writer), *contender.words],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env=environment, pass_fds=[writer], start_new_session=True,
    )  # fmt: skip
    os.close(writer)
    assert process.stderr is not None
    try:
        said = process.stderr.read()
        process.wait()
    except BaseException:  # stopped: what is measured would go on, in a folder that goes
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(reader)
        raise
    with open(reader) as answer:
        figures = answer.read().split()
    if len(figures) != 4 or figures[0] != "0":
        text = said.decode(errors="replace").strip()[-400:]
        raise Failed(f"{' '.join(contender.words)}: {' '.join(figures[:1])}: {text}")
    _, wall, cpu, memory = map(float, figures)
    return Sample(wall, cpu + contender.daemon() - daemon, int(memory) * 1024)


def compare(workload: str, contenders: Iterable[Contender], runs: int) -> list[Row]:
    """Measure all of them in turn, so many times; who fails is left out, and said."""
    samples: dict[str, list[Sample]] = {contender.name: [] for contender in contenders}
    failed = set()
    for _ in range(runs):
        for contender in contenders:
            if contender.name in failed:
                continue
            try:
                samples[contender.name].append(once(contender))
            except (Failed, OSError) as error:
                failed.add(contender.name)
                print(f"{workload}: {contender.name} left out: {error}", file=sys.stderr)
    rows = []
    for name, taken in samples.items():
        if taken and name not in failed:
            wall = [sample.wall for sample in taken]
            cpu = [sample.cpu for sample in taken]
            rows.append(
                Row(
                    workload,
                    name,
                    len(taken),
                    statistics.median(wall),
                    statistics.median(cpu),
                    max(sample.memory for sample in taken),
                    wall_range=(min(wall), max(wall)),
                    cpu_range=(min(cpu), max(cpu)),
                )
            )
    return rows


def run(words: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    """Run a command that is not measured, which must succeed; what it printed."""
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=env)
    if done.returncode:
        raise Failed(f"{' '.join(words)}: status {done.returncode}: {done.stderr.strip()[-400:]}")
    return done.stdout.strip()


def tree_size(path: Path) -> int:
    """Bytes that the files of a tree take on disk, hard links counted once."""
    seen, total = set(), 0
    for folder, _, names in os.walk(path):
        for name in names:
            state = os.lstat(os.path.join(folder, name))
            if (state.st_dev, state.st_ino) not in seen:
                seen.add((state.st_dev, state.st_ino))
                total += state.st_blocks * 512
    return total


class Account:
    """The processor time of a daemon and all that it starts, by a control group of their own."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.folder: Path | None = None
        self._pid = 0
        for root in ("/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup"):
            folder = Path(root) / name
            try:
                folder.mkdir()
            except OSError:
                continue
            if (folder / "cpuacct.usage").exists() or (folder / "cpu.stat").exists():
                self.folder = folder
                return
            folder.rmdir()

    def enter(self) -> None:
        """Called in the daemon's process before it becomes the daemon."""
        if self.folder is not None:
            (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def watch(self, pid: int) -> None:
        """The daemon's process, for machines without control groups."""
        self._pid = pid

    def seconds(self) -> float:
        """Processor seconds so far."""
        if self.folder is None:
            return sum(_ticks(pid) for pid in _family(self._pid)) / os.sysconf("SC_CLK_TCK")
        usage = self.folder / "cpuacct.usage"
        if usage.exists():
            return int(usage.read_text()) / 1e9
        words = dict(line.split() for line in (self.folder / "cpu.stat").read_text().splitlines())
        return int(words["usage_usec"]) / 1e6

    def close(self) -> None:
        """Remove the group; its processes are dead."""
        if self.folder is not None:
            for _ in range(50):
                try:
                    self.folder.rmdir()
                except OSError:
                    time.sleep(0.1)
                else:
                    return


def _family(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:
                continue
    return found


def _ticks(pid: int) -> int:
    """User and system time of a process and of its children that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(map(int, fields[11:15]))
