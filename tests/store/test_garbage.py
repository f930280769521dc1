"""gc in turns: each short, none without progress, and what has come back meanwhile stays."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest

from casstore import Store
from casstore.backends.local import asides
from casstore.backends.local.blobs import BlobDirectory
from casstore.change.removal import remove_images
from casstore.gc import garbage
from casstore.model.digest import sha256
from tests.architecture.sources import ROOT
from tests.backends.local.behind import directory_of
from tests.transfer.building import docker_archive, layer

ARCHIVE = str(ROOT / "fixtures" / "transcripts" / "archives" / "chain.tar")
DEAD = [b"dead %d" % number for number in range(100)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with an image, and blobs that nobody needs."""
    store = Store(tmp_path / "store")
    store.load(ARCHIVE)
    for data in DEAD:
        Path(store.path, "blobs", "sha256", sha256(data).hex).write_bytes(data)
    return store


def blobs_of(store: Store) -> set[str]:
    return {path.name for path in Path(store.path, "blobs", "sha256").iterdir()}


def test_turns_that_have_no_time_still_remove_everything(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garbage, "TURN", 0.0)
    monkeypatch.setattr(garbage, "PAUSE", 0.0)

    result = store.gc()

    assert (result.removed_blobs, result.freed) == (len(DEAD), sum(map(len, DEAD)))
    assert not blobs_of(store) & {sha256(data).hex for data in DEAD}
    assert store.check().clean


def test_a_blob_that_is_loaded_between_two_turns_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = blobs_of(store) - {sha256(data).hex for data in DEAD}
    store.prune(all=True)
    store.gc()
    for name in [*away, *(sha256(data).hex for data in DEAD)]:  # as a crash would leave them
        Path(store.path, "blobs", "sha256", name).write_bytes(b"")

    def meanwhile(_: float) -> None:
        monkeypatch.setattr(time, "sleep", lambda _: None)
        with Store(store.path) as other:
            other.load(ARCHIVE)

    monkeypatch.setattr(garbage, "MOST", 1)
    monkeypatch.setattr(time, "sleep", meanwhile)
    result = store.gc()

    assert result.removed_blobs in (len(DEAD), len(DEAD) + 1)
    assert away <= blobs_of(store)
    assert store.check().clean


def test_gc_counts_what_its_own_start_recovers_from_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(docker_archive({"layers": [layer("a")], "tags": ["a:1"]})))
        sizes = [
            path.stat().st_size for path in Path(directory_of(store).blobs.directory).iterdir()
        ]
        with monkeypatch.context() as patched:
            patched.setattr(BlobDirectory, "discard_some", lambda _, some, __: (len(some), []))
            with store.session.change() as change:
                remove_images(
                    change, ["a:1"], force=False, prune=True, glob=False, verbose=False, keep=None
                )
        staging = Path(directory_of(store).ingest, "load-1-0123456789ab")
        staging.mkdir()
        (staging / "draft-1").write_bytes(b"x" * 100)
        expected = (len(sizes), 1, sum(sizes) + 100)

        assert store.gc(dry_run=True)[:3] == expected
        assert store.gc()[:3] == expected
        assert store.gc()[:3] == (0, 0, 0)


def test_gc_removes_a_database_that_was_put_aside_when_its_days_are_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(docker_archive({"layers": [layer("a")], "tags": ["a:1"]})))
        aside = Path(store.path, "casstore.db.damaged-01234567")
        aside.write_bytes(b"x" * 100)
        assert store.gc()[:3] == (0, 0, 0)
        monkeypatch.setattr(asides, "ASIDE_DAYS", -1)

        planned = store.gc(dry_run=True)
        assert aside.exists()
        assert store.gc() == planned
        assert planned[1:3] == (1, 100)
        assert planned.findings[0].startswith("casstore.db.damaged-01234567 removed")
        assert not aside.exists()
