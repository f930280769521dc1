"""SQLite does not say why it could not use a file: casstore looks."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from casstore.disk.blame import cause


def test_a_full_disk_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for free in ({"f_bavail": 0}, {"f_favail": 0}):
        status = SimpleNamespace(**{"f_bavail": 1, "f_files": 1, "f_favail": 1, **free})
        monkeypatch.setattr(os, "statvfs", lambda _, status=status: status)
        error = cause(str(tmp_path / "casstore.db"), "disk I/O error")

        assert str(error) == "cannot use the index: no space left on device"
        assert error.full


@pytest.mark.parametrize("part", ["", "-wal", "-shm"])
def test_a_link_and_a_file_that_may_not_be_used_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    path = tmp_path / "casstore.db"
    path.touch()
    Path(f"{path}{part}").touch()
    monkeypatch.setattr(os, "access", lambda one, _: one != f"{path}{part}")
    assert str(cause(str(path), "x")) == f"cannot use the index {path}{part}: permission denied"

    Path(f"{path}{part}").unlink()
    Path(f"{path}{part}").symlink_to("nowhere")
    assert "is a symbolic link" in str(cause(str(path), "x"))


def test_otherwise_sqlite_has_the_word(tmp_path: Path) -> None:
    path = tmp_path / "casstore.db"
    assert str(cause(str(path), "disk I/O error")) == f"cannot use the index {path}: disk I/O error"
