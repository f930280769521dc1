"""`casstore serve` as a process: how it begins, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from casstore.store import Store

ROOT = Path(__file__).parents[2]

Start = Callable[..., "Process"]


class Process:
    """The command, and what it has said so far."""

    def __init__(self, store: str, *words: str, listening: socket.socket | None = None) -> None:
        handed = () if listening is None else (listening.fileno(),)
        command = [sys.executable, "-m", "casstore", "--store", store, "serve", *words]
        if listening is not None:  # as systemd does it: descriptor 3, and our own number
            script = f'exec 3<&{listening.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
            command = ["bash", "-c", script, "bash", *command]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, cwd=ROOT, pass_fds=handed,
        )  # fmt: skip
        assert self.process.stderr is not None
        self.first = self.process.stderr.readline()

    @property
    def port(self) -> int:
        return int(self.first.rstrip("/\n").rpartition(":")[2])

    def get(self, path: str) -> int:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", path)
        status = connection.getresponse().status
        connection.close()
        return status

    def end(self) -> tuple[int, str]:
        """The exit status, and what else was said."""
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


@pytest.fixture
def start(store: Store) -> Iterator[Start]:
    started: list[Process] = []

    def begin(*words: str, path: str = store.path, **more: socket.socket) -> Process:
        started.append(Process(path, *words, **more))
        return started[-1]

    yield begin
    for one in started:
        one.process.kill()
        one.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_with_success(start: Start, number: int) -> None:
    server = start("--registry", "0")
    assert server.get("/v2/") == 200
    server.process.send_signal(number)
    status, said = server.end()
    assert status == 0
    assert "Traceback" not in said
    assert "Error" not in said


def test_a_signal_that_another_thread_gets_ends_it(start: Start) -> None:
    server = start("--registry", "0")
    assert server.get("/v2/") == 200
    main = server.process.pid
    others = [int(tid) for tid in os.listdir(f"/proc/{main}/task") if int(tid) != main]
    os.kill(others[0], signal.SIGTERM)  # Linux: the process gets it, by this thread if it can
    assert server.end()[0] == 0


def test_it_says_where_it_listens(start: Start) -> None:
    assert start("--registry", "0").first.startswith("Registry: http://127.0.0.1:")


def test_it_ends_when_nobody_asks_for_anything(start: Start) -> None:
    assert start("--registry", "0", "--idle-exit", "100ms").end() == (0, "")


def test_it_makes_the_store_that_is_not_there(start: Start, tmp_path: Path) -> None:
    path = str(tmp_path / "new")
    assert start("--registry", "0", path=path).get("/v2/_catalog") == 200
    with Store(path) as made:
        assert made.check().clean


def test_read_only_it_makes_none(start: Start, tmp_path: Path) -> None:
    server = start("--registry", "0", "--read-only", path=str(tmp_path / "new"))
    assert server.end()[0] == 10
    assert server.first.startswith("Error: there is no store at ")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ([], 2),
        (["--registry", "0.0.0.0:0"], 2),
        (["--registry", "no port"], 2),
        (["--registry", "0", "--workers", "0"], 2),
        (["--registry", "0", "--idle-exit", "soon"], 2),
        (["--registry", "0", "--registry-mirror", "nohost"], 2),
        (["--registry", "0", "--tls-cert", "x"], 2),
        (["--registry", "0", "--htpasswd", "/nonexistent"], 1),
        (["--registry", "192.0.2.1:0", "--insecure"], 1),
        (["--registry", "unix:///tmp/casstore-test-socket"], 1),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(
    start: Start, words: list[str], status: int
) -> None:
    server = start(*words)
    ended, more = server.end()
    assert ended == status
    assert "Traceback" not in server.first + more
    assert [line for line in more.splitlines() if not line.startswith("See ")] == []


def test_workers_share_the_socket_and_end_together(start: Start) -> None:
    server = start("--registry", "0", "--workers", "2")
    assert {server.get("/v2/") for _ in range(10)} == {200}
    server.process.send_signal(signal.SIGTERM)
    status, said = server.end()
    assert (status, said.count('"GET /v2/" 200')) == (0, 10)


@pytest.mark.parametrize("attempt", range(5))
def test_workers_end_however_early_they_are_told(start: Start, attempt: int) -> None:
    server = start("--registry", "0", "--workers", "8")
    server.process.send_signal(signal.SIGTERM)
    assert server.end() == (0, "")


def test_workers_end_when_nobody_asks_for_anything(start: Start) -> None:
    assert start("--registry", "0", "--workers", "2", "--idle-exit", "100ms").end() == (0, "")


def test_workers_do_not_outlive_who_started_them(start: Start) -> None:
    server = start("--registry", "0", "--workers", "2")
    assert server.get("/v2/") == 200
    server.process.kill()
    server.process.wait()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", server.port), timeout=20).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.05)
    pytest.fail("a worker still listens")


def test_systemd_may_hand_the_socket_over(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = start(listening=listening)
        assert server.port == listening.getsockname()[1]
        assert server.get("/v2/") == 200


def test_sockets_that_were_handed_to_another_process_are_not_taken(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert "nothing to serve" in start().first
