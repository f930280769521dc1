"""A store that publishes index.json on demand: what it says, what it never says, what is left."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from casstore import Damaged, StorageError, Store
from casstore.backends.local.blobs import BlobDirectory
from casstore.backends.local.published import LayoutFile
from casstore.model.digest import Digest

ARCHIVES = Path(__file__).parents[2] / "fixtures" / "transcripts" / "archives"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The images of chain.tar, published on demand."""
    store = Store(tmp_path / "store")
    store.load(str(ARCHIVES / "chain.tar"))
    store.publish(on_demand=True)
    return store


def listed(store: Store) -> list[str]:
    """Names and digests in index.json, as any OCI tool reads it."""
    index = json.loads(Path(store.path, "index.json").read_text())
    assert index["schemaVersion"] == 2
    return [entry["digest"] for entry in index["manifests"]]


def lose_database(store: Store) -> None:
    store.close()
    for path in Path(store.path).glob("casstore.db*"):
        path.unlink()


def test_the_command_itself_publishes(store: Store) -> None:
    assert len(listed(store)) == len(store.images(all=True)) > 0


def test_a_change_withdraws_what_was_published(store: Store) -> None:
    store.tag("app:1", "other:1")

    assert listed(store) == []
    assert [image.names for image in store.images(patterns=["other:1"])]
    assert store.check().clean


def test_further_changes_do_not_write_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.tag("app:1", "other:1")
    before = Path(store.path, "index.json").stat()
    monkeypatch.setattr(LayoutFile, "write", None)
    monkeypatch.setattr(LayoutFile, "splice", None)

    store.tag("app:1", "other:2")
    store.remove(["other:1"])
    store.gc()

    assert Path(store.path, "index.json").stat() == before


def test_publishing_again_lists_what_is_there(store: Store) -> None:
    store.remove(["app:1"])
    store.publish()
    tops = {digest for image in store.images(all=True) for digest in store.get(image.id).manifests}

    assert set(listed(store)) == tops
    assert store.check().findings == ()


def test_a_blob_goes_only_when_index_json_no_longer_names_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    discard_some = BlobDirectory.discard_some

    def watched(
        self: BlobDirectory, digests: list[Digest], seconds: float
    ) -> tuple[int, list[str]]:
        seen.append(listed(store))
        return discard_some(self, digests, seconds)

    monkeypatch.setattr(BlobDirectory, "discard_some", watched)
    store.remove(["app:1"])

    assert seen == [[]]


def test_what_could_not_be_withdrawn_is_by_the_next_change(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: LayoutFile) -> None:
        raise StorageError("cannot publish index.json: no space left on device", full=True)

    with monkeypatch.context() as patch:
        patch.setattr(LayoutFile, "withdraw", full)
        result = store.remove(["app:1"])
    assert "cannot publish index.json" in result.warnings[0]
    assert not store.check().clean

    store.gc()

    assert listed(store) == []
    assert store.check().findings[0].code == "index-withdrawn"
    assert not [f for f in store.check().findings if f.code == "orphan-blob"]


def test_always_publishes_at_once_and_with_every_change(store: Store) -> None:
    store.tag("app:1", "other:1")
    store.publish(on_demand=False)
    count = len(listed(store))
    store.tag("app:1", "other:2")

    assert len(listed(store)) == count + 1
    assert not Path(store.path, "index.json.last").exists()
    assert store.check().findings == ()


def test_what_another_tool_adds_to_a_withdrawn_index_is_taken_in(store: Store) -> None:
    store.tag("app:1", "other:1")
    path = Path(store.path, "index.json")
    index = json.loads(path.read_text())
    top = store.get("app:1").manifests[0]
    size = Path(store.path, "blobs", "sha256", top.hex).stat().st_size
    index["manifests"].append(
        {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": top,
            "size": size,
            "annotations": {"org.opencontainers.image.ref.name": "theirs:1"},
        }
    )
    path.write_text(json.dumps(index))
    store.tag("app:1", "other:2")

    assert store.get("theirs:1").id == store.get("app:1").id
    assert listed(store) == []


def test_a_rebuild_knows_what_was_published_last(store: Store) -> None:
    images = store.images(all=True)
    store.tag("app:1", "later:1")
    lose_database(store)

    repaired = store.check(rebuild=True).repaired

    assert store.images(all=True) == images
    assert "published before the last changes" in "".join(repaired)
    with pytest.raises(Damaged, match=r"index\.json\.damaged-"):
        store.gc()
    store.check(repair=True)
    with pytest.raises(Damaged, match=r"index\.json\.damaged-"):
        store.gc()


def test_a_rebuild_beside_a_sound_database_loses_nothing(store: Store) -> None:
    store.tag("app:1", "later:1")
    images = store.images(all=True)

    store.check(rebuild=True)

    assert store.images(all=True) == images
    assert [one.value for one in store.settings.list() if one.name == "publish"] == ["on-demand"]
    store.gc()


def test_a_rebuild_with_no_list_of_images_is_refused(store: Store) -> None:
    store.tag("app:1", "later:1")
    lose_database(store)
    Path(store.path, "index.json.last").unlink()
    blobs = set(Path(store.path, "blobs", "sha256").iterdir())

    for change in (lambda: store.remove(["app:1"]), store.gc, store.images):
        with pytest.raises(Damaged, match=r"index\.json was not published"):
            change()

    assert set(Path(store.path, "blobs", "sha256").iterdir()) == blobs


def test_a_clone_publishes_on_demand_too(store: Store, tmp_path: Path) -> None:
    store.tag("app:1", "later:1")
    store.clone(tmp_path / "copy")
    with Store(tmp_path / "copy") as copy:
        copy.remove(["later:1"])

        assert listed(copy) == []
        assert copy.check().clean


def test_without_hard_links_the_last_list_is_a_copy(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = Path(store.path, "index.json").read_bytes()
    monkeypatch.setattr("casstore.files.durable.share", lambda source, target: False)
    store.tag("app:1", "later:1")

    assert Path(store.path, "index.json.last").read_bytes() == published
    shutil.rmtree(store.path)


def test_a_publishing_that_fails_leaves_the_setting_as_it_was(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StorageError("cannot publish index.json: input/output error")

    store.remove(["app:1"], force=True)
    with monkeypatch.context() as patched:
        patched.setattr(LayoutFile, "write", fail)
        with pytest.raises(StorageError):
            store.publish(on_demand=False)

    assert {one.name: one.value for one in store.settings.list()}["publish"] == "on-demand"
