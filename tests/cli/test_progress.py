"""--progress: what is drawn, where, and that nothing of it stays."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from casstore.cli.progress import Pace, Sight, bar_line, clock, steady_size
from casstore.progress import Task
from tests.transfer.building import docker_archive, layer

ROOT = Path(__file__).parents[2]
ARCHIVE = docker_archive({"layers": [layer("x" * 300_000)], "tags": ["app:1"]})
MEGA = 10**6


def sight(done: int, total: int | None, name: str = "Loading", unit: str = "bytes") -> Sight:
    task = Task(name, total, "", unit)
    task.advance(done)
    return Sight([task])


def test_a_line_has_bar_share_bytes_rate_and_time_left() -> None:
    line = bar_line(sight(25 * MEGA, 100 * MEGA), 5.0 * MEGA, 90, box=False)
    bar = "[" + "=" * 6 + " " * 18 + "]"

    assert line == f"Loading  {bar}   25%   25.0 MB / 100.0 MB      5.0 MB/s  15s left"


def test_a_terminal_that_can_gets_blocks() -> None:
    assert "█" * 14 + "░" * 14 in bar_line(sight(1, 2), None, 100, box=True)


@pytest.mark.parametrize("width", range(1, 200))
def test_a_line_always_fits_its_terminal(width: int) -> None:
    for done, total in ((1, 3), (0, None), (999_999_999, 10**12), (7, 7)):
        line = bar_line(sight(done, total), 123_456.0, width, box=True)
        assert len(line) < max(width, 1)


def test_the_line_keeps_its_form_while_rates_and_times_change() -> None:
    forms = {
        "░" in bar_line(sight(done * MEGA, 600 * MEGA), rate, 80, box=True)
        for done in range(10, 600, 7)
        for rate in (None, 5.0, 2e5, 9.99e8)
    }

    assert forms == {True}


def test_without_a_total_only_the_amount_is_told() -> None:
    assert bar_line(sight(1500, None), 100.0, 80, box=False) == "Loading  1.5 kB  100 B/s"


def test_things_are_counted_as_well_as_bytes() -> None:
    assert "3 images / 9 images" in bar_line(sight(3, 9, unit="images"), 1.0, 80, box=False)


def test_tasks_of_one_name_are_one_sight() -> None:
    tasks = [Task("Pulling", 100, "aa", "bytes"), Task("Pulling", 300, "bb", "bytes")]
    tasks[0].finish()
    together = Sight(tasks)

    assert (together.done, together.total, together.count, together.finished) == (
        100,
        400,
        2,
        False,
    )


def test_a_rate_is_taken_over_the_last_seconds() -> None:
    pace = Pace()

    assert pace.rate(0.0, 0) is None
    assert pace.rate(1.0, 50) == 50.0
    assert [pace.rate(float(at), 50) for at in range(2, 8)][-1] == 0.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0s"), (59.6, "1m00s"), (185, "3m05s"), (7800, "2h10m"), (1e9, "> 99h")],
)
def test_times_are_short(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_sizes_have_one_decimal() -> None:
    assert [steady_size(n) for n in (0, 999, 1000, 5_040_000)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "5.0 MB",
    ]


# As a process


def command(tmp_path: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "casstore", "--store", str(tmp_path / "store"), *words]


def run(tmp_path: Path, *words: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(tmp_path, *words), input=data, capture_output=True, cwd=ROOT, check=False
    )


def test_a_pipe_gets_no_progress(tmp_path: Path) -> None:
    done = run(tmp_path, "load", data=ARCHIVE)

    assert (done.stdout, done.stderr) == (b"Loaded image: app:1\n", b"")


def test_plain_ends_with_a_line_for_each_task(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(ARCHIVE)
    done = run(tmp_path, "load", "--progress=plain", "-i", str(tmp_path / "a.tar"))
    size = steady_size(len(ARCHIVE))
    lines = [line for line in done.stderr.decode().splitlines() if " done " in line]

    assert done.stdout == b"Loaded image: app:1\n"
    assert lines[0].startswith(f"Loading done  {size} / {size}  ")
    assert lines[1].startswith("Committing done  ")


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("load -i {a}", "Loading"),
        ("load -i {gz}", "Reading"),
        ("load {layout}", "Loading"),
        ("load {files}", "Loading"),
        ("import {a} imported:1", "Importing"),
        ("save -o {out} app:1", "Saving"),
        ("save --format oci -o {out} app:1", "Saving"),
        ("save --format oci-dir -o {out} app:1", "Saving"),
        ("save --format dir -o {out} app:1", "Saving"),
        ("fsck", "Checking"),
    ],
)
def test_each_long_command_counts_all_of_its_bytes(tmp_path: Path, words: str, name: str) -> None:
    import gzip

    (tmp_path / "a.tar").write_bytes(ARCHIVE)
    (tmp_path / "a.gz").write_bytes(gzip.compress(ARCHIVE))
    run(tmp_path, "load", data=ARCHIVE)
    run(tmp_path, "save", "--format=oci-dir", "-o", str(tmp_path / "layout"), "app:1")
    run(tmp_path, "save", "--format=dir", "-o", str(tmp_path / "files"), "app:1")
    places = {name: name for name in ("layout", "files", "out")} | {"a": "a.tar", "gz": "a.gz"}
    named = words.format(**{key: tmp_path / path for key, path in places.items()})
    command, *rest = named.split()
    done = run(tmp_path, command, "--progress=json", *rest)
    events = [json.loads(line) for line in done.stderr.splitlines()]
    last = next(event for event in events if event["name"] == name and event["completed"])

    assert done.returncode == 0
    assert last["current"] == last["total"] > 0
    assert all(event["completed"] for event in events[-1:])


class Terminal:
    """A pseudo-terminal that a command's stderr is."""

    def __init__(self, columns: int) -> None:
        self.ours, self.theirs = pty.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.seen = b""

    def read_until(self, text: bytes) -> None:
        while text not in self.seen:
            self.seen += os.read(self.ours, 4096)

    def rest(self) -> bytes:
        os.close(self.theirs)
        try:
            while data := os.read(self.ours, 4096):
                self.seen += data
        except OSError:  # how Linux says that nobody is at the other end
            pass
        os.close(self.ours)
        return self.seen


