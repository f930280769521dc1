"""A disk that is full or failing: one line, a documented status, and the store as it was.

Here a few errors at a few calls; `tools/torture faults` tries every error at every call.
"""

from __future__ import annotations

import io
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from casstore import Store
from casstore.backends.local import ingest
from casstore.backends.local.edits import LocalEdits
from casstore.errors import StorageError
from casstore.files import durable
from casstore.model.digest import Digest
from tests.crash.harness import Bench, Fault, Point
from tests.crash.scenarios import named
from tests.transfer.building import docker_archive, layer

SAMPLE = 4
COMMANDS = (
    "load into nothing", "load beside", "tag that moves", "rmi", "prune of all", "gc", "import",
    "save", "fsck --rebuild", "lease add", "restore in a store of version 3",
    "tag in a store of version 2",
)  # fmt: skip
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@needs_strace
@pytest.mark.parametrize("name", COMMANDS)
def test_an_error_of_the_disk_is_one_clear_line_and_changes_nothing(
    name: str, tmp_path: Path
) -> None:
    bench = Bench(named(name), tmp_path / "bench")
    for fault in bench.faults(SAMPLE):
        assert bench.failed(fault) == "", f"{fault}"


@needs_strace
def test_an_error_of_sqlite_s_reading_is_not_an_internal_error(tmp_path: Path) -> None:
    bench = Bench(named("import"), tmp_path / "bench")
    for count in (5, 7, 9):
        fault = Fault(Point("pread64", count), "EIO", forever=False)
        assert bench.failed(fault) == "", f"{fault}"


@needs_strace
def test_a_commit_that_could_not_be_flushed_is_not_found_again_in_the_log(tmp_path: Path) -> None:
    bench = Bench(named("tag after a command"), tmp_path / "bench")
    fault = Fault(Point("fdatasync", 1), "EIO", forever=True)  # that of the commit: there is a log

    assert bench.failed(fault) == ""


@needs_strace
@pytest.mark.parametrize("count", [6, 7])
def test_one_error_of_reading_is_no_reason_to_make_the_database_anew(
    count: int, tmp_path: Path
) -> None:
    bench = Bench(named("publish"), tmp_path / "bench")  # from index.json it would be an older one
    fault = Fault(Point("pread64", count), "EIO", forever=False)

    assert bench.failed(fault) == ""


def test_blobs_that_the_database_cannot_name_after_a_commit_are_left_to_the_next_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: LocalEdits) -> Iterator[Digest]:
        raise self.connection.told(sqlite3.OperationalError("disk I/O error"))

    archive = docker_archive({"layers": [layer("a")], "tags": ["a:1"]})
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(archive))
        with monkeypatch.context() as patched:
            patched.setattr(LocalEdits, "doomed", fail)
            result = store.remove(["a:1"])
        left = len(list(Path(store.path, "blobs", "sha256").iterdir()))
        store.gc()

        assert (result.exit_code, left) == (0, 3)
        assert "the next change will" in result.warnings[0]
        assert list(Path(store.path, "blobs", "sha256").iterdir()) == []


def test_staging_that_cannot_be_removed_after_a_load_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: str) -> tuple[int, int]:
        raise StorageError(f"cannot remove {path}")

    archive = docker_archive({"layers": [layer("a")], "tags": ["a:1"]})
    with Store(str(tmp_path / "store")) as store:
        with monkeypatch.context() as patched:
            patched.setattr(ingest, "remove_tree", fail)
            result = store.load(io.BytesIO(archive))
        assert [text.startswith("cannot remove") for text in result.warnings] == [True]
        store.gc()
        assert store.check().findings == ()


def test_a_rebuild_keeps_a_change_that_could_not_be_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    archive = docker_archive({"layers": [layer("a")], "tags": ["a:1"]})
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(archive))
        with monkeypatch.context() as patched:
            patched.setattr(durable, "replace_file", fail)
            store.tag("a:1", "b:1")  # committed, and so done, whatever became of index.json
        store.check(rebuild=True)

        assert {name.familiar for image in store.images() for name in image.names} == {"a:1", "b:1"}
