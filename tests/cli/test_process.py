"""The program as a process: its streams, its signals, its end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from shlex import quote, split
from typing import IO

import pytest

from casstore.cli.child import run_to_end

ROOT = Path(__file__).parents[2]


def start(
    *words: str, stdout: int | IO[str] = subprocess.PIPE, env: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "casstore", *words],
        stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env=env,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_all_output_arrives_although_the_process_leaves_at_once() -> None:
    status, out, err = finish(start("--help"))
    assert (status, err) == (0, "")
    assert out.endswith("for more information on a command.\n")


def test_the_process_leaves_without_taking_the_interpreter_down() -> None:
    program = (
        "import atexit, sys; atexit.register(print, 'late'); sys.argv = ['casstore', '--version']; "
        "from casstore.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.startswith("casstore ")
    assert "late" not in done.stdout


def test_the_reader_may_leave_early() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = start("--help", stdout=writer)
    os.close(writer)
    assert finish(process)[0::2] == (1, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_output_that_cannot_be_written_is_an_error() -> None:
    with open("/dev/full", "w") as full:
        status, _, err = finish(start("--help", stdout=full))
    assert (status, err) == (1, "Error: no space left on device\n")


ARCHIVE = ROOT / "fixtures" / "images" / "docker-save" / "commit.tar"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize(
    "words",
    [
        "images",
        "images -q",
        "images --format json",
        "inspect shop/imported:1",
        "inspect -f {{.Id}} shop/imported:1",
        "history shop/imported:1",
        "df -v",
        "tree",
        "why shop/imported:1",
        "save shop/imported:1",
        "save --format oci shop/imported:1",
        "report -o /dev/stdout",
        f"load -i {quote(str(ARCHIVE))}",
        "gc --dry-run",
        "rmi --dry-run shop/imported:1",
    ],
)
def test_no_command_shows_an_object_of_python_when_its_output_cannot_be_written(
    words: str, tmp_path: Path
) -> None:
    store = str(tmp_path / "store")
    assert finish(start("--store", store, "load", "-q", "-i", str(ARCHIVE)))[0] == 0
    with open("/dev/full", "w") as full:
        status, _, err = finish(start("--store", store, *split(words), stdout=full))

    assert status == 1
    assert err.endswith("no space left on device\n")
    assert err.startswith("Error: ")
    assert "<" not in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_trouble(closed: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -m casstore --version {closed}', sys.executable],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_names_beyond_the_terminals_alphabet_are_escaped() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    status, _, err = finish(start("rmi", "--ä", env=environment))
    assert (status, err.splitlines()[0]) == (2, "unknown flag: --\\xe4")


def test_a_child_gives_its_status() -> None:
    assert run_to_end(["sh", "-c", "exit 7"], keep=()) == 7


def test_a_child_that_a_signal_ended_gives_128_and_the_signal() -> None:
    assert run_to_end(["sh", "-c", "kill -KILL $$"], keep=()) == 128 + 9


def test_a_command_that_is_not_there_is_127(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_to_end(["/nonexistent/x\n"], keep=()) == 127
    assert capfd.readouterr().err == 'Error: "/nonexistent/x\\n": no such file or directory\n'


def test_a_command_that_cannot_be_run_is_126(tmp_path: Path) -> None:
    assert run_to_end([str(tmp_path)], keep=()) == 126


def test_a_child_keeps_the_lease_open(tmp_path: Path) -> None:
    with open(tmp_path / "lease", "w") as lease:
        number = lease.fileno()
        assert not os.get_inheritable(number)
        assert run_to_end(["sh", "-c", f"test -e /proc/self/fd/{number}"], keep=(number,)) == 0
        assert run_to_end(["sh", "-c", f"test -e /proc/self/fd/{number}"], keep=()) == 1
        assert not os.get_inheritable(number)


def test_sigterm_reaches_the_child(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    program = (
        "import sys; from casstore.cli.child import run_to_end; "
        "sys.exit(run_to_end(sys.argv[1:], keep=()))"
    )
    script = f"trap 'exit 3' TERM; touch {ready}; while :; do sleep 0.01; done"
    with subprocess.Popen([sys.executable, "-c", program, "sh", "-c", script], cwd=ROOT) as process:
        deadline = time.monotonic() + 30
        while not ready.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.terminate()
        assert process.wait(timeout=30) == 3
