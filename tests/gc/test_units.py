"""tools/systemd: units that systemd takes, hardened, with a command line that casstore takes."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest

from casstore.cli.commands.gc import HELP
from casstore.cli.options import parse

UNITS = Path(__file__).resolve().parents[2] / "tools" / "systemd"
SERVICE = (UNITS / "casstore-gc.service").read_text()

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def command() -> list[str]:
    (line,) = (x for x in SERVICE.splitlines() if x.startswith("ExecStart="))
    return shlex.split(line.partition("=")[2])


def test_the_command_of_the_service_is_one_that_gc_takes() -> None:
    program, name, *words = command()

    assert (Path(program).name, name) == ("casstore", "gc")
    args = parse(HELP, words)
    assert args is not None and args.text("policy") == "/etc/casstore/gc.toml"


def test_only_the_store_and_the_metrics_can_be_written() -> None:
    unit = RawConfigParser(strict=False)
    unit.read_string(SERVICE)
    args = parse(HELP, command()[2:])

    assert args is not None and args.text("metrics") is not None
    assert unit["Service"]["ProtectSystem"] == "strict"
    assert unit["Service"]["ReadWritePaths"].split() == [
        unit["Service"]["Environment"].partition("=")[2],
        "-" + str(Path(args.text("metrics") or "").parent),
    ]


@pytest.fixture
def units(tmp_path: Path) -> list[str]:
    """Copies whose command is there."""
    text = SERVICE.replace("/usr/bin/casstore", shutil.which("true") or "/bin/true")
    (tmp_path / "casstore-gc.service").write_text(text)
    shutil.copy(UNITS / "casstore-gc.timer", tmp_path)
    return [str(tmp_path / "casstore-gc.service"), str(tmp_path / "casstore-gc.timer")]


@needs_systemd
def test_systemd_finds_nothing_wrong_with_them(units: list[str]) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_systemd
def test_systemd_calls_the_service_safe(units: list[str]) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=10", units[0]],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout[-300:]