def _heed_interrupts() -> None:
    """As in a terminal: what a shell starts in the background is to ignore them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def begin(tmp_path: Path, terminal: Terminal, **environment: str) -> subprocess.Popen[bytes]:
    """A load whose archive does not arrive whole."""
    process = subprocess.Popen(
        command(tmp_path, "load"),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=terminal.theirs,
        env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", **environment},
        preexec_fn=_heed_interrupts,  # noqa: PLW1509 - nothing here has threads
    )
    assert process.stdin is not None
    process.stdin.write(ARCHIVE[:200_000])
    process.stdin.flush()
    return process


def shown(text: bytes) -> str:
    """What a terminal shows at the end: carriage returns and clearing obeyed."""
    screen = ""
    for line in text.decode().split("\r\n"):
        last = line.split("\r")[-1]
        screen += last.rpartition("\x1b[K")[2] + "\n"
    return screen.strip("\n")


def test_a_terminal_has_a_line_that_is_gone_at_the_end(tmp_path: Path) -> None:
    terminal = Terminal(80)
    process = begin(tmp_path, terminal)
    terminal.read_until(b"Reading")
    out, _ = process.communicate(ARCHIVE[200_000:])

    assert (process.returncode, out) == (0, b"Loaded image: app:1\n")
    assert shown(terminal.rest()) == ""


def test_an_interrupt_clears_the_line_before_it_says_so(tmp_path: Path) -> None:
    terminal = Terminal(80)
    process = begin(tmp_path, terminal)
    terminal.read_until(b"Reading")
    for _ in range(60):  # one that comes just before a read waits for its end
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.5)
            break
    process.communicate()

    assert process.returncode == 130
    assert shown(terminal.rest()) == "Interrupted"


def test_an_error_stands_on_a_line_of_its_own(tmp_path: Path) -> None:
    terminal = Terminal(80)
    process = begin(tmp_path, terminal)
    terminal.read_until(b"Reading")
    process.communicate()  # the end of the input, in the middle of a layer

    assert process.returncode == 1
    assert shown(terminal.rest()).startswith("Error: ")


def test_a_narrow_terminal_is_never_wrapped(tmp_path: Path) -> None:
    terminal = Terminal(12)
    process = begin(tmp_path, terminal)
    terminal.read_until(b"Reading")
    process.communicate(ARCHIVE[200_000:])

    lines = terminal.rest().decode().replace("\x1b[K", "").split("\r")
    assert max(len(line) for line in lines) < 12


def test_a_dumb_terminal_gets_no_progress(tmp_path: Path) -> None:
    terminal = Terminal(80)
    process = begin(tmp_path, terminal, TERM="dumb")
    process.communicate(ARCHIVE[200_000:])

    assert terminal.rest() == b""


def test_what_counts_is_not_asked_for_where_nobody_looks_on() -> None:
    from casstore.transfer.archive import open_archive
    from casstore.transfer.tararchive import TarArchive
    from tests.transfer.intake import FakeIntake

    with open_archive(io.BytesIO(ARCHIVE), FakeIntake()) as archive:
        assert isinstance(archive, TarArchive)
        assert archive._bytes._task is None


def test_gc_counts_what_it_removes(tmp_path: Path) -> None:
    run(tmp_path, "load", data=ARCHIVE)
    orphan = tmp_path / "store" / "blobs" / "sha256" / ("0" * 64)
    orphan.write_bytes(b"nothing needs it")
    done = run(tmp_path, "gc", "--progress=json", "--max-used-space=0", "--min-age=0s", "--nice=0")
    last = {
        event["name"]: event for event in map(json.loads, done.stderr.splitlines())
        if event["completed"]
    }  # fmt: skip

    assert done.returncode == 0
    assert (last["Collecting"]["current"], last["Collecting"]["unit"]) == (1, "blobs")
    assert (last["Removing"]["current"], last["Removing"]["unit"]) == (1, "images")
