"""A blob that the operating system cannot read just now is no corrupt blob."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from casstore import Store
from casstore.disk.blobdir import BlobDirectory
from casstore.errors import StorageError
from tests.transfer.building import docker_archive, layer


class Failing(io.BytesIO):
    """A file on a disk that fails."""

    def fileno(self) -> int:
        return 0

    def readinto(self, buffer: Any) -> int:
        raise OSError(errno.EIO, "Input/output error")


def fail(*_: Any) -> bytes:
    raise OSError(errno.EIO, "Input/output error")


def test_a_repair_leaves_a_blob_that_cannot_be_read_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(docker_archive({"layers": [layer("a")], "tags": ["a:1"]})))
        with monkeypatch.context() as patched:
            patched.setattr(BlobDirectory, "open", lambda *_: Failing())
            patched.setattr(os, "read", fail)
            found = store.check(repair=True)

        assert {finding.code for finding in found.findings} >= {"blob-unreadable"}
        assert not (tmp_path / "store" / "quarantine").exists()
        assert store.check().clean


@pytest.mark.parametrize("name", ["blobs", "blobs/sha256", "ingest"])
def test_a_directory_that_cannot_be_read_is_a_finding(name: str, tmp_path: Path) -> None:
    root = tmp_path / "store"
    with Store(str(root)) as store:
        store.load(io.BytesIO(docker_archive({"layers": [layer("a")], "tags": ["a:1"]})))
    # As root with rights to everything there is no such directory: without two of them there is.
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    as_root = os.geteuid() == 0
    if as_root and shutil.which("setpriv") is None:
        pytest.skip("root may read everything, and setpriv is not installed")
    (root / name).chmod(0)
    try:
        done = subprocess.run(
            [*(drop if as_root else ()), sys.executable, "-m", "casstore",
             "--store", str(root), "fsck"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        (root / name).chmod(0o700)

    where = "ingest" if name == "ingest" else "blobs/sha256"
    assert f"error dir-unreadable {where}: cannot be read: permission denied" in done.stdout
    assert (done.returncode, done.stderr) == (12, "")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    archive = docker_archive(
        {"layers": [layer("a")], "tags": ["a:1"]}, {"layers": [layer("b")], "tags": ["b:1"]}
    )
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(archive))
        yield store


@pytest.fixture
def one_fails(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The disk does not give the manifest of a:1, until it is undone."""
    index = json.loads(Path(store.path, "index.json").read_text())
    lost = index["manifests"][0]["digest"][7:]
    real = os.open

    def failing(path: str, *rest: int, **more: int) -> int:
        if str(path).endswith(lost):
            raise OSError(errno.EIO, "Input/output error")
        return real(path, *rest, **more)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", failing)
        yield patched


def names(store: Store) -> set[str]:
    return {name.familiar for image in store.images() for name in image.names}


def test_a_rebuild_does_not_take_the_place_of_a_sound_database(
    store: Store, one_fails: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StorageError, match=r"cannot read blob sha256:\w+: input/output error"):
        store.check(rebuild=True)

    assert names(store) == {"a:1", "b:1"}


def test_a_change_does_not_rebuild_a_lost_database_without_what_cannot_be_read(
    store: Store, one_fails: pytest.MonkeyPatch
) -> None:
    store.close()
    Path(store.path, "casstore.db").unlink()
    with pytest.raises(StorageError, match=r"cannot read blob sha256:\w+: input/output error"):
        store.tag("b:1", "c:1")
    one_fails.undo()

    store.tag("b:1", "c:1")
    assert names(store) == {"a:1", "b:1", "c:1"}


def test_a_rebuild_of_a_lost_database_goes_on_without_and_a_repair_brings_it_back(
    store: Store, one_fails: pytest.MonkeyPatch
) -> None:
    store.close()
    Path(store.path, "casstore.db").unlink()
    store.check(rebuild=True)
    assert names(store) == {"b:1"}
    one_fails.undo()

    store.check(repair=True)
    assert names(store) == {"a:1", "b:1"}
