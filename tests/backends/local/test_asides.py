"""Databases that were put aside: kept for so many days, then gc's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from casstore.backends.local.asides import ASIDE, old_copies, remove_copies
from casstore.backends.local.directory import LocalStore
from casstore.ports.backend import ASIDE_DAYS

DAYS = ASIDE_DAYS * 86400 * 10**9


@pytest.fixture
def disk(tmp_path: Path) -> LocalStore:
    for name in (f"{ASIDE}2", f"{ASIDE}1", "casstore.db", "other"):
        (tmp_path / name).write_bytes(b"four")
    return LocalStore(str(tmp_path))


def over(disk: LocalStore, name: str) -> int:
    """The first moment at which one is old."""
    return os.lstat(os.path.join(disk.root, name)).st_ctime_ns + DAYS + 1


def test_they_are_old_when_their_days_are_over(disk: LocalStore) -> None:
    moment = over(disk, f"{ASIDE}1")

    assert [name for name, _ in old_copies(disk, moment - 1)] in ([], [f"{ASIDE}2"])
    assert (f"{ASIDE}1", 4) in old_copies(disk, moment)


def test_they_come_by_name_and_nothing_else_does(disk: LocalStore) -> None:
    assert old_copies(disk, over(disk, f"{ASIDE}2") + DAYS) == [(f"{ASIDE}1", 4), (f"{ASIDE}2", 4)]


def test_one_with_another_name_frees_nothing(disk: LocalStore, tmp_path: Path) -> None:
    os.link(tmp_path / f"{ASIDE}1", tmp_path / "link")

    assert dict(old_copies(disk, over(disk, f"{ASIDE}1") + DAYS)) == {
        f"{ASIDE}1": 0,
        f"{ASIDE}2": 4,
    }


def test_one_that_goes_meanwhile_is_passed_over(
    disk: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = [f"{ASIDE}0", f"{ASIDE}2"]
    monkeypatch.setattr(os, "listdir", lambda _: listed)

    assert old_copies(disk, over(disk, f"{ASIDE}2")) == [(f"{ASIDE}2", 4)]


def test_what_can_be_removed_goes_and_is_told(disk: LocalStore) -> None:
    copies = [(f"{ASIDE}0", 7), (f"{ASIDE}2", 4)]

    assert remove_copies(disk, copies) == [(f"{ASIDE}2", 4)]
    assert sorted(os.listdir(disk.root)) == ["casstore.db", f"{ASIDE}1", "other"]
