"""The log of casstore.db stays between commands: who reads or copies the store sees the newest."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from casstore.backends.local import edits, openindex, snapshot
from casstore.cli.main import main
from casstore.errors import StorageError
from casstore.store import Store
from tests.transfer.building import docker_archive, layer

ARCHIVE = docker_archive(
    *({"layers": [layer("base"), layer(f"own {n}")], "tags": [f"a:{n}"]} for n in range(3))
)
NAMES = ["a:0", "a:1", "a:2"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with Store(tmp_path / "store") as store:
        store.load(io.BytesIO(ARCHIVE))
    return tmp_path / "store"


def casstore(root: Path, *words: str) -> list[str]:
    """Run a command in a process of its own; the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "casstore", "--store", root, *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def names(root: Path) -> list[str]:
    with Store(root) as store:
        return sorted(name.familiar for image in store.images() for name in image.names)


def log_size(root: Path) -> int:
    return os.path.getsize(root / "casstore.db-wal")


# A command, and the next


def test_a_command_leaves_the_log_and_the_next_one_goes_on_with_it(root: Path) -> None:
    database = (root / "casstore.db").read_bytes()
    sizes = []
    for number in range(3):
        casstore(root, "tag", "a:1", f"b:{number}")
        sizes.append(log_size(root))

    assert 0 < sizes[0] < sizes[1] < sizes[2]
    assert (root / "casstore.db").read_bytes() == database
    listed = casstore(root, "images", "--format", "{{.Repository}}:{{.Tag}}")
    assert sorted(listed) == [*NAMES, "b:0", "b:1", "b:2"]
    assert log_size(root) == sizes[2]


def test_a_store_that_a_process_closes_has_no_log(root: Path) -> None:
    casstore(root, "tag", "a:1", "b:1")
    names(root)

    assert not (root / "casstore.db-wal").exists()
    assert names(root) == [*NAMES, "b:1"]


@pytest.fixture
def _left() -> Iterator[None]:
    yield
    while openindex._left:
        openindex._left.pop().close()


@pytest.mark.usefixtures("_left")
@pytest.mark.parametrize("ends", [False, True])
def test_only_a_process_that_ends_leaves_its_store_open(root: Path, *, ends: bool) -> None:
    assert main(["--store", str(root), "tag", "a:1", "b:1"], ends=ends) == 0

    assert (root / "casstore.db-wal").exists() is ends


# How long the log becomes


