"""ingest/: what a load found stays there for it; what a dead process left goes."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from casstore.backends.local.ingest import Ingest
from casstore.backends.local.leftovers import remove_leftovers
from casstore.backends.local.tokens import Token
from casstore.errors import InvalidReference, Refused
from casstore.files import durable
from casstore.model.digest import sha256
from casstore.store import Store
from tests.backends.local.behind import directory_of
from tests.transfer.building import docker_archive, layer

LAYERS = [layer("one"), layer("two")]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "store"))
    store.load(io.BytesIO(docker_archive({"layers": LAYERS, "tags": ["a:1"]})))
    return store


def staging(store: Store) -> Ingest:
    directory = directory_of(store)
    return Ingest(directory.root, directory.blobs, store.session.view)


def test_a_pin_survives_an_rmi_beside_it(store: Store) -> None:
    with store:
        ingest = staging(store)
        found = ingest.layer_with_diff_id(sha256(LAYERS[0]))
        assert found is not None
        store.remove(["a:1"])

        assert not os.path.exists(directory_of(store).blobs.path(found.digest))
        assert sha256(ingest.read(found.digest)) == found.digest
        ingest.close()


def test_a_blob_that_is_damaged_is_not_found_however_often_it_is_asked_for(store: Store) -> None:
    with store:
        ingest = staging(store)
        found = ingest.layer_with_diff_id(sha256(LAYERS[0]))
        assert found is not None
        ingest.close()
        blob = Path(directory_of(store).blobs.path(found.digest))
        blob.unlink()  # root alone may write into it
        blob.write_bytes(b"cut short")
        ingest = staging(store)

        assert [ingest.has(found.digest) for _ in range(2)] == [None, None]
        assert os.listdir(ingest.directory) == []
        ingest.close()


def test_a_blob_that_was_found_is_not_staged_too(store: Store) -> None:
    with store:
        ingest = staging(store)
        found = ingest.layer_with_diff_id(sha256(LAYERS[0]))
        assert found is not None
        data = ingest.read(found.digest)

        draft = ingest.draft()
        draft.write(data)
        draft.seal(found.digest, len(data))

        assert ingest.staged() == []
        assert os.listdir(ingest.directory) == [found.digest.hex]
        ingest.close()


def test_what_an_rmi_took_is_on_the_disk_before_it_is_put_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store:
        ingest = staging(store)
        found = ingest.layer_with_diff_id(sha256(LAYERS[0]))
        assert found is not None
        store.remove(["a:1"])
        blob = directory_of(store).blobs.path(found.digest)
        order: list[str] = []
        fsync, rename = os.fsync, os.rename

        def note(descriptor: int) -> None:
            order.append(os.readlink(f"/proc/self/fd/{descriptor}"))
            fsync(descriptor)

        def renamed(before: str, after: str) -> None:
            order.append(after)
            rename(before, after)

        monkeypatch.setattr(os, "fsync", note)
        monkeypatch.setattr(os, "rename", renamed)
        ingest.publish(lambda _: set())

        assert order[:2] == [os.path.join(ingest.directory, found.digest.hex), blob]
        ingest.close()


def test_a_forked_child_leaves_the_staging_to_its_parent(store: Store) -> None:
    with store:
        ingest = staging(store)
        child = os.fork()
        if child == 0:
            os._exit(0 if ingest.close() == [] and os.path.exists(ingest.directory) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

        assert os.path.exists(ingest.directory)
        ingest.close()
        assert os.listdir(directory_of(store).ingest) == []


def test_a_load_puts_back_what_an_rmi_took_while_it_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = docker_archive({"layers": LAYERS, "tags": ["b:1"]})
    flush = Ingest.flush

    def remove_then_flush(self: Ingest) -> None:
        with Store(store.path) as other:
            other.remove(["a:1"])
        flush(self)

    monkeypatch.setattr(Ingest, "flush", remove_then_flush)
    with store:
        store.load(io.BytesIO(archive))

        assert [name.familiar for name in store.get("b:1").names] == ["b:1"]
        assert store.check().clean
        with store.open_layer(sha256(LAYERS[1])) as file:
            assert file.read() == LAYERS[1]


def test_the_next_change_removes_dead_staging_and_not_live_staging(store: Store) -> None:
    dead = Path(directory_of(store).ingest, "load-1-dead")
    dead.mkdir()
    (dead / "draft-1").write_bytes(b"x" * 100)
    with store:
        ingest = staging(store)
        draft = ingest.draft()
        draft.write(b"content")
        store.tag("a:1", "b:1")

        assert not dead.exists()
        draft.seal(sha256(b"content"), 7)
        assert ingest.read(sha256(b"content")) == b"content"
        ingest.close()
    assert os.listdir(directory_of(store).ingest) == []


def test_a_draft_of_another_size_is_refused(store: Store) -> None:
    with store:
        ingest = staging(store)
        draft = ingest.draft()
        draft.write(b"content")
        with pytest.raises(Refused, match="has 7 bytes, not 8"):
            draft.seal(sha256(b"content"), 8)
        ingest.close()


def test_a_refused_load_leaves_nothing_in_ingest(store: Store) -> None:
    with store, pytest.raises(InvalidReference):
        store.load(io.BytesIO(docker_archive({"layers": LAYERS, "tags": ["Bad Name"]})))

    assert os.listdir(directory_of(store).ingest) == []


def test_a_damaged_copy_is_not_pinned_and_is_replaced(store: Store) -> None:
    with store:
        record = store.session.view().layer_with_diff_id(sha256(LAYERS[0]))
        assert record is not None
        path = directory_of(store).blobs.path(record.digest)
        os.unlink(path)
        Path(path).write_bytes(b"cut")
        store.load(io.BytesIO(docker_archive({"layers": LAYERS, "tags": ["a:1"]})))

        assert store.check().clean


def test_a_token_locked_after_it_was_thought_dead_keeps_its_staging(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gap between making a token and locking it, as another process's clean-up sees it."""
    area = tmp_path / "ingest"
    area.mkdir()
    token = Token(str(area), "load")
    staging = area / token.name
    staging.mkdir()
    thought_dead = [str(staging), token.path]
    monkeypatch.setattr("casstore.backends.local.leftovers.leftovers", lambda root: thought_dead)

    remove_leftovers(str(tmp_path))

    assert staging.exists()
    assert Path(token.path).exists()
    token.release()
    remove_leftovers(str(tmp_path))
    assert not staging.exists()


def test_the_disk_begins_with_a_large_blob_while_it_is_written(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    monkeypatch.setattr(durable, "BEGUN", 1000)
    monkeypatch.setattr(
        "casstore.backends.local.ingest.start_writeback",
        lambda _, at, size: told.append((at, size)),
    )
    with store:
        ingest = staging(store)
        draft = ingest.draft()
        for size in (400, 400, 400, 3000, 999):
            draft.write(bytes(size))
        draft.discard()
        ingest.close()

    assert told == [(0, 1200), (1200, 3000)]
