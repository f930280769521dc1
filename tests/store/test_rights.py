"""Who may do what with the files of a store; and no link in it is followed."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from casstore.errors import CasstoreError, Damaged
from casstore.store import Store
from tests.backends.local.behind import directory_of
from tests.transfer.building import docker_archive, layer

ARCHIVE = docker_archive({"layers": [layer("a")], "tags": ["a:1"]})


@pytest.fixture
def umask() -> Iterator[None]:
    old = os.umask(0o077)
    yield
    os.umask(old)


def modes(root: Path) -> dict[str, int]:
    found = {str(p.relative_to(root)): stat.S_IMODE(p.lstat().st_mode) for p in root.rglob("*")}
    found["."] = stat.S_IMODE(root.lstat().st_mode)
    return found


def test_a_new_store_is_private(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with Store(str(tmp_path / "store")) as store:
            store.load(io.BytesIO(ARCHIVE))
    finally:
        os.umask(old)

    found = modes(tmp_path / "store")
    assert [found[name] for name in (".", "blobs", "blobs/sha256", "ingest")] == [0o700] * 4
    assert {mode for name, mode in found.items() if name.startswith("blobs/sha256/")} == {0o444}


@pytest.mark.usefixtures("umask")
def test_a_directory_that_a_group_may_write_becomes_a_store_that_it_may_write(
    tmp_path: Path,
) -> None:
    root = tmp_path / "store"
    root.mkdir()
    root.chmod(0o2770)
    with Store(str(root)) as store:
        store.load(io.BytesIO(ARCHIVE))
        store.tag("a:1", "b:1")
        store.remove(["b:1"])
        during = modes(root)

    for name in ("blobs", "blobs/sha256", "ingest"):
        assert during[name] == 0o2770
    for name in (
        "casstore.db",
        "casstore.db-wal",
        "casstore.db-shm",
        "casstore.lock",
        "index.json",
    ):
        assert during[name] & 0o777 == 0o660, name


@pytest.mark.usefixtures("umask")
def test_what_a_killed_load_of_one_member_left_another_member_can_remove(tmp_path: Path) -> None:
    root = tmp_path / "store"
    root.mkdir()
    root.chmod(0o2770)
    with Store(str(root)) as store:
        store.load(io.BytesIO(ARCHIVE))
    child = os.fork()
    if child == 0:
        from casstore.backends.local.ingest import Ingest

        directory = directory_of(store)
        Ingest(directory.root, directory.blobs, store.session.view).draft()
        os._exit(0)
    os.waitpid(child, 0)
    (left,) = (root / "ingest").glob("load-*[0-9a-f]")
    (token,) = (root / "ingest").glob("load-*.lock")

    assert stat.S_IMODE(left.stat().st_mode) == 0o2770
    assert stat.S_IMODE(token.stat().st_mode) == 0o660


def moved_behind_a_link(path: Path, elsewhere: Path) -> None:
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


@pytest.mark.parametrize("name", ["blobs", "blobs/sha256", "ingest", "index.json", "casstore.db"])
def test_a_part_that_is_a_symbolic_link_is_refused(tmp_path: Path, name: str) -> None:
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(ARCHIVE))
    moved_behind_a_link(tmp_path / "store" / name, tmp_path / "elsewhere")
    uses: list[Callable[[Store], object]] = [
        lambda store: store.images(), lambda store: store.gc(), lambda store: store.check(),
        lambda store: store.load(io.BytesIO(ARCHIVE)), lambda store: store.remove(["a:1"]),
    ]  # fmt: skip
    for use in uses:
        with Store(str(tmp_path / "store")) as store, pytest.raises(Damaged, match="symbolic link"):
            use(store)


def test_the_store_itself_may_be_reached_by_a_symbolic_link(tmp_path: Path) -> None:
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(ARCHIVE))
    (tmp_path / "link").symlink_to("store")
    with Store(str(tmp_path / "link")) as store:
        store.tag("a:1", "b:1")
        assert store.check().clean


@pytest.mark.parametrize("name", ["index.json", "casstore.db", "casstore.lock"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_part_that_is_no_file_is_refused_and_not_waited_for(
    tmp_path: Path, name: str, make: Callable[[Path], None]
) -> None:
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(ARCHIVE))
    path = tmp_path / "store" / name
    path.unlink()
    make(path)
    with Store(str(tmp_path / "store")) as store, pytest.raises(CasstoreError, match=name):
        store.tag("a:1", "b:1")


def test_a_writable_blob_is_noted_and_mended(tmp_path: Path) -> None:
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(ARCHIVE))
        blob = next(Path(directory_of(store).blobs.directory).iterdir())
        blob.chmod(0o646)
        result = store.check()
        assert [(f.level, f.code) for f in result.findings] == [("note", "blob-mode")]
        assert store.check(repair=True).findings == ()
        assert stat.S_IMODE(blob.stat().st_mode) == 0o444


def test_a_store_that_everybody_can_write_is_noted(tmp_path: Path) -> None:
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(ARCHIVE))
        Path(store.path).chmod(0o777)

        assert [f.code for f in store.check().findings] == ["store-mode"]
