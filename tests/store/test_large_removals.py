"""Removals of many images in one command: what they tell, leave and write is what few would."""

from __future__ import annotations

import math
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from casstore import Store
from casstore.backends.local import blobs as blobdir
from casstore.backends.local import edits as sqliteindex
from casstore.backends.local import removals as sqliteleaving
from casstore.backends.local.locks import StoreLock
from casstore.change import commit
from casstore.model.removal import Removed
from casstore.model.removedlines import RemovedLines
from tests.architecture.sources import ROOT

OPTIONS = "--images 30 --layers-per-image 2 --shared 1 --pool 3 --unnamed 5 --quiet"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store of images that share some layers; one of them is leased."""
    subprocess.run(
        [sys.executable, ROOT / "tools" / "largestore", *OPTIONS.split(), tmp_path / "store"],
        check=True,
    )
    with Store(tmp_path / "store") as store:
        store.leases.add("held", "large/7:1")
    return tmp_path / "store"


@pytest.fixture
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change unlinks a doomed blob or two in a turn, on a slow disk too: no threads help it."""
    monkeypatch.setattr(commit, "UNLINKING", 0.0)
    monkeypatch.setattr(blobdir, "_WAITING", math.inf)


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


def test_a_removal_of_many_leaves_no_list_to_the_next_change(path: Path) -> None:
    with Store(path) as store:
        store.prune(all=True)

    with closing(sqlite3.connect(path / "casstore.db")) as connection:
        assert connection.execute("SELECT count(*) FROM doomed").fetchone() == (0,)


@pytest.mark.usefixtures("short_turns")
def test_others_get_the_lock_while_many_blobs_are_unlinked(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[int] = []

    def other_at_work(_: float) -> None:
        left.append(len(blobs(path)))
        with Store(path, lock_timeout=0.0) as other:
            other.tag("large/7:1", f"tagged:{len(left)}")

    monkeypatch.setattr(time, "sleep", other_at_work)
    with Store(path) as store:
        store.prune(all=True)

        assert len(left) > 1  # how many turns depends on the disk
        assert left == sorted(left, reverse=True)
        assert len(store.images()[0].names) == 1 + len(left)
        assert (store.notices, store.check().findings) == ([], needed_only(store))


def needed_only(store: Store) -> tuple[()]:
    """No findings: what fsck says of a store without one unneeded blob."""
    assert blobs(Path(store.path)) == {blob.digest.hex for blob in store.session.view().all_blobs()}
    return ()


def blobs(path: Path) -> set[str]:
    return {one.name for one in (path / "blobs" / "sha256").iterdir()}


@pytest.fixture
def stopped(short_turns: None, path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store whose prune was stopped while it unlinked."""

    def stop(_: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(time, "sleep", stop)
        with Store(path) as store, pytest.raises(KeyboardInterrupt):
            store.prune(all=True)
    return path


def test_a_change_finishes_for_a_while_what_a_stopped_removal_left(stopped: Path) -> None:
    before = len(blobs(stopped))

    with Store(stopped) as store:
        store.tag("large/7:1", "new:1")
        between = len(blobs(stopped))
        store.gc()

        assert before > between > len(blobs(stopped))
        assert needed_only(store) == ()


def test_a_blob_that_comes_back_before_its_file_was_unlinked_stays(
    stopped: Path, tmp_path: Path
) -> None:
    subprocess.run(
        [sys.executable, ROOT / "tools" / "largestore", *OPTIONS.split(), tmp_path / "same"],
        check=True,
    )

    with Store(stopped) as store:
        store.load(str(tmp_path / "same"))
        store.tag("large/7:1", "new:1")
        store.gc()

        assert len(store.images(all=True)) == 30
        assert (store.check().clean, needed_only(store)) == (True, ())


@pytest.mark.usefixtures("short_turns")
def test_what_stops_the_unlinking_is_no_error_of_the_removal(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locks(_: float) -> None:
        stack.enter_context(StoreLock(str(path / "casstore.lock"), 0.0))

    monkeypatch.setattr(time, "sleep", locks)
    with ExitStack() as stack, Store(path, lock_timeout=0.0) as store:
        store.prune(all=True)

        assert [one.names for one in store.images()] == [("docker.io/large/7:1",)]
        assert "the next change removes the blobs that are left" in store.notices[0]


def test_lines_are_what_was_put_in(path: Path) -> None:
    lines = one_by_one(path)
    kept = RemovedLines(lines)

    assert (tuple(kept), kept[-1], kept[1:3]) == (tuple(lines), lines[-1], tuple(lines[1:3]))
    assert kept == lines
    assert kept == RemovedLines(lines)
    assert kept != RemovedLines(lines[:-1])
    with pytest.raises(IndexError):
        kept[len(lines)]
