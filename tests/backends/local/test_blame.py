"""SQLite does not say why it could not use a file: casstore looks."""

from __future__ import annotations

import errno
import io
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from casstore.backends.local import schema
from casstore.backends.local.backend import LocalBackend
from casstore.backends.local.blame import cause, told
from casstore.errors import Damaged, Locked, StorageError, UsageError
from casstore.store import Store
from tests.backends.local.filesystem import file_system
from tests.contract.opening import changing
from tests.transfer.building import docker_archive, layer


def test_a_full_disk_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for status in (file_system(0), file_system(1 << 30, inodes=0)):
        monkeypatch.setattr(os, "statvfs", lambda _, status=status: status)
        error = cause(str(tmp_path / "casstore.db"), "disk I/O error")

        assert str(error) == "cannot use the index: no space left on device"
        assert error.full


def test_a_file_system_that_counts_no_inodes_is_not_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = file_system(1 << 30, inodes=0, all_inodes=0)
    monkeypatch.setattr(os, "statvfs", lambda _: status)

    assert not cause(str(tmp_path / "casstore.db"), "disk I/O error").full


def test_what_sqlite_calls_damaged_twice_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "casstore.db"
    path.write_bytes(b"this is no database" * 500)
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorname = "SQLITE_CORRUPT"

    assert isinstance(told(error, str(path)), Damaged)


@pytest.mark.parametrize("part", ["", "-wal", "-shm"])
def test_a_link_and_a_file_that_may_not_be_used_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    path = tmp_path / "casstore.db"
    path.touch()
    Path(f"{path}{part}").touch()
    for denied in (os.R_OK, os.W_OK):
        monkeypatch.setattr(
            os, "access", lambda one, how, denied=denied: one != f"{path}{part}" or not how & denied
        )
        assert str(cause(str(path), "x")) == f"cannot use the index {path}{part}: permission denied"

    Path(f"{path}{part}").unlink()
    Path(f"{path}{part}").symlink_to("nowhere")
    assert "is a symbolic link" in str(cause(str(path), "x"))


def test_a_store_that_can_be_written_is_not_called_read_only(tmp_path: Path) -> None:
    path = tmp_path / "casstore.db"
    path.touch()
    error = sqlite3.OperationalError("attempt to write a readonly database")
    error.sqlite_errorname = "SQLITE_READONLY"

    assert str(told(error, str(path))) == (
        f"cannot use the index {path}: attempt to write a readonly database"
    )
    (tmp_path / "none").mkdir()
    assert "read-only" in str(told(error, str(tmp_path / "none" / "casstore.db")))


@pytest.mark.parametrize("part", ["casstore.db", ""])
def test_a_store_is_read_only_where_the_database_or_its_directory_cannot_be_written(
    database: str, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    closed = str(Path(database).parent / part)
    monkeypatch.setattr(os, "access", lambda one, how: one != closed or how != os.W_OK)

    error = schema.database_error(Answer("SQLITE_READONLY"), database)

    assert str(error) == "cannot write the index: the store is read-only"


def test_where_nothing_stands_in_the_way_sqlite_has_the_word_and_nothing_stays(
    tmp_path: Path,
) -> None:
    path = tmp_path / "casstore.db"
    (tmp_path / "ingest").mkdir()
    before = len(os.listdir("/proc/self/fd"))

    assert str(cause(str(path), "disk I/O error")) == f"cannot use the index {path}: disk I/O error"
    assert len(os.listdir("/proc/self/fd")) == before
    assert list(tmp_path.iterdir()) == [tmp_path / "ingest"]
    assert not any((tmp_path / "ingest").iterdir())


def test_the_disk_s_own_error_is_told_where_it_is_met_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ingest").mkdir()
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE):

        def refuse(*_: object, number: int = number) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "posix_fallocate", refuse)
        error = cause(str(tmp_path / "casstore.db"), "disk I/O error")

        assert str(error) == f"cannot use the index: {os.strerror(number).lower()}"
        assert error.full == (number in (errno.ENOSPC, errno.EDQUOT))


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.EMFILE, True), (errno.ENOSPC, True), (errno.EOPNOTSUPP, False), (errno.EISDIR, False)],
)
def test_that_a_file_system_has_no_unnamed_files_is_no_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, *, said: bool
) -> None:
    (tmp_path / "ingest").mkdir()

    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    text = str(cause(str(tmp_path / "casstore.db"), "disk I/O error"))

    assert text.endswith(os.strerror(number).lower() if said else "disk I/O error")


