"""gc on the command line: options, policy files, plans, reports, statuses and signals."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from casstore.store import Store
from tests.backends.local.behind import directory_of
from tests.transfer.building import docker_archive, layer

SIZES = (500, 1000, 3000)
ARCHIVE = docker_archive(
    *({"layers": [layer(os.urandom(size).hex())], "tags": [f"app:{size}"]} for size in SIZES)
)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A store with app:500, app:1000 and app:3000, used in that order."""
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(ARCHIVE), compression="none")
        Path(directory_of(store).uses.path).unlink()
        for size in SIZES:  # ages that are shown alike for half an hour to come
            at = time.time_ns() - (5400 - size // 100) * 10**9
            store.session.backend.uses.note([store.get(f"app:{size}").id], at)
    return str(tmp_path / "store")


def casstore(path: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "casstore", "--store", path, *words],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def names(path: str) -> list[str]:
    with Store(path) as store:
        return sorted(name.familiar for image in store.images() for name in image.names)


def test_without_a_policy_no_image_goes(path: str) -> None:
    assert casstore(path, "gc").returncode == 0
    assert len(names(path)) == 3


def test_a_goal_that_is_reached_ends_with_0_and_the_least_recently_used_gone(path: str) -> None:
    done = casstore(path, "gc", "--max-used-space", "15kB", "--min-age", "0s")

    assert (done.returncode, done.stderr) == (0, "")
    assert names(path) == ["app:3000"]


def test_a_goal_that_cannot_be_reached_ends_with_3_and_says_so(path: str) -> None:
    done = casstore(path, "gc", "--max-used-space", "1B", "--min-age", "1d")

    assert done.returncode == 3
    assert "Error: max-used-space 1B is not reached: " in done.stderr
    assert len(names(path)) == 3


def test_the_real_run_prints_what_the_dry_run_prints_of_what_goes(path: str) -> None:
    options = ("gc", "--max-used-space", "15kB", "--min-age", "0s", "--protect", "app:500")
    dry, real = casstore(path, *options, "--dry-run"), casstore(path, *options)

    before, _, after = dry.stdout.partition("Kept:\n")
    kept, _, sums = after.partition("\n\n")
    assert kept.splitlines()[1].split()[1:] == [
        "app:500", "app:500", "is", "protected", "by", "app:500",
    ]  # fmt: skip
    assert real.stdout == before + sums
    assert "last used" in before


def test_the_json_report_has_every_figure(path: str) -> None:
    done = casstore(path, "gc", "--keep", "1", "--min-age", "0s", "--format", "json")
    report = json.loads(done.stdout)

    assert report["policy"] == [{"keep": "1", "min-age": "0s"}]
    assert report["freed"] == report["before"]["used"] - report["after"]["used"] > 0
    assert len(report["removed"]) == 2
    assert [one["reason"] for one in report["kept"]] == ["keep"]
    assert report["duration"] > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--keep x", 'invalid argument "x" for "--keep" flag: a number of images is needed'),
        ("--unused-for 7", 'invalid argument "7" for "--unused-for" flag: a duration as 7d'),
        ("--protect a", "a rule needs one of max-used-space"),
        ("--keep 1 --nice 20", 'invalid argument "20" for "--nice" flag'),
        ("--plan x --keep 1", "a saved plan has its policy in it"),
        ("--policy /nonexistent", 'Error: policy "/nonexistent": no such file or directory'),
    ],
)
def test_wrong_options_are_wrong_usage(path: str, words: str, said: str) -> None:
    done = casstore(path, "gc", *words.split())

    assert done.returncode == 2
    assert done.stderr.startswith(said)
    assert "Traceback" not in done.stderr


def test_a_policy_file_with_mistakes_is_told_line_by_line(path: str, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('keep = "many"\nonly = "["\n')
    done = casstore(path, "gc", "--policy", str(policy))

    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f'Error: {policy}:1: keep: a number of images is needed, not "many"',
        f'Error: {policy}:2: only: "[": syntax error in pattern',
    ]


