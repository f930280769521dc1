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
from typing import TYPE_CHECKING, NoReturn

import pytest

from casstore import Store
from casstore.backends.local.blobs import BlobDirectory, StoreFile
from casstore.errors import StorageError
from casstore.model.digest import Digest
from tests.transfer.building import docker_archive, layer

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Failing(io.BytesIO):
    """A file on a disk that fails."""

    def fileno(self) -> int:
        return 0

    def readinto(self, buffer: WriteableBuffer, /) -> NoReturn:
        raise OSError(errno.EIO, "Input/output error")


class Unreadable(io.RawIOBase):
    """A stream that ends in an error of the disk."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> NoReturn:
        raise OSError(errno.EIO, "Input/output error")


def fail(*_: object) -> NoReturn:
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


def test_a_source_that_cannot_be_read_is_told_as_such(tmp_path: Path) -> None:
    with Store(str(tmp_path / "store")) as store:
        with pytest.raises(StorageError, match=r"^cannot read the stream: input/output error$"):
            store.import_image(io.BufferedReader(Unreadable()))
        assert store.check().findings == ()


def test_a_blob_that_cannot_be_read_is_not_blamed_on_the_output_of_a_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, opened = os.open(tmp_path, os.O_RDONLY), BlobDirectory.open

    def without_bytes(blobs: BlobDirectory, digest: Digest) -> StoreFile:
        file = opened(blobs, digest)
        os.dup2(directory, file.fileno())  # which gives none
        return file

    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(docker_archive({"layers": [layer("a")], "tags": ["a:1"]})))
        monkeypatch.setattr(BlobDirectory, "open", without_bytes)
        with pytest.raises(StorageError, match=r"^cannot read blob sha256:\w+: is a directory$"):
            store.save(["a:1"], tmp_path / "out.tar")

    os.close(directory)
    assert not (tmp_path / "out.tar").exists()


def as_owner(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command run by the owner of the store: root with rights to everything is no such user."""
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    as_root = os.geteuid() == 0
    if as_root and shutil.which("setpriv") is None:
        pytest.skip("root may read everything, and setpriv is not installed")
    return subprocess.run(
        [*(drop if as_root else ()), sys.executable, "-m", "casstore",
         "--store", str(root), *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["blobs", "blobs/sha256", "ingest"])
def test_a_directory_that_cannot_be_read_is_a_finding(name: str, tmp_path: Path) -> None:
    root = tmp_path / "store"
    with Store(str(root)) as store:
        store.load(io.BytesIO(docker_archive({"layers": [layer("a")], "tags": ["a:1"]})))
    (root / name).chmod(0)
    try:
        done = as_owner(root, "fsck")
    finally:
        (root / name).chmod(0o700)

    where = "ingest" if name == "ingest" else "blobs/sha256"
    assert f"error dir-unreadable {where}: cannot be read: permission denied" in done.stdout
    assert (done.returncode, done.stderr) == (1, "")


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


def test_fsck_says_that_index_json_cannot_be_read_and_what_follows(store: Store) -> None:
    store.close()
    Path(store.path, "index.json").chmod(0)
    done = as_owner(Path(store.path), "fsck")

    assert done.stdout.splitlines()[0] == (
        "error index-unreadable index.json: cannot be read: permission denied; nothing is changed"
        " until it can be, for it may list what another tool put into the store"
    )
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    "words",
    ["tag b:1 c:1", "rmi a:1", "gc", "prune -fa", "publish", "lease add x a:1", "fsck --rebuild"],
)
def test_no_change_is_made_while_index_json_cannot_be_read(store: Store, words: str) -> None:
    store.close()
    path = Path(store.path, "index.json")
    text = path.read_bytes()
    path.chmod(0)
    done = as_owner(Path(store.path), *words.split())
    path.chmod(0o600)

    assert done.returncode == 1
    assert "cannot read index.json: permission denied; nothing is changed" in done.stderr
    assert path.read_bytes() == text
    assert names(store) == {"a:1", "b:1"}


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("casstore.lock", 0), ("casstore.db", 0o444), ("index.json", 0), ("oci-layout", 0),
        ("ingest", 0o500), ("blobs/sha256", 0o500), ("blobs", 0), (".", 0o500),
    ],
)  # fmt: skip
def test_a_repair_gives_the_owner_the_rights_back_that_a_change_needs(
    store: Store, name: str, mode: int
) -> None:
    store.close()
    root = Path(store.path)
    (root / name).chmod(mode)
    found = as_owner(root, "fsck")
    repaired = as_owner(root, "fsck", "--repair")

    assert f"note part-mode {name}: mode {mode:04o}: " in found.stdout or name == "oci-layout"
    assert (
        repaired.stdout == f"repaired: {name} had mode {mode:04o}: its owner can change it again\n"
    )
    assert as_owner(root, "tag", "a:1", "c:1").returncode == 0
    assert as_owner(root, "fsck").stdout == ""


def test_a_repair_makes_a_blob_readable_that_its_owner_may_not_read(store: Store) -> None:
    store.close()
    blob = max(Path(store.path, "blobs", "sha256").iterdir(), key=lambda path: path.name)
    blob.chmod(0)
    assert "error blob-unreadable" in as_owner(Path(store.path), "fsck").stdout
    repaired = as_owner(Path(store.path), "fsck", "--repair")

    assert repaired.stdout == f"repaired: sha256:{blob.name} made read-only\n"
    assert blob.stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize("kind", ["link", "directory", "fifo"])
def test_fsck_names_a_lock_file_that_is_none(store: Store, kind: str) -> None:
    store.close()
    lock = Path(store.path, "casstore.lock")
    lock.unlink()
    if kind == "link":
        lock.symlink_to("oci-layout")
    elif kind == "directory":
        lock.mkdir()
    else:
        os.mkfifo(lock)

    assert [one.code for one in store.check().findings] == ["lock-bad"]
