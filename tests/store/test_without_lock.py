"""What reads takes no lock: not save, not a lease, not a dry run, whoever holds it and for long."""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from casstore.backends.local.locks import Door
from casstore.change.commit import Change
from casstore.change.leases import Lease
from casstore.cli import main as main_module
from casstore.errors import Conflict, Locked, NotFound
from casstore.store import Store
from tests.transfer.building import docker_archive, layer

IMAGES = [{"layers": [layer("base"), layer(f"own {n}")], "tags": [f"a:{n}"]} for n in range(3)]
READING = [
    ("images",), ("images", "--tree"), ("inspect", "a:1"), ("history", "a:1"), ("df", "-v"),
    ("tree",),
    ("why", "a:1"), ("report", "-o", "OUT"), ("fsck",), ("lease", "ls"), ("trash", "ls"),
    ("config", "ls"), ("save", "-o", "OUT", "a:1"),
    ("save", "--format", "oci-dir", "-o", "OUT", "a:1"),
    ("copy", "a:1", "oci:OUT"), ("copy", "a:1", "docker-archive:OUT"),
    ("rmi", "--dry-run", "a:1"), ("rmi", "--dry-run", "-f", "a:0", "a:2"),
    ("prune", "--dry-run", "-a"), ("gc", "--dry-run"), ("gc", "--dry-run", "--keep", "1"),
]  # fmt: skip
# These write something besides: the sign of a lease.
HOLDING = [("lease", "run", "a:1", "--", "true")]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(docker_archive(*IMAGES)))
        store.remove(["a:0"], keep=3600.0)
        store.load(io.BytesIO(docker_archive(IMAGES[0])))
    return tmp_path / "store"


NOT_IN_A_CHANGE = ("casstore.db-", "casstore.uses", "casstore.events")


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.name.startswith(NOT_IN_A_CHANGE)
    }


@pytest.mark.parametrize("words", [*READING, *HOLDING], ids=" ".join)
def test_a_command_that_reads_works_while_the_lock_is_held_and_changes_nothing(
    root: Path, tmp_path: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(root)
    with (root / "casstore.lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        given = [word.replace("OUT", str(tmp_path / "out")) for word in words]
        status = main_module.main(("--store", str(root), "--lock-timeout", "0.1", *given))

    assert (status, "locked" in capsys.readouterr().err) == (0, False)
    assert contents(root) == before


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_a_command_that_reads_works_on_a_read_only_file_system(
    root: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    unshare = shutil.which("unshare")
    if os.geteuid() != 0 or unshare is None:
        pytest.skip("needs root and unshare for a read-only mount")
    mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" || exit 77; exec "$@"'
    given = [word.replace("OUT", str(tmp_path / "out")) for word in words]
    done = subprocess.run(
        [unshare, "--mount", "sh", "-c", mount, str(root), sys.executable, "-m", "casstore",
         "--store", str(root), *given],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"no read-only mount here: {done.stderr.strip()}")

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("log", [False, True])
def test_a_dry_run_says_what_the_change_does(root: Path, *, log: bool) -> None:
    with Store(str(root)) as store, Store(str(root)) as other:
        if log:
            other.tag("a:1", "late:1")
        collected = store.gc(dry_run=True, empty_trash=True)
        assert store.gc(empty_trash=True)[:3] == collected[:3]
        planned = store.remove(["a:1", "a:0", "nothing"], dry_run=True)
        pruned = store.prune(all=True, dry_run=True).removed

        done = store.remove(["a:1", "a:0", "nothing"])
        assert [one.lines for one in done.outcomes] == [one.lines for one in planned.outcomes]
        assert done.freed == planned.freed
        assert set(store.prune(all=True).removed) < set(pruned)


def test_a_dry_run_leaves_the_next_change_all_it_would_have_removed(root: Path) -> None:
    with Store(str(root)) as store:
        before = contents(root)
        store.remove(["a:0", "a:1"], dry_run=True)

        assert sorted(n.familiar for i in store.images() for n in i.names) == ["a:0", "a:1", "a:2"]
    assert contents(root) == before


def test_a_lease_that_is_taken_while_a_removal_is_planned_holds(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(str(root)) as store, Store(str(root)) as other:
        commit = Change.commit
        held: list[Lease] = []

        def lease_first(change: Change) -> None:
            if not held:
                held.append(other.leases.hold("a:1"))
            commit(change)

        monkeypatch.setattr(Change, "commit", lease_first)
        outcomes = store.remove(["a:1", "a:2"]).outcomes

        assert isinstance(outcomes[0].error, Conflict)
        assert "hard lease" in str(outcomes[0].error)
        assert outcomes[1].error is None
        assert other.get("a:1")
        assert store.check().clean


def test_who_comes_for_a_lease_while_a_removal_is_committed_finds_the_image_gone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from casstore.backends.local.edits import LocalEdits

    with Store(str(root)) as store, Store(str(root), lock_timeout=0.05) as other:
        commit = LocalEdits.commit
        refused: list[Locked] = []

        def too_early(index: LocalEdits) -> None:
            if not refused:
                with pytest.raises(Locked) as error:
                    other.leases.hold("a:1")
                refused.append(error.value)
            commit(index)

        monkeypatch.setattr(LocalEdits, "commit", too_early)
        store.remove(["a:1"])

        assert refused
        with pytest.raises(NotFound):
            other.leases.hold("a:1")


def test_the_door_is_no_obstacle_where_directories_cannot_be_locked(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(9, "Bad file descriptor")

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", refuse)
        with Door(str(root / "ingest"), 0.1, shared=False):
            pass
