"""Whatever is lost, cut or left half done is in order after the next change."""

from __future__ import annotations

import errno
import io
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import pytest

from casstore.backends.local import directory as local
from casstore.backends.local.blobs import BlobDirectory
from casstore.backends.local.care.fsck import _Check
from casstore.backends.local.published import LayoutFile
from casstore.errors import Damaged, NotAStore, StorageError
from casstore.model.digest import Digest, sha256
from casstore.store import Store
from tests.backends.local.behind import directory_of
from tests.transfer.building import config_of, docker_archive, layer

BASE, TOP = layer("base"), layer("top")
BASE_CONFIG = config_of(BASE)
ARCHIVE = docker_archive(
    {"layers": [BASE, TOP], "tags": ["test1:1", "test:1", "test2:1"],
     "parent": sha256(BASE_CONFIG)},
    {"layers": [BASE], "config": BASE_CONFIG},
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(ARCHIVE))
        store.tag("test1:1", "attached-last:1")
        yield store


DAMAGES = {
    "lost": None, "empty": b"", "garbage": b"no database" * 999, "cut": b"cut",
    "another program's": b"other",
}  # fmt: skip


def damage(store: Store, kind: str) -> None:
    store.close()
    path = Path(directory_of(store).database)
    content = path.read_bytes()
    for file in path.parent.glob("casstore.db*"):
        file.unlink()
    if kind == "cut":
        path.write_bytes(content[: len(content) // 2 + 100])
    elif kind == "another program's":
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE t (x)")
    elif (damaged := DAMAGES[kind]) is not None:
        path.write_bytes(damaged)


@pytest.mark.parametrize("kind", DAMAGES)
def test_readers_answer_from_index_json_when_the_database_is_damaged(
    store: Store, kind: str
) -> None:
    before = store.images(all=True)
    damage(store, kind)

    assert store.images(all=True) == before


@pytest.mark.parametrize("kind", DAMAGES)
def test_the_next_change_rebuilds_the_database_with_all_names_in_order(
    store: Store, kind: str
) -> None:
    before = store.images(all=True)
    damage(store, kind)
    store.gc()

    with Store(store.path) as again:
        assert again.images(all=True) == before
        assert again.check().clean
        result = again.remove([before[0].id], force=True)
    assert [line.text for line in result.outcomes[0].lines[:4]] == [
        "test1:1", "test:1", "test2:1", "attached-last:1",
    ]  # fmt: skip


def test_a_database_that_the_disk_does_not_give_is_not_made_anew_by_the_way(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(
        path: str, mode: str, buffering: int, opener: Callable[[str, int], int] | None = None
    ) -> IO[Any]:
        if path == directory_of(store).database:
            raise OSError(errno.EIO, "Input/output error")
        return open(path, mode, buffering, opener=opener)

    damage(store, "garbage")  # SQLite says the same of both
    monkeypatch.setattr(local, "open", failing, raising=False)

    with pytest.raises(StorageError, match=r"cannot read the index .*: input/output error"):
        store.tag("test:1", "new:1")
    assert Path(directory_of(store).database).read_bytes() == DAMAGES["garbage"]


def test_a_damaged_database_is_kept_aside(store: Store) -> None:
    damage(store, "garbage")
    store.gc()

    aside = list(Path(store.path).glob("casstore.db.damaged-*"))
    assert [path.read_bytes() for path in aside] == [DAMAGES["garbage"]]


def test_a_list_of_more_images_than_a_document_may_have_values_is_read_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = store.images(all=True)
    listed = Path(directory_of(store).layout.path).read_bytes()
    values = sum(map(listed.count, (b",", b"[", b"{")))
    monkeypatch.setattr("casstore.model.document.MAX_VALUES", values - 1)
    damage(store, "lost")

    assert store.images(all=True) == before


def test_a_list_in_a_form_that_somebody_changed_by_hand_is_read_again(store: Store) -> None:
    before = store.images(all=True)
    damage(store, "lost")
    path = Path(directory_of(store).layout.path)
    path.write_text(path.read_text().replace('"size"', '\n"size"'))

    assert store.images(all=True) == before


def test_a_list_with_a_torn_record_is_refused_and_nothing_changes(store: Store) -> None:
    damage(store, "lost")
    path = Path(directory_of(store).layout.path)
    path.write_text(path.read_text().replace('"size":', '"size"', 1))
    files = sorted(os.listdir(store.path))

    with pytest.raises(Damaged, match=r"index\.json cannot be read"):
        store.gc()
    assert sorted(os.listdir(store.path)) == files


@pytest.mark.parametrize("how", ["good", "corrupt", "missing"])
def test_an_explicit_rebuild_finds_a_bad_blob_in_the_one_time_that_it_reads_it(
    store: Store, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {state.kind: state.digest for state in store.session.view().all_blobs()}
    layer_blob = Path(directory_of(store).blobs.path(kinds["layer"]))
    if how == "missing":
        layer_blob.unlink()
    elif how == "corrupt":
        layer_blob.chmod(0o644)
        layer_blob.write_bytes(bytes(layer_blob.stat().st_size))
    read: list[str] = []
    once = BlobDirectory.content

    def content(self: BlobDirectory, digest: Digest, limit: int) -> bytes | None:
        read.append(digest)
        return once(self, digest, limit)

    monkeypatch.setattr(BlobDirectory, "content", content)

    found = store.check(rebuild=True)

    codes = [finding.code for finding in found.findings if finding.level == "error"]
    assert codes == {"good": [], "corrupt": ["blob-corrupt"], "missing": ["blob-missing"]}[how]
    # by fsck itself, after the rebuild, which decompresses it
    assert (kinds["layer"] in read) is (how != "good")


# With a repair: by the rebuild, by the repair, and by the check of what came of it.
@pytest.mark.parametrize(("repair", "reads"), [(False, 1), (True, 3)])
def test_documents_that_a_rebuild_has_read_are_read_again_only_after_a_repair(
    store: Store, monkeypatch: pytest.MonkeyPatch, *, repair: bool, reads: int
) -> None:
    configs = [state.digest for state in store.session.view().all_blobs() if state.kind == "config"]
    read: list[Digest] = []
    once = BlobDirectory.content

    def content(self: BlobDirectory, digest: Digest, limit: int) -> bytes | None:
        read.append(digest)
        return once(self, digest, limit)

    monkeypatch.setattr(BlobDirectory, "content", content)

    assert not store.check(rebuild=True, repair=repair).findings

    assert [read.count(digest) for digest in configs] == [reads] * len(configs)


@pytest.mark.parametrize("how", ["lost", "rewritten", "garbage", "without names"])
def test_an_index_json_that_another_tool_spoilt_is_written_again(store: Store, how: str) -> None:
    path = Path(directory_of(store).layout.path)
    before = json.loads(path.read_text())
    if how == "lost":
        path.unlink()
    elif how == "rewritten":
        path.write_text(json.dumps(before, indent=2))
    elif how == "garbage":
        path.write_text("{")
    else:
        path.write_text('{"schemaVersion":2,"manifests":[]}')
    store.leases.remove()

    # A whole write lists all names first, then what has none.
    after = json.loads(path.read_text())["manifests"]
    assert sorted(after, key=str) == sorted(before["manifests"], key=str)


def test_a_rebuild_believes_an_index_json_of_the_database_s_own_generation(store: Store) -> None:
    layout = directory_of(store).layout
    with store.session.change() as change:
        listed = list(change.index.all_published())
    rows = [row for row in listed if row.name != "docker.io/library/test2:1"]
    generation = layout.generation()
    assert generation is not None
    layout.write(rows, generation)

    store.check(rebuild=True)

    names = [name.familiar for image in store.images() for name in image.names]
    assert names == ["test1:1", "test:1", "attached-last:1"]


def in_a_child_that_dies(action: Callable[[], object]) -> None:
    """Run `action` in a forked process that is gone when it calls `die`."""
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3


def die(*_: object, **__: object) -> None:
    os._exit(3)


@pytest.mark.parametrize("step", ["splice", "discard_some"])
def test_what_a_crash_after_the_commit_left_is_finished_by_the_next_change(
    store: Store, step: str
) -> None:
    store.close()

    def crash() -> None:
        where = LayoutFile if step == "splice" else BlobDirectory
        setattr(where, step, die)
        with Store(store.path) as child:
            child.prune(all=True)

    in_a_child_that_dies(crash)
    assert os.listdir(directory_of(store).blobs.directory) != []
    assert store.images(all=True) == []
    store.gc()

    assert os.listdir(directory_of(store).blobs.directory) == []
    assert json.loads(Path(directory_of(store).layout.path).read_text())["manifests"] == []
    assert store.check().clean


def test_a_load_after_a_crash_keeps_the_blobs_that_were_doomed(store: Store) -> None:
    store.close()

    def crash() -> None:
        pytest.MonkeyPatch().setattr(BlobDirectory, "discard_some", die)
        with Store(store.path) as child:
            child.prune(all=True)

    in_a_child_that_dies(crash)
    store.load(io.BytesIO(ARCHIVE))
    store.gc()

    assert store.check().clean
    assert len(store.images(all=True)) == 2


def test_a_crash_before_the_commit_changes_nothing(store: Store) -> None:
    before = store.images(all=True)
    store.close()

    def crash() -> None:
        from casstore.backends.local.edits import LocalEdits

        pytest.MonkeyPatch().setattr(LocalEdits, "commit", die)
        with Store(store.path) as child:
            child.prune(all=True)

    in_a_child_that_dies(crash)

    assert store.images(all=True) == before
    assert store.check().clean


@pytest.mark.parametrize("action", ["images", "gc"])
def test_a_store_of_a_newer_format_is_refused_and_left_alone(store: Store, action: str) -> None:
    store.close()
    with closing(sqlite3.connect(directory_of(store).database)) as connection:
        connection.execute("PRAGMA user_version = 99")
    files = sorted(os.listdir(store.path))

    with pytest.raises(NotAStore, match="newer casstore") as caught:
        getattr(store, action)()
    assert caught.value.exit_code == 10
    assert sorted(set(os.listdir(store.path))) == files


def test_images_are_found_among_the_blobs_when_all_else_is_lost(store: Store) -> None:
    before = {image.id for image in store.images(all=True)}
    store.close()
    for name in ("casstore.db", "index.json"):
        (Path(store.path) / name).unlink()
    with pytest.raises(Damaged, match="fsck --rebuild"):
        store.gc()
    result = store.check(rebuild=True)

    assert result.clean
    assert {image.id for image in store.images(all=True)} == before
    assert store.gc().removed_blobs == 0


def test_a_directory_in_the_place_of_a_blob_is_not_read_and_goes_when_it_is_empty(
    store: Store,
) -> None:
    for path in Path(directory_of(store).blobs.directory).iterdir():
        path.unlink()
        path.mkdir()
    with pytest.raises(Damaged, match="not a regular file"):
        store.save(["test:1"], io.BytesIO())
    store.remove([store.get("test:1").id], force=True)
    store.prune(all=True)

    assert os.listdir(directory_of(store).blobs.directory) == []


def test_fsck_beside_a_change_waits_for_what_is_being_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(str(tmp_path / "store")) as store, Store(str(tmp_path / "store")) as other:
        store.load(io.BytesIO(docker_archive({"layers": [layer("a")], "tags": ["a:1"]})))
        files = _Check._directory

        def meanwhile(check: _Check) -> None:
            files(check)
            other.tag("a:1", "since:1")

        monkeypatch.setattr(_Check, "_directory", meanwhile)

        assert store.check().findings == ()
