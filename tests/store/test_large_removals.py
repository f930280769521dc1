"""Removals of many images in one command: what they tell, leave and write is what few would."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from casstore import Store, commit
from casstore.disk import sqliteindex, sqliteleaving
from casstore.results.removedlines import RemovedLines
from casstore.rules.removal import Removed
from tests.architecture.sources import ROOT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store of images that share some layers; one of them is leased."""
    options = "--images 30 --layers-per-image 2 --shared 1 --pool 3 --unnamed 5 --quiet"
    subprocess.run(
        [sys.executable, ROOT / "tools" / "largestore", *options.split(), tmp_path / "store"],
        check=True,
    )
    with Store(tmp_path / "store") as store:
        store.add_lease("held", "large/7:1")
    return tmp_path / "store"


def one_by_one(path: Path) -> list[Removed]:
    """What a prune of all tells, from a removal for each image."""
    lines: list[Removed] = []
    with Store(path) as store:
        for image in store.images(all=True):
            outcome = store.remove([image.names[0] if image.names else image.id]).outcomes[0]
            lines += outcome.lines
    return lines


def test_a_prune_of_many_tells_and_leaves_what_single_removals_would(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(path) as store:
        store.clone(tmp_path / "other")
    monkeypatch.setattr(sqliteleaving, "_AT_ONCE", 20)
    monkeypatch.setattr(sqliteindex, "MOST_TOLD", 3)
    expected = one_by_one(tmp_path / "other")

    with Store(path) as store:
        result = store.prune(all=True)

        assert list(result.removed) == expected
        assert result.freed == sum(line.size for line in expected)
        assert [image.names for image in store.images()] == [("docker.io/large/7:1",)]
        assert store.check().findings == Store(tmp_path / "other").check().findings
    left, other = (
        {one.name for one in (store / "blobs" / "sha256").iterdir()}
        for store in (path, tmp_path / "other")
    )
    assert left == other


def test_a_removal_of_many_leaves_no_list_to_the_next_change(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "MANY", 10)

    with Store(path) as store:
        store.prune(all=True)

    with closing(sqlite3.connect(path / "casstore.db")) as connection:
        assert connection.execute("SELECT count(*) FROM doomed").fetchone() == (0,)


def test_lines_are_what_was_put_in(path: Path) -> None:
    lines = one_by_one(path)
    kept = RemovedLines(lines)

    assert (tuple(kept), kept[-1], kept[1:3]) == (tuple(lines), lines[-1], tuple(lines[1:3]))
    assert kept == lines
    assert kept == RemovedLines(lines)
    assert kept != RemovedLines(lines[:-1])
    assert repr(kept) == repr(tuple(lines))
    with pytest.raises(IndexError):
        kept[len(lines)]
