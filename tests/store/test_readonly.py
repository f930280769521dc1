"""A store that cannot be written: everything that only reads works, and changes say why not."""

from __future__ import annotations

import importlib
import io
import os
import pkgutil
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from casstore.backends import local as disk
from casstore.errors import CasstoreError
from casstore.store import Store
from tests.transfer.building import docker_archive, layer

ARCHIVE = docker_archive({"layers": [layer("a")], "tags": ["a:1"]})

READ = """
import sys
from casstore.errors import StorageError
from casstore.store import Store
with Store(sys.argv[1]) as store:
    print(sorted(name.familiar for image in store.images() for name in image.names))
    store.inspect("a:1"), store.history("a:1"), store.df(), store.leases.list()
    store.save(["late:1"], sys.argv[2])
    print([f.code for f in store.check().findings if f.level != "note"])
    for change in (
        lambda: store.tag("a:1", "b:1"), lambda: store.remove(["a:1"]), store.gc,
        lambda: store.prune(all=True), lambda: store.leases.add("l", "a:1"),
        lambda: store.check(repair=True), lambda: store.check(rebuild=True),
        lambda: store.load(sys.argv[3]),
    ):
        try:
            change()
            print("changed")
        except StorageError as error:
            assert "read-only" in str(error), error
"""


def tag_and_die(root: str) -> None:
    """Leave a database with a log, as a process does that is killed."""
    child = os.fork()
    if child == 0:
        store = Store(root)  # kept: a store that is dropped closes its database
        store.tag("a:1", "late:1")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert os.path.getsize(os.path.join(root, "casstore.db-wal"))


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("kept", [(), ("-wal",), ("-wal", "-shm")])
def test_a_store_on_a_read_only_file_system_is_readable_whatever_a_crash_left(
    tmp_path: Path, kept: tuple[str, ...]
) -> None:
    unshare = shutil.which("unshare")
    if os.geteuid() != 0 or unshare is None:
        pytest.skip("needs root and unshare for a read-only mount")
    root = tmp_path / "store"
    (tmp_path / "a.tar").write_bytes(ARCHIVE)
    with Store(str(root)) as store:
        store.load(io.BytesIO(ARCHIVE))
    if kept:
        tag_and_die(str(root))
    else:
        with Store(str(root)) as store:
            store.tag("a:1", "late:1")
    for extra in {"-wal", "-shm"}.difference(kept):
        Path(f"{root}/casstore.db{extra}").unlink(missing_ok=True)
    before = contents(root)
    mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" || exit 77; exec "$@"'
    done = subprocess.run(
        [unshare, "--mount", "sh", "-c", mount, str(root), sys.executable, "-c", READ, str(root),
         str(tmp_path / "out.tar"), str(tmp_path / "a.tar")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"no read-only mount here: {done.stderr.strip()}")

    assert done.stderr == ""
    assert done.stdout.splitlines() == ["['a:1', 'late:1']", "[]"]
    assert contents(root) == before


@pytest.fixture
def others() -> Iterator[Path]:
    """A directory that every user can get to."""
    path = Path(tempfile.mkdtemp(prefix="casstore-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def as_nobody(action: Callable[[], object]) -> int:
    """Run `action` as another user, in a child; what it imports must be loaded already."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            action()
            status = 0
        except BaseException:  # noqa: BLE001 - told to the parent
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("log", [False, True])
def test_a_store_of_another_user_is_readable_without_any_right_to_write(
    others: Path, tmp_path: Path, *, log: bool
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    root = others / "store"
    with Store(str(root)) as store:
        store.load(io.BytesIO(ARCHIVE))
    if log:
        tag_and_die(str(root))
        Path(f"{root}/casstore.db-shm").unlink()
    subprocess.run(["chmod", "-R", "a+rX", str(root)], check=True)

    def look() -> None:
        with Store(str(root)) as store:
            names = [name.familiar for image in store.images() for name in image.names]
            assert names == ["a:1", "late:1"] if log else ["a:1"]
            store.inspect("a:1")
            store.save(["a:1"], io.BytesIO())
            assert store.check().clean
            with pytest.raises(CasstoreError, match="read-only"):
                store.tag("a:1", "b:1")

    for module in pkgutil.iter_modules(disk.__path__, "casstore.backends.local."):
        importlib.import_module(module.name)  # may be out of reach of another user
    with Store(str(tmp_path / "other")) as store:  # and imports what else is wanted
        store.load(io.BytesIO(ARCHIVE))
        store.images()
        store.inspect("a:1")
        store.save(["a:1"], io.BytesIO())
        store.check()
    before = contents(root)
    assert as_nobody(look) == 0
    assert contents(root) == before
