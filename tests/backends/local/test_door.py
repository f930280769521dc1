"""The door: many take leases behind it at a time, and nobody does while a removal is committed."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from casstore.backends.local.locks import Door
from casstore.errors import Locked, StorageError


def door(directory: Path, timeout: float = 0, *, shared: bool = False) -> Door:
    return Door(str(directory), timeout, shared=shared)


def test_many_stand_in_a_shared_door(tmp_path: Path) -> None:
    with door(tmp_path, shared=True), door(tmp_path, shared=True):
        pass


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True), (False, False)])
def test_who_commits_a_removal_is_alone(tmp_path: Path, *, first: bool, second: bool) -> None:
    with door(tmp_path, shared=first):
        before = len(os.listdir("/proc/self/fd"))
        with (
            pytest.raises(Locked, match=r"leases are being taken all the time; gave up after 0 s"),
            door(tmp_path, shared=second),
        ):
            pass
        assert len(os.listdir("/proc/self/fd")) == before
    with door(tmp_path, shared=second):
        pass


def test_the_door_is_waited_for_as_long_as_is_allowed(tmp_path: Path) -> None:
    with door(tmp_path):
        started = time.monotonic()
        with pytest.raises(Locked, match=r"after 0\.2 s"), door(tmp_path, 0.2):
            pass
        assert time.monotonic() - started >= 0.2


def test_who_waits_for_the_door_sleeps_and_gets_it(tmp_path: Path, slept: list[float]) -> None:
    held = door(tmp_path)
    held.__enter__()
    threading.Timer(0.1, held.__exit__).start()
    with door(tmp_path, 30):
        pass

    assert slept
    assert max(slept) < 0.1


@pytest.mark.parametrize("kind", ["link", "file", "nothing"])
def test_only_a_directory_has_a_door(tmp_path: Path, kind: str) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "directory")
    (tmp_path / "file").touch()

    with pytest.raises(StorageError, match=f"^cannot open .*{kind}: "), door(tmp_path / kind):
        pass
