"""What is put aside, or made, is there after a power cut too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from casstore.backends.local.creation import install_database
from casstore.backends.local.directory import LocalStore
from casstore.files import durable


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    done: list[str] = []
    monkeypatch.setattr(durable, "sync_directory", done.append)
    return done


def test_a_file_put_aside_in_another_directory_is_synced_in_both_the_new_one_first(
    tmp_path: Path, synced: list[str]
) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    (tmp_path / "old" / "file").write_bytes(b"x")
    durable.move_aside(str(tmp_path / "old" / "file"), str(tmp_path / "new" / "file"))

    assert synced == [str(tmp_path / "new"), str(tmp_path / "old")]


def test_each_directory_that_is_made_is_synced_in_the_one_above(
    tmp_path: Path, synced: list[str]
) -> None:
    durable.make_directories(str(tmp_path / "a" / "b"))

    assert (tmp_path / "a" / "b").is_dir()
    assert synced == [str(tmp_path), str(tmp_path / "a")]


def test_a_database_put_aside_takes_its_log_with_it(tmp_path: Path) -> None:
    disk = LocalStore(str(tmp_path))
    for name, text in (("casstore.db", "old"), ("casstore.db-wal", "log"), ("new", "new")):
        (tmp_path / name).write_text(text)
    install_database(disk, str(tmp_path / "new"))

    assert (tmp_path / "casstore.db").read_text() == "new"
    assert not (tmp_path / "casstore.db-wal").exists()
    aside = sorted(name for name in os.listdir(tmp_path) if "damaged" in name)
    assert [(tmp_path / name).read_text() for name in aside] == ["old", "log"]