def test_a_change_empties_a_log_that_is_long(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(root) as store:
        store.tag("a:1", "b:1")
        assert log_size(root) > 0
        monkeypatch.setattr(edits, "LOG_LIMIT", log_size(root) + 1)
        store.tag("a:1", "b:2")
        assert log_size(root) == 0
        store.tag("a:1", "b:3")

        assert log_size(root) > 0
    assert names(root) == [*NAMES, "b:1", "b:2", "b:3"]


def test_commands_do_not_let_the_log_grow_without_end(root: Path) -> None:
    sizes = []
    for number in range(12):
        done = subprocess.run(
            [sys.executable, "-c", SMALL_LOG, root, "tag", "a:1", f"b:{number}"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            check=True,
        )
        assert done.returncode == 0
        sizes.append(log_size(root))

    assert max(sizes) < 100_000
    assert sizes.count(0) >= 2


SMALL_LOG = """
import sys
from casstore.backends.local import edits
edits.LOG_LIMIT = 60_000
root, *words = sys.argv[1:]
sys.argv[1:] = ["--store", root, *words]
from casstore.__main__ import main
main()
"""


def test_while_somebody_reads_in_it_the_log_stays_and_changes_go_on(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edits, "LOG_LIMIT", 1)
    with Store(root) as reader, Store(root) as store:
        store.tag("a:1", "b:1")
        view = reader.session.view()
        with view.snapshot():
            assert view.has_image(store.get("b:1").id)
            store.tag("a:1", "b:2")
            assert log_size(root) > 0
        store.tag("a:1", "b:3")

        assert log_size(root) == 0
    assert names(root) == [*NAMES, "b:1", "b:2", "b:3"]


def test_a_log_that_cannot_be_emptied_is_no_error_of_the_change(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise StorageError("cannot use the index: input/output error")

    monkeypatch.setattr(edits, "LOG_LIMIT", 1)
    monkeypatch.setattr(edits.LocalEdits, "compact", fail)
    with Store(root) as store:
        store.tag("a:1", "b:1")
        store.tag("a:1", "b:2")

        assert store.notices == []
    assert names(root) == [*NAMES, "b:1", "b:2"]


def test_gc_empties_the_log(root: Path) -> None:
    casstore(root, "tag", "a:1", "b:1")
    casstore(root, "gc")

    assert log_size(root) == 0
    assert names(root) == [*NAMES, "b:1"]


# Copies


def test_a_copy_with_the_log_is_the_store(root: Path, tmp_path: Path) -> None:
    casstore(root, "tag", "a:1", "b:1")
    subprocess.run(["cp", "-a", root, tmp_path / "copy"], check=True)

    assert names(tmp_path / "copy") == [*NAMES, "b:1"]
    with Store(tmp_path / "copy") as copy:
        assert copy.check().findings == ()


def test_a_copy_without_the_log_is_made_whole_again_by_its_next_change(
    root: Path, tmp_path: Path
) -> None:
    casstore(root, "tag", "a:1", "b:1")
    casstore(root, "rmi", "a:2")
    shutil.copytree(root, tmp_path / "copy", ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    with Store(tmp_path / "copy") as copy:
        assert "db-outdated" in {one.code for one in copy.check().findings}
        copy.tag("a:1", "c:1")

        assert "casstore.db was older than index.json" in copy.notices[0]
        assert copy.check().clean
    assert names(tmp_path / "copy") == ["a:0", "a:1", "b:1", "c:1"]


def test_a_clone_has_what_is_in_the_log_and_no_log(root: Path, tmp_path: Path) -> None:
    casstore(root, "tag", "a:1", "b:1")
    with Store(root) as store:
        store.clone(tmp_path / "clone")

    assert not (tmp_path / "clone" / "casstore.db-wal").exists()
    assert names(tmp_path / "clone") == [*NAMES, "b:1"]


# Backups that share by hard links what has not changed: the database, but not the log


@pytest.fixture
def backups(root: Path, tmp_path: Path) -> list[Path]:
    """Two, as `rsync --link-dest` makes them, of a store with one name more each time."""
    made = []
    for number in range(2):
        casstore(root, "tag", "a:1", f"b:{number}")
        made.append(tmp_path / f"backup-{number}")
        subprocess.run(["cp", "-a", root, made[-1]], check=True)
    shared = made[1] / "casstore.db"
    shared.unlink()
    os.link(made[0] / "casstore.db", shared)
    return made


def test_who_reads_a_backup_does_not_bring_its_log_into_the_database_of_both(
    backups: list[Path],
) -> None:
    database = (backups[0] / "casstore.db").read_bytes()
    for backup in reversed(backups):
        casstore(backup, "images")
        with Store(backup) as store:
            assert store.check().findings == ()

    assert (backups[0] / "casstore.db").read_bytes() == database
    assert names(backups[1]) == [*NAMES, "b:0", "b:1"]
    assert names(backups[0]) == [*NAMES, "b:0"]


@pytest.mark.parametrize("fails", [False, True])
def test_who_changes_a_backup_changes_no_other(
    backups: list[Path], monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    database = (backups[0] / "casstore.db").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with Store(backups[1]) as store:
        if fails:
            monkeypatch.setattr(snapshot, "copy_to", full)
            with pytest.raises(StorageError):
                store.remove(["a:0"])
        else:
            store.remove(["a:0"])
        store.close()

    assert (backups[0] / "casstore.db").read_bytes() == database
    assert names(backups[0]) == [*NAMES, "b:0"]
    kept = [*NAMES, "b:0", "b:1"]
    assert names(backups[1]) == (kept if fails else kept[1:])
    for backup in backups:
        with Store(backup) as store:
            assert store.check().findings == ()


def test_shared_memory_that_has_a_second_name_is_not_used(root: Path, tmp_path: Path) -> None:
    casstore(root, "tag", "a:1", "b:1")
    os.link(root / "casstore.db-shm", tmp_path / "elsewhere")
    index = (tmp_path / "elsewhere").read_bytes()
    assert names(root) == [*NAMES, "b:1"]
    assert (tmp_path / "elsewhere").read_bytes() == index

    casstore(root, "tag", "a:1", "b:2")
    assert (tmp_path / "elsewhere").read_bytes() == index
    assert names(root) == [*NAMES, "b:1", "b:2"]


def test_a_database_that_is_put_aside_takes_its_log_with_it(root: Path) -> None:
    casstore(root, "lease", "add", "nightly", "a:1")
    casstore(root, "tag", "a:1", "b:1")
    casstore(root, "fsck", "--rebuild")

    assert names(root) == [*NAMES, "b:1"]
    with Store(root) as store:
        assert [lease.name for lease in store.leases.list()] == ["nightly"]