class Answer(sqlite3.DatabaseError):
    def __init__(self, name: str) -> None:
        super().__init__("as SQLite says it")
        self.sqlite_errorname = name


@pytest.fixture
def database(tmp_path: Path) -> str:
    path = str(tmp_path / "casstore.db")
    schema.create(path)
    return path


def test_a_page_that_is_sound_when_it_is_read_again_is_no_damage(database: str) -> None:
    error = schema.database_error(Answer("SQLITE_CORRUPT"), database)

    assert isinstance(error, StorageError)
    assert "read again it is sound" in str(error)


def test_what_is_damaged_twice_is_damage(database: str) -> None:
    with open(database, "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)

    assert isinstance(schema.database_error(Answer("SQLITE_CORRUPT"), database), Damaged)
    assert isinstance(schema.database_error(Answer("SQLITE_NOTADB"), database), Damaged)


def test_a_database_that_is_gone_when_it_is_read_again_is_damaged(database: str) -> None:
    os.unlink(database)

    assert isinstance(schema.database_error(Answer("SQLITE_CORRUPT"), database), Damaged)


def test_an_index_that_another_program_keeps_locked_is_told_as_such(database: str) -> None:
    error = schema.database_error(Answer("SQLITE_BUSY"), database)

    assert isinstance(error, Locked)
    assert str(error) == f"the index {database} stayed locked by another program"


def test_what_sqlite_finds_full_is_full(database: str) -> None:
    error = schema.database_error(Answer("SQLITE_FULL"), database)

    assert isinstance(error, StorageError)
    assert error.full


def test_no_memory_is_no_damage(database: str) -> None:
    assert isinstance(schema.database_error(Answer("SQLITE_NOMEM"), database), StorageError)


INJECT = """
import sys
from casstore.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EMFILE"])
@pytest.mark.parametrize(
    "call", ["ftruncate", "pread64", "pwrite64", "openat", "fdatasync", "mmap"]
)
@pytest.mark.parametrize("command", ["gc", "fsck", "save", "rmi"])
def test_a_disk_that_fails_sqlite_is_never_told_as_damage(
    tmp_path: Path, command: str, call: str, error: str
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    root = tmp_path / "store"
    with Store(str(root)) as store:
        store.load(io.BytesIO(docker_archive({"layers": [layer("a")], "tags": ["a:1"]})))
    words = {"save": ["save", "-o", str(tmp_path / "out.tar"), "a:1"], "rmi": ["rmi", "a:1"]}
    only = [f"-P{root}/casstore.db{part}" for part in ("", "-wal", "-shm")]
    done = subprocess.run(
        ["strace", "-f", "-qq", "-o", "/dev/null", *only, f"-etrace={call}",
         f"-einject={call}:error={error}:when=1+", sys.executable, "-c", INJECT,
         "--store", str(root), *words.get(command, [command])],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode in (0, 1), done.stderr
    assert "damaged" not in done.stderr + done.stdout
    assert (done.returncode == 0) == (done.stderr == "")
    with Store(str(root)) as store:
        assert store.check().clean or command == "rmi"


def test_a_database_that_cannot_even_be_opened_is_damaged(database: str) -> None:
    Path(database).write_bytes(b"no database at all, whatever its name says" * 200)

    assert isinstance(schema.database_error(Answer("SQLITE_CORRUPT"), database), Damaged)


def test_a_view_of_an_index_that_was_closed_does_not_call_it_damaged(backend: LocalBackend) -> None:
    view = backend.view(0)
    backend.close()

    for use in (view.all_names, lambda: view.snapshot().__enter__()):
        with pytest.raises(StorageError, match=r"cannot operate on a closed database$"):
            use()


def test_what_no_index_can_hold_is_a_wrong_call(backend: LocalBackend) -> None:
    with changing(backend) as edits:
        for value in (1 << 64, "half a \udc00 character"):
            with pytest.raises(UsageError, match=r"^this cannot be in an index: "):
                edits.set_meta("setting.x", value)
