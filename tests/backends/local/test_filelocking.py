"""The writers' lock: exclusive, freed by the kernel, never followed out of the store."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import filelock
import pytest

from casstore.backends.local.locks import StoreLock, Token, is_held
from casstore.errors import Locked, StorageError

HOLDER = """
import sys, time
from casstore.backends.local.locks import StoreLock
StoreLock(sys.argv[1], 5).acquire()
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "casstore.lock"


def test_we_exclude_filelock(path: Path) -> None:
    lock = StoreLock(str(path), 1)
    lock.acquire()
    with pytest.raises(filelock.Timeout):
        filelock.FileLock(path, timeout=0).acquire()
    lock.release()

    with filelock.FileLock(path, timeout=0):
        pass


def test_filelock_excludes_us(path: Path) -> None:
    with filelock.FileLock(path), pytest.raises(Locked):
        StoreLock(str(path), 0.1).acquire()


def test_locked_names_the_holder_after_the_time_allowed(path: Path) -> None:
    holder = StoreLock(str(path), 1)
    holder.acquire()
    start = time.monotonic()
    with pytest.raises(Locked, match=rf"^the store is locked by pid {os.getpid()} .*; gave up"):
        StoreLock(str(path), 0.3).acquire()
    holder.release()

    assert 0.3 <= time.monotonic() - start < 3


def test_the_holder_is_all_that_the_file_says(path: Path) -> None:
    path.write_text("somebody whose name is so long that it goes on and on " * 9 + "\nend\n")
    lock = StoreLock(str(path), 1, "casstore tag")
    lock.acquire()
    lock.release()

    assert path.read_text().startswith(f"pid {os.getpid()} (casstore tag) on ")
    assert path.read_text().count("\n") == 1


def test_what_is_left_of_the_holder_before_is_not_told(path: Path) -> None:
    holder = StoreLock(str(path), 1, "casstore tag")
    holder.acquire()
    with path.open("a") as file:  # as between the two writes of a holder with a shorter name
        file.write("d namespace 7, since 2020\n")
    with pytest.raises(Locked, match=r"since \S+; gave up") as refusal:
        StoreLock(str(path), 0.05).acquire()
    holder.release()

    assert "2020" not in str(refusal.value)


def test_a_wait_longer_than_our_own_polling_ends_too(path: Path) -> None:
    holder = StoreLock(str(path), 1)
    holder.acquire()
    with pytest.raises(Locked, match=r"gave up after 1\.5 s"):
        StoreLock(str(path), 1.5).acquire()
    holder.release()


def test_a_killed_holder_blocks_nobody(path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=with_path()) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Locked, match=f"pid {holder.pid} "):
            StoreLock(str(path), 0.1).acquire()
        holder.kill()
        holder.wait()
        lock = StoreLock(str(path), 0.5)
        lock.acquire()
        lock.release()


def test_a_holder_in_another_pid_namespace_is_named_as_such_and_blocks_nobody_when_killed(
    path: Path,
) -> None:
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-pf", "true"], check=False).returncode:
        pytest.skip("no pid namespaces here")
    command = [unshare, "-pf", "--kill-child", sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=with_path()) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Locked, match=r"by pid 1 \(-c\) on .*, pid namespace \d+, since "):
            StoreLock(str(path), 0.1).acquire()
        holder.kill()
        holder.wait()
        lock = StoreLock(str(path), 5)
        lock.acquire()
        lock.release()


def test_the_holder_is_named_by_its_command_and_not_by_its_arguments(path: Path) -> None:
    holder = StoreLock(str(path), 1, "casstore load")
    holder.acquire()
    with pytest.raises(Locked, match=rf"by pid {os.getpid()} \(casstore load\) since [\dT:+-]+;"):
        StoreLock(str(path), 0).acquire()
    holder.release()


@pytest.mark.parametrize("text", [b"", b"\xff\x1b[2J" * 99, b"pid 1 (\n) since"])
def test_what_stands_in_the_lock_file_decides_nothing(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    free = StoreLock(str(path), 0)
    free.acquire()
    free.release()
    with filelock.FileLock(path):
        path.write_bytes(text)
        with pytest.raises(Locked) as caught:
            StoreLock(str(path), 0).acquire()
    assert str(caught.value).isprintable()


def test_a_lock_file_that_is_a_symbolic_link_is_refused_and_its_target_untouched(
    path: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path.symlink_to(victim)

    with pytest.raises(StorageError, match="is not a regular file"):
        StoreLock(str(path), 1).acquire()

    assert victim.read_text() == "precious"


def test_a_lock_file_that_is_a_fifo_is_refused_without_waiting(path: Path) -> None:
    os.mkfifo(path)

    with pytest.raises(StorageError, match="is not a regular file"):
        StoreLock(str(path), 1).acquire()


def test_a_lock_file_that_is_a_directory_is_refused(path: Path) -> None:
    path.mkdir()

    with pytest.raises(StorageError, match="is not a regular file"):
        StoreLock(str(path), 1).acquire()


def test_a_token_is_held_until_its_release(tmp_path: Path) -> None:
    token = Token(str(tmp_path), "load", "text")

    assert is_held(token.path)
    assert Path(token.path).read_text() == "text"
    token.release()
    assert not is_held(token.path)
    assert os.listdir(tmp_path) == []


def with_path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
