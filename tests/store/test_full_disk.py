"""A small file system that is really full: what frees space works, and all else changes nothing."""

from __future__ import annotations

import io
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from casstore.backends.local.backend import LocalBackend
from casstore.backends.local.edits import LocalEdits
from casstore.backends.local.reserve import NAME, Reserve
from casstore.errors import StorageError
from casstore.store import Store
from tests.backends.local.behind import directory_of
from tests.crash.trees import from_database, read_tree
from tests.store.olderstores import OLDER, half_upgraded, make_older
from tests.transfer.building import docker_archive, tar_of

SIZE = 16 << 20
PAGE = 4096
DAY = 86400.0
# Noise, so that it takes its size in the store.
LAYERS = [tar_of({f"file-{n}": random.Random(n).randbytes(300_000)}) for n in range(4)]  # noqa: S311
BIG = tar_of({"big": random.Random(9).randbytes(6 << 20)})  # noqa: S311
ARCHIVE = docker_archive(
    *({"layers": [LAYERS[n], LAYERS[3]], "tags": [f"app:{n}", f"also:{n}"]} for n in range(3))
)
MIDDLE = tar_of({"a": random.Random(3).randbytes(2 << 20)})  # noqa: S311
NEW = docker_archive({"layers": [BIG], "tags": ["big:1"]})


def mounted(point: Path, *options: str) -> bool:
    point.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    words = ["mount", "-t", "tmpfs", "-o", ",".join(("mode=0700", *options)), "tmpfs", str(point)]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


