"""What is in a store besides blobs: links, directories in the way, files of another user."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from casstore import Damaged, NotAStore, NotFound, StorageError, Store
from casstore.backends.local.care.repair import quarantine
from casstore.backends.local.creation import MAX_PATH
from casstore.backends.local.locks import try_lock
from casstore.backends.local.reserve import Reserve
from casstore.backends.local.tokens import Token, is_held
from casstore.model.digest import Digest
from tests.backends.local.behind import directory_of
from tests.store.test_unreadable import as_owner
from tests.transfer.building import Layout, docker_archive, layer

ARCHIVE = docker_archive({"layers": [layer("a")], "tags": ["a:1"]})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "store"))
    store.load(io.BytesIO(ARCHIVE))
    return store


def a_layer(store: Store) -> Path:
    return Path(store.path, "blobs", "sha256", store.get("a:1").layers[0].hex)


# Links


def test_the_reserve_is_not_given_up_by_way_of_a_link(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "store"
    outside.mkdir()
    root.mkdir()
    (outside / "space").write_text("somebody's")
    (root / "casstore.reserve").symlink_to(outside)
    reserve = Reserve(str(root), ())

    assert not reserve.give_up()
    reserve.restore()

    assert [path.name for path in outside.iterdir()] == ["space"]
    assert (outside / "space").read_text() == "somebody's"


def test_of_the_reserve_only_what_casstore_makes_is_given_up(tmp_path: Path) -> None:
    reserve = Reserve(str(tmp_path), ())
    reserve.restore()
    (tmp_path / "casstore.reserve" / "mine").write_text("somebody's")

    assert reserve.give_up()

    assert os.listdir(tmp_path / "casstore.reserve") == ["mine"]


def test_nothing_is_put_aside_by_way_of_a_link(store: Store, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    Path(store.path, "quarantine").symlink_to(tmp_path / "outside")

    with pytest.raises(Damaged, match="quarantine is a symbolic link"):
        quarantine(directory_of(store), Digest.of_hex(a_layer(store).name))

    assert a_layer(store).exists()


@pytest.mark.parametrize(
    "name", ["casstore.uses", "casstore.events", "casstore.reserve", "quarantine"]
)
def test_fsck_names_a_link_among_the_parts_of_the_store(store: Store, name: str) -> None:
    path = Path(store.path, name)
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    path.symlink_to("elsewhere")

    assert [(one.code, one.object) for one in store.check().findings] == [("part-link", name)]


def test_a_link_in_the_place_of_oci_layout_is_refused(store: Store) -> None:
    marker = Path(store.path, "oci-layout")
    marker.rename(marker.with_name("moved"))
    marker.symlink_to("moved")

    with pytest.raises(Damaged, match="oci-layout is a symbolic link"):
        store.check()


# A directory where a blob should be


def directory_for(blob: Path) -> None:
    blob.unlink()
    blob.mkdir()
    (blob / "x").touch()


def test_a_load_names_the_directory_in_the_place_of_a_blob(store: Store) -> None:
    blob = a_layer(store)
    directory_for(blob)

    with pytest.raises(Damaged, match=f"a directory in the place of blob {blob.name}"):
        store.load(io.BytesIO(ARCHIVE))

    store.check(repair=True)
    store.load(io.BytesIO(ARCHIVE))
    assert store.check().clean


def test_gc_does_not_count_what_it_could_not_remove_and_a_repair_puts_it_aside(
    store: Store,
) -> None:
    blob = a_layer(store)
    directory_for(blob)
    store.remove(["a:1"])
    result = store.gc()

    assert (result.removed_blobs, result.freed) == (0, 0)
    assert [one.code for one in store.check().findings] == ["blob-not-file"]
    assert store.check(repair=True).clean
    assert not blob.exists()


# Rights


def test_a_token_that_may_not_be_read_counts_as_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    token = Token(str(tmp_path), "lease")
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        assert is_held(token.path)
    token.release()
    assert not is_held(token.path)


@pytest.mark.parametrize("what", ["the lease", "the directory of leases"])
def test_nothing_is_removed_while_a_lease_cannot_be_read(store: Store, what: str) -> None:
    ingest = Path(store.path, "ingest")
    with store.leases.hold("a:1"):
        (token,) = ingest.glob("lease-*.lock")
        if what == "the lease":
            token.chmod(0)
        else:
            ingest.chmod(0o300)
        done = as_owner(Path(store.path), "rmi", "-f", store.get("a:1").id)
        ingest.chmod(0o700)

    assert "which may be a lease on any image: permission denied" in done.stderr
    assert done.returncode == 1
    assert store.get("a:1")


def test_a_change_that_leases_keep_from_beginning_leaves_no_lock(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: str) -> list[str]:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(os, "listdir", refuse)
        with pytest.raises(StorageError):
            store.tag("a:1", "b:1")

    lock = try_lock(directory_of(store).lock)
    assert lock is not None
    os.close(lock)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_what_root_makes_in_the_store_of_a_user_is_that_users(tmp_path: Path) -> None:
    root = tmp_path / "store"
    root.mkdir(mode=0o700)
    os.chown(root, 65534, 65534)
    before = os.umask(0o077)
    try:
        with Store(str(root)) as store:
            store.load(io.BytesIO(ARCHIVE))
            store.tag("a:1", "b:1")
    finally:
        os.umask(before)

    made = [
        path for path in root.rglob("*") if path.parent.name not in ("sha256", "casstore.reserve")
    ]
    assert {path.name: path.stat().st_uid for path in made} == {path.name: 65534 for path in made}


# Leases, as others are told of them


def test_a_lease_names_its_command_and_since_when_without_arguments(store: Store) -> None:
    held = Store(store.path, command="casstore lease run")
    with held.leases.hold("a:1"):
        (lease,) = store.leases.list()

        assert lease.holder.startswith(f"pid {os.getpid()} (casstore lease run) since 2")
        (token,) = Path(store.path, "ingest").glob("lease-*.lock")
        assert "pid namespace" in token.read_text()


def test_a_hard_lease_that_is_to_be_removed_is_said_to_be_one(store: Store) -> None:
    with (
        store.leases.hold("a:1", name="mine"),
        pytest.raises(NotFound, match="mine is a hard lease"),
    ):
        store.leases.remove("mine")


# Messages


def test_a_bad_timeout_of_the_environment_is_told_as_such(store: Store) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "casstore", "--store", store.path, "gc"],
        env={**os.environ, "CASSTORE_LOCK_TIMEOUT": "soon"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert 'invalid value "soon" of $CASSTORE_LOCK_TIMEOUT' in done.stderr
    assert done.returncode == 2


STRANGERS = [
    "lost+found", ".nfs000000000001", ".DS_Store", "._index.json", "Thumbs.db", ".stfolder",
    ".snapshot", ".Trash-1000", ".fuse_hidden0001", "somebody's notes",
]  # fmt: skip


@pytest.mark.parametrize("where", [".", "blobs/sha256"])
@pytest.mark.parametrize("name", STRANGERS)
def test_a_file_that_is_nobodys_is_no_damage_and_stays(
    tmp_path: Path, name: str, where: str
) -> None:
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(docker_archive({"layers": [layer("a")], "tags": ["a:1"]})))
        stranger = Path(store.path, where, name)
        stranger.write_bytes(b"")

        assert store.check().clean
        store.remove(["a:1"])
        store.gc()

        assert stranger.exists()
        assert store.check().clean


@pytest.mark.parametrize("name", STRANGERS[:-1])
def test_what_a_system_makes_in_any_directory_does_not_keep_a_store_from_being_made(
    tmp_path: Path, name: str
) -> None:
    root = tmp_path / "disk"
    (root / name).mkdir(parents=True)
    with Store(str(root)) as store:
        store.load(io.BytesIO(docker_archive({"layers": [layer("a")], "tags": ["a:1"]})))

        assert store.check().clean
        assert (root / name).is_dir()


def test_a_directory_with_somebodys_file_is_no_place_for_a_store(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "lost+found").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("x")
    with Store(str(tmp_path / "notes")) as store, pytest.raises(NotAStore, match="not empty"):
        store.load(io.BytesIO(docker_archive({"layers": [layer("a")], "tags": ["a:1"]})))

    assert sorted(os.listdir(tmp_path / "notes")) == ["lost+found", "mine.txt"]


def test_the_root_of_a_fresh_ext4_becomes_a_store(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("needs root and mkfs.ext4")
    disk, root = tmp_path / "disk.img", tmp_path / "mounted"
    with disk.open("wb") as file:
        file.truncate(32 << 20)
    root.mkdir()
    subprocess.run(["mkfs.ext4", "-q", disk], check=True)
    if subprocess.run(
        ["mount", "-o", "loop", disk, root], check=False, capture_output=True
    ).returncode:
        pytest.skip("no loop mount here")
    try:
        with Store(str(root)) as store:
            store.load(io.BytesIO(docker_archive({"layers": [layer("a")], "tags": ["a:1"]})))
            assert store.check().clean
    finally:
        subprocess.run(["umount", root], check=True)


@pytest.mark.parametrize(
    "change", [lambda path: os.chown(path, 65534, 65534), lambda path: path.chmod(0o666)]
)
def test_a_blob_that_another_user_can_change_is_copied_and_not_linked(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to give files away")
    layout = Layout()
    layout.publish(layout.image("a", "b"), "a:1")
    source = Path(layout.write(str(tmp_path / "layout")))
    for path in (source / "blobs" / "sha256").iterdir():
        change(path)
    with Store(str(tmp_path / "store")) as store:
        store.load(str(source), link=True)

        assert "were copied, not linked" in store.notices[0]
        for path in Path(directory_of(store).blobs.directory).iterdir():
            status = path.stat()
            assert (status.st_uid, status.st_mode & 0o222, status.st_nlink) == (0, 0, 1)
        assert store.check().findings == ()


def test_a_blob_of_ones_own_is_linked(tmp_path: Path) -> None:
    layout = Layout()
    layout.publish(layout.image("a", "b"), "a:1")
    source = Path(layout.write(str(tmp_path / "layout")))
    with Store(str(tmp_path / "store")) as store:
        store.load(str(source), link=True)

        assert store.notices == []
        links = {
            path.stat().st_nlink for path in Path(directory_of(store).blobs.directory).iterdir()
        }
        assert 2 in links


def path_of(root: Path, length: int) -> str:
    """A path below `root` of so many bytes."""
    path = str(root)
    while length - len(path) > 201:
        path += "/" + "x" * 199
    return path + "/" + "x" * (length - len(path) - 1)


@pytest.mark.parametrize("more", [0, 1, 300])
def test_a_store_whose_path_sqlite_cannot_open_is_refused_before_anything_is_made(
    tmp_path: Path, more: int
) -> None:
    length = MAX_PATH - len("/ingest/casstore.db-journal") + more
    with Store(path_of(tmp_path, length)) as store:
        if not more:
            store.load(io.BytesIO(ARCHIVE))
            store.tag("a:1", "b:1")
            assert store.check().findings == ()
            return
        with pytest.raises(StorageError, match=f"has {length} bytes, and at most"):
            store.load(io.BytesIO(ARCHIVE))

    assert list(tmp_path.iterdir()) == []


def test_a_store_that_was_moved_to_a_path_that_is_too_long_says_so(
    store: Store, tmp_path: Path
) -> None:
    store.close()
    place = Path(path_of(tmp_path, 600))
    place.parent.mkdir(parents=True)
    os.rename(store.path, place)
    with Store(str(place)) as moved, pytest.raises(StorageError, match="at most"):
        moved.tag("a:1", "b:1")