def test_options_override_a_policy_file(path: str, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('keep = 5\nmin-age = "0s"\n')

    assert casstore(path, "gc", "--policy", str(policy)).returncode == 0
    assert len(names(path)) == 3
    assert casstore(path, "gc", "--policy", str(policy), "--keep", "1").returncode == 0
    assert len(names(path)) == 1


def test_a_plan_is_saved_and_carried_out_once(path: str, tmp_path: Path) -> None:
    plan = str(tmp_path / "plan.json")
    shown = casstore(path, "gc", "--keep", "1", "--min-age", "0s", "--save-plan", plan)
    assert (shown.returncode, len(names(path))) == (0, 3)
    done = casstore(path, "gc", "--plan", plan)
    assert (done.returncode, len(names(path))) == (0, 1)
    assert done.stdout.splitlines()[:3] == shown.stdout.splitlines()[:3]

    again = casstore(path, "gc", "--plan", plan)
    assert again.returncode == 1
    assert again.stderr.startswith("Error: the plan does not hold any more: image ")


def test_it_runs_at_low_priority_unless_told_otherwise(path: str) -> None:
    program = (
        "import os, sys\n"
        "asked = []\n"
        "os.nice = asked.append\n"  # a worker of the tests may have the lowest priority already
        "from casstore.cli.main import main\n"
        "main(sys.argv[1:])\n"
        "print(sum(asked))\n"
    )
    for extra, by in (((), 10), (("--nice", "0"), 0)):
        done = subprocess.run(
            [sys.executable, "-c", program, "--store", path, "gc", "--keep", "9", *extra],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert int(done.stdout.split()[-1]) == by


SLOW = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job may ignore it
from casstore.gc import run as running
running.IMAGES_A_TURN = 1
removal = running._SecondLook.removal
def slowly(self, step):
    print("in hand", file=sys.stderr, flush=True)
    time.sleep(1)
    return removal(self, step)
running._SecondLook.removal = slowly
from casstore.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


SLOW_PRUNE = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job may ignore it
from casstore.change import removal
from casstore.rules import retention
unchanged = retention.is_unchanged
def slowly(view, candidate):
    print("in hand", file=sys.stderr, flush=True)
    time.sleep(1)
    return unchanged(view, candidate)
retention.is_unchanged = slowly
from casstore.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def stopped_by(number: signal.Signals, program: str, *words: str) -> tuple[int, str, str]:
    """Send the signal while the first image is in hand: status, output and errors."""
    with subprocess.Popen(
        [sys.executable, "-c", program, *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as run:  # fmt: skip
        assert run.stderr is not None
        assert run.stderr.readline() == "in hand\n"
        run.send_signal(number)
        out, err = run.communicate(timeout=60)
        return run.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_prune_after_the_image_in_hand_with_its_report(
    path: str, number: signal.Signals
) -> None:
    had = names(path)

    status, out, err = stopped_by(number, SLOW_PRUNE, "--store", path, "prune", "-af")

    assert (status, err) == (128 + number, "Stopped before the end\n")
    untagged = [line[10:] for line in out.splitlines() if line.startswith("untagged: ")]
    assert len(untagged) == 1
    assert sorted(names(path) + untagged) == sorted(had)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_the_image_in_hand_with_its_report(
    path: str, number: signal.Signals
) -> None:
    words = ("--store", path, "gc", "--keep", "0", "--min-age", "0s", "--format", "json")

    status, out, err = stopped_by(number, SLOW, *words)

    assert (status, err) == (128 + number, "Stopped before the end of the plan\n")
    report = json.loads(out)
    assert (report["ended"], len(report["removed"])) == ("stopped", 1)
    assert names(path) == ["app:1000", "app:3000"]
    with Store(path) as store:
        assert store.check().findings == ()
