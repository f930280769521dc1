"""The writers' lock: exclusive, freed by the kernel, never followed out of the store."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import filelock
import pytest

from casstore.backends.local import locks
from casstore.backends.local.locks import StoreLock
from casstore.backends.local.tokens import Token, is_held
from casstore.errors import Locked, StorageError
from casstore.files import durable
from tests.backends.local.forking import are_open, child, open_many

# From 3.12 on Python warns of every fork beside a thread, of which pytest-xdist has one.
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")

HOLDER = """
import sys, time
from casstore.backends.local import locks
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


@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_what_comes_into_the_place_of_a_held_lock_file_is_not_read(
    path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.with_name("secret").write_text("secret")
        path.symlink_to(path.with_name("secret"))
    monkeypatch.setattr(locks, "try_lock", lambda _: None)  # as before it came

    with pytest.raises(Locked, match=r"^the store is locked; gave up after 0 s$"):
        StoreLock(str(path), 0).acquire()


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


def test_a_lock_is_held_within_its_block_and_no_longer(path: Path) -> None:
    lock, other = StoreLock(str(path), 0), StoreLock(str(path), 0)
    for _ in range(2):
        with lock, pytest.raises(Locked):
            other.acquire()
        other.acquire()
        other.release()


def test_a_block_goes_on_with_a_lock_that_was_taken_and_gives_it_up(path: Path) -> None:
    lock = StoreLock(str(path), 0)
    lock.acquire()
    with lock:
        pass

    with StoreLock(str(path), 0):
        pass


def test_a_process_without_standard_input_locks_as_any_other(path: Path) -> None:
    before = os.dup(0)
    os.close(0)
    try:
        lock = StoreLock(str(path), 0)
        lock.acquire()  # its descriptor is 0
        with lock:
            pass
        with StoreLock(str(path), 0):
            pass
    finally:
        os.dup2(before, 0)
        os.close(before)


def test_giving_a_lock_up_twice_closes_nothing_else(path: Path) -> None:
    lock = StoreLock(str(path), 0)
    lock.acquire()
    lock.release()
    others = open_many()
    lock.release()

    assert are_open([0, *others])
    with child(lambda: are_open(others)):
        pass
    for one in others:
        os.close(one)


def test_a_child_does_not_hold_what_its_parent_has_given_up(path: Path) -> None:
    lock = StoreLock(str(path), 0)
    lock.acquire()
    with child(lambda: True):
        lock.release()
        with StoreLock(str(path), 0):
            pass


def test_a_child_gives_up_nothing_of_its_parent_s(path: Path) -> None:
    lock = StoreLock(str(path), 0)
    lock.acquire()

    def release() -> bool:
        others = open_many()
        lock.release()
        return are_open(others)

    with child(release), pytest.raises(Locked):
        StoreLock(str(path), 0).acquire()
    lock.release()


def test_a_short_wait_is_slept_through_without_filelock(
    path: Path, monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    monkeypatch.setitem(sys.modules, "filelock", None)
    holder = StoreLock(str(path), 0)
    holder.acquire()
    threading.Timer(0.1, holder.release).start()
    with StoreLock(str(path), 30):
        pass

    assert slept
    assert max(slept) < 0.1


def test_the_rest_of_a_long_wait_is_filelock_s(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    real = filelock.FileLock

    def note(path: str, *, timeout: float, poll_interval: float) -> filelock.BaseFileLock:
        waits.append(timeout)
        return real(path, timeout=timeout, poll_interval=poll_interval)

    monkeypatch.setattr(filelock, "FileLock", note)
    holder = StoreLock(str(path), 0)
    holder.acquire()
    with pytest.raises(Locked):
        StoreLock(str(path), 2).acquire()
    holder.release()

    assert 0 < waits[0] <= 1


def test_the_holder_is_said_with_the_place_where_its_pid_means_something(path: Path) -> None:
    with StoreLock(str(path), 0):
        said = path.read_text()

    namespace = os.stat("/proc/self/ns/pid").st_ino
    assert f" on {os.uname().nodename}, pid namespace {namespace}, since " in said


@pytest.mark.parametrize(
    ("argv", "name"),
    [(["/opt/bin/nightly", "--key=secret"], "nightly"), ([""], "python"), ([], "python")],
)
def test_a_holder_without_a_command_is_named_by_its_program(
    path: Path, monkeypatch: pytest.MonkeyPatch, argv: list[str], name: str
) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    with StoreLock(str(path), 0):
        assert path.read_text().startswith(f"pid {os.getpid()} ({name}) on ")


def test_who_tries_in_vain_leaves_no_file_open(path: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with StoreLock(str(path), 0):
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(Locked):
            StoreLock(str(path), 0.05).acquire()
        with pytest.raises(StorageError):
            StoreLock(str(tmp_path / "fifo"), 0).acquire()

        assert len(os.listdir("/proc/self/fd")) == before


def test_a_lock_file_that_cannot_be_made_is_told_with_the_reason(path: Path) -> None:
    with pytest.raises(StorageError, match=r"^cannot lock .*: no such file or directory$"):
        StoreLock(str(path.parent / "nothing" / "casstore.lock"), 0).acquire()


def test_a_user_who_may_not_write_the_lock_file_is_told_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")  # root may write everything

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StorageError, match="permission denied, the store is read-only for this us"):
        StoreLock(str(path), 0).acquire()


def test_a_file_system_without_locks_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StorageError, match=r"^cannot lock .*: no locks available$"):
        StoreLock(str(path), 0).acquire()


def test_a_lock_file_that_is_removed_while_it_is_locked_is_made_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock

    def remove_it(descriptor: int, kind: int) -> None:
        monkeypatch.undo()
        path.unlink()
        real(descriptor, kind)

    monkeypatch.setattr(fcntl, "flock", remove_it)
    with StoreLock(str(path), 0), pytest.raises(Locked):
        StoreLock(str(path), 0).acquire()


def linked(path: Path) -> Path:
    """The lock file of a copy of the store by hard links."""
    path.touch()
    copy = path.with_name("copy.lock")
    os.link(path, copy)
    return copy


@pytest.mark.parametrize("mode", [0o755, 0o2775])
def test_a_lock_file_with_a_second_name_is_replaced_by_one_of_the_store_s_own(
    path: Path, mode: int
) -> None:
    copy = linked(path)
    path.with_name("ingest").mkdir()
    path.parent.chmod(mode)
    before = len(os.listdir("/proc/self/fd"))
    with StoreLock(str(path), 0):
        assert len(os.listdir("/proc/self/fd")) == before + 1
        with StoreLock(str(copy), 0), pytest.raises(Locked):
            StoreLock(str(path), 0).acquire()
    assert path.stat().st_nlink == 1
    assert path.stat().st_mode & 0o020 == mode & 0o020
    own = path.stat().st_ino
    with StoreLock(str(path), 0):
        assert path.stat().st_ino == own


@pytest.mark.parametrize("full", [False, True])
def test_where_none_of_its_own_can_be_made_the_shared_lock_file_is_locked(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, full: bool
) -> None:
    copy = linked(path)
    if full:
        path.with_name("ingest").mkdir()

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(durable, "publish", refuse)
    before = len(os.listdir("/proc/self/fd"))
    with StoreLock(str(path), 0):
        assert len(os.listdir("/proc/self/fd")) == before + 1
        with pytest.raises(Locked):
            StoreLock(str(copy), 0).acquire()


def with_path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
