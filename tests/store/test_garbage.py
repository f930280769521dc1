"""gc in turns: each short, none without progress, and what has come back meanwhile stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from casstore import Store
from casstore.care import garbage
from casstore.model.digest import sha256
from tests.architecture.sources import ROOT

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
        monkeypatch.setattr(garbage.time, "sleep", lambda _: None)
        with Store(store.path) as other:
            other.load(ARCHIVE)

    monkeypatch.setattr(garbage, "MOST", 1)
    monkeypatch.setattr(garbage.time, "sleep", meanwhile)
    result = store.gc()

    assert result.removed_blobs in (len(DEAD), len(DEAD) + 1)
    assert away <= blobs_of(store)
    assert store.check().clean
