"""tools/systemd: units of the server that systemd takes, with a command that serve takes."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest

from casstore.cli.commands.serve import HELP
from casstore.cli.options import parse

UNITS = Path(__file__).resolve().parents[2] / "tools" / "systemd"
SERVICE = (UNITS / "casstore-serve.service").read_text()
SOCKET = (UNITS / "casstore-serve.socket").read_text()


def test_the_command_of_the_service_is_one_that_serve_takes() -> None:
    (line,) = (x for x in SERVICE.splitlines() if x.startswith("ExecStart="))
    program, name, *words = shlex.split(line.partition("=")[2])
    assert (Path(program).name, name) == ("casstore", "serve")
    assert parse(HELP, words) is not None


def test_systemd_gives_the_service_its_socket_by_its_name() -> None:
    unit = RawConfigParser(strict=False)
    unit.read_string(SOCKET)
    assert unit["Socket"]["FileDescriptorName"] == "registry"
    assert unit["Socket"]["ListenStream"].startswith("127.0.0.1:")


def test_only_the_store_can_be_written() -> None:
    unit = RawConfigParser(strict=False)
    unit.read_string(SERVICE)
    assert unit["Service"]["ProtectSystem"] == "strict"
    store = unit["Service"]["Environment"].partition("=")[2]
    assert unit["Service"]["ReadWritePaths"] == store


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)
def test_systemd_finds_nothing_wrong_with_them(tmp_path: Path) -> None:
    service, units = tmp_path / "casstore-serve.service", UNITS / "casstore-serve.socket"
    service.write_text(SERVICE.replace("/usr/bin/casstore", shutil.which("true") or "/bin/true"))
    shutil.copy(units, tmp_path)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(service), str(tmp_path / units.name)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