@pytest.fixture
def small(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of 16 MiB; its parameter gives more options."""
    point = tmp_path / "small"
    if not mounted(point, f"size={SIZE}", *getattr(request, "param", ())):
        pytest.skip("mounting a file system needs root and a mount namespace")
    yield point
    subprocess.run(["umount", "-l", str(point)], check=True)


@pytest.fixture
def store(small: Path) -> Iterator[Store]:
    with Store(str(small / "store")) as store:
        store.load(io.BytesIO(ARCHIVE))
    with Store(str(small / "store")) as store:
        yield store


def free(point: Path) -> int:
    status = os.statvfs(point)
    return status.f_bavail * status.f_frsize


def fill(point: Path, left: int) -> None:
    """Leave so many bytes, in whole pages."""
    with (point / "filler").open("ab", buffering=0) as file:
        try:
            while free(point):
                file.write(bytes(64 * PAGE) if free(point) > 64 * PAGE else bytes(PAGE))
        except OSError:
            pass
        file.truncate(max(file.tell() - left, 0))
    assert free(point) == left


def use_all_inodes(point: Path) -> None:
    for number in range(10_000):
        try:
            (point / f"inode-{number}").touch()
        except OSError:
            return


def content(store: Store) -> dict[str, bytes]:
    root = Path(store.path)
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.name.startswith(("casstore.lock", "casstore.db-"))
    }


def has_reserve(store: Store) -> bool:
    return os.path.exists(os.path.join(store.path, NAME, "space"))


def run(store: Store, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "casstore", "--store", store.path, *words],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip


def test_the_reserve_is_made_again_once_the_index_has_given_back_its_own_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def noted(kind: type, name: str) -> None:
        act = getattr(kind, name)

        def note(self: object, *args: object, **named: object) -> object:
            done.append(name)
            return act(self, *args, **named)

        monkeypatch.setattr(kind, name, note)

    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(ARCHIVE))
        monkeypatch.setattr(Reserve, "is_wanted", lambda _: True)
        for kind, name in ((Reserve, "give_up"), (Reserve, "restore"), (LocalBackend, "let_go")):
            noted(kind, name)
        store.remove(["app:0"])

    # Once while SQLite's files still take their part of a full disk, and once without them.
    assert done == ["give_up", "restore", "let_go", "restore"]
    assert has_reserve(store)


FREE = [0, PAGE, 8 * PAGE, 24 * PAGE, 64 * PAGE, 256 * PAGE]


@pytest.mark.parametrize("left", FREE)
def test_a_load_fails_with_one_line_and_changes_nothing(
    store: Store, small: Path, tmp_path: Path, left: int
) -> None:
    (tmp_path / "new.tar").write_bytes(NEW)
    fill(small, left)
    before = content(store)

    done = run(store, "load", "-i", str(tmp_path / "new.tar"))

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("Error: cannot ")
    assert done.stderr.endswith(": no space left on device\n")
    assert content(store) == before
    assert free(small) >= left - PAGE  # the lock file may say who had it


@pytest.mark.parametrize("left", FREE)
def test_looking_works(store: Store, small: Path, left: int) -> None:
    before = [image.names for image in store.images()]
    store.close()
    fill(small, left)

    assert [image.names for image in store.images()] == before
    store.close()
    assert store.check().clean
    assert store.df().images == 3


@pytest.mark.parametrize("left", FREE)
def test_rmi_prune_and_gc_free_space_and_the_reserve_is_back(
    store: Store, small: Path, left: int
) -> None:
    store.close()
    fill(small, left)

    assert run(store, "rmi", "app:0", "also:0").returncode == 0
    assert free(small) > left + 250_000
    assert has_reserve(store)
    fill(small, left)
    assert run(store, "prune", "-af").returncode == 0
    assert free(small) > left + 800_000
    assert has_reserve(store)
    fill(small, left)
    assert run(store, "gc").returncode == 0
    assert has_reserve(store)
    assert os.listdir(directory_of(store).blobs.directory) == []
    assert store.check().clean


@pytest.mark.parametrize("left", FREE)
@pytest.mark.parametrize("version", OLDER)
def test_an_older_store_is_upgraded_by_what_frees_space(
    store: Store, small: Path, left: int, version: int
) -> None:
    make_older(store, version)
    fill(small, left)

    assert run(store, "rmi", "app:0", "also:0").returncode == 0
    assert free(small) > left + 250_000
    assert store.check().clean


@pytest.mark.parametrize("left", [0, *range(PAGE, 24 * PAGE, 5 * PAGE)])
@pytest.mark.parametrize("version", OLDER)
def test_a_change_that_finds_no_room_leaves_an_older_store_or_an_upgraded_one(
    store: Store, small: Path, left: int, version: int
) -> None:
    make_older(store, version)
    shutil.rmtree(os.path.join(store.path, NAME))
    fill(small, left)

    done = run(store, "tag", "app:0", "new:1")

    assert done.returncode in (0, 1)
    assert done.returncode == 0 or done.stderr.count("\n") == 1
    names = {name.familiar for image in store.images() for name in image.names}
    assert ("new:1" in names) is (done.returncode == 0)
    store.close()
    assert from_database(read_tree(Path(store.path)), half_upgraded, "") == ""
    (small / "filler").unlink()
    assert run(store, "tag", "app:0", "new:1").returncode == 0
    assert store.check().clean


@pytest.mark.parametrize("left", [0, 8 * PAGE])
def test_the_trash_is_kept_and_emptied(store: Store, small: Path, left: int) -> None:
    fill(small, left)
    assert run(store, "rmi", "--keep", "1h", "app:0", "also:0").returncode == 0
    before = free(small)
    assert run(store, "trash", "empty").returncode == 0
    assert free(small) > before + 250_000
    assert has_reserve(store)
    assert store.check().clean


@pytest.mark.parametrize("small", [("nr_inodes=200",)], indirect=True)
def test_a_disk_without_inodes_is_full_too(store: Store, small: Path, tmp_path: Path) -> None:
    (tmp_path / "new.tar").write_bytes(NEW)
    store.close()
    use_all_inodes(small)
    before = content(store)

    assert run(store, "load", "-i", str(tmp_path / "new.tar")).returncode == 1
    assert content(store) == before
    assert run(store, "images", "-q").returncode == 0
    assert run(store, "rmi", "app:0", "also:0").returncode == 0
    assert run(store, "prune", "-af").returncode == 0
    assert store.check().clean
    assert os.listdir(directory_of(store).blobs.directory) == []
    for path in small.glob("inode-*"):
        path.unlink()
    store.gc()
    assert has_reserve(store)


def test_a_store_without_a_reserve_says_that_there_is_no_space(store: Store, small: Path) -> None:
    shutil.rmtree(os.path.join(store.path, NAME))
    store.close()
    fill(small, 0)
    before = content(store)

    done = run(store, "rmi", "app:0")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert content(store) == before


def test_the_reserve_comes_back_with_the_next_change_that_finds_room(
    store: Store, small: Path
) -> None:
    shutil.rmtree(os.path.join(store.path, NAME))
    fill(small, 100 * PAGE)
    store.tag("app:0", "new:1")
    assert not has_reserve(store)
    (small / "filler").unlink()

    store.tag("app:0", "new:2")

    assert has_reserve(store)


def test_a_store_is_made_where_there_is_no_room_for_a_reserve(small: Path) -> None:
    fill(small, 150 * PAGE)
    with Store(str(small / "new")) as store:
        store.load(io.BytesIO(docker_archive()))
        assert not has_reserve(store)


def test_a_failed_load_leaves_no_bytes_behind_even_after_its_blobs_had_names(
    store: Store, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.images()
    before = content(store)

    class Full(Exception):
        pass

    def full(_: LocalEdits) -> None:
        raise Full

    with monkeypatch.context() as patched:
        patched.setattr(LocalEdits, "commit", full)
        with pytest.raises(Full):
            store.load(io.BytesIO(NEW))

    assert content(store) == before


@pytest.mark.parametrize("how", ["file", "stream"])
def test_a_load_that_fills_the_disk_takes_what_it_needs_from_the_trash(
    store: Store, small: Path, tmp_path: Path, how: str
) -> None:
    big = [tar_of({"big": random.Random(n).randbytes(3 << 20)}) for n in range(2)]  # noqa: S311
    for number, layer in enumerate(big):
        store.load(io.BytesIO(docker_archive({"layers": [layer], "tags": [f"old:{number}"]})))
        store.remove([f"old:{number}"], keep=DAY)
    fill(small, 1 << 20)  # above the limit of a twentieth
    archive = docker_archive({"layers": [MIDDLE], "tags": ["new:1"]})
    (tmp_path / "new.tar").write_bytes(archive)

    if how == "file":
        store.load(str(tmp_path / "new.tar"))
    else:
        store.load(io.BytesIO(archive))

    assert "new:1" in [name.familiar for image in store.images() for name in image.names]
    assert "old:0" not in [name.familiar for entry in store.trash.list() for name in entry.names]
    assert store.check().clean


def test_a_load_on_a_nearly_full_disk_empties_the_oldest_first(store: Store, small: Path) -> None:
    for name in ("app:0", "also:0", "app:1", "also:1"):
        store.remove([name], keep=DAY)
    fill(small, SIZE // 20 // PAGE * PAGE - 40 * PAGE)
    entries = store.trash.list()

    store.load(io.BytesIO(docker_archive()))

    left = [entry.id for entry in store.trash.list()]
    assert left == [entry.id for entry in entries][: len(left)]
    assert 0 < len(left) < len(entries)


def test_a_load_that_nothing_can_make_room_for_still_fails(store: Store, small: Path) -> None:
    store.remove(["app:0", "also:0"], keep=DAY)
    fill(small, 2 * PAGE)

    with pytest.raises(StorageError, match="no space left"):
        store.load(io.BytesIO(NEW))

    assert store.check().clean
    assert len(store.images()) == 2
