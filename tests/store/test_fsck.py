"""What fsck finds in a store at rest, finding by finding, and what it makes of a second look."""

from __future__ import annotations

import errno
import io
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from casstore.backends.local import directory
from casstore.backends.local.care import content, fsck
from casstore.backends.local.care.checks import Problem, blob_problem, image_problems
from casstore.backends.local.care.fsck import _Check, check_store
from casstore.backends.local.directory import LocalStore
from casstore.backends.local.view import LocalView
from casstore.errors import Damaged, StorageError
from casstore.model.digest import Digest, sha256
from casstore.model.findings import Finding
from casstore.model.state import BlobState
from casstore.progress import Progress
from casstore.store import Store
from tests.backends.local.behind import blanked, directory_of, view_of
from tests.transfer.building import Layout, docker_archive, layer

LARGE = os.urandom(fsck.SMALL + 1).hex()  # is read by the threads, side by side
ARCHIVE = docker_archive(
    {"layers": [layer("base"), layer("a")], "tags": ["a:1"]},
    {"layers": [layer("base"), layer(LARGE)], "tags": ["large:1"]},
)
Found = tuple[str, str, str]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store") as store:
        store.load(io.BytesIO(ARCHIVE))
        yield store


def found(store: Store, *, read: bool = True) -> list[Found]:
    """Level, code and object of each finding."""
    return [(one.level, one.code, one.object) for one in store.check(content=read).findings]


def texts(store: Store) -> list[str]:
    return [one.text for one in store.check().findings]


def path_of(store: Store, digest: str) -> Path:
    return Path(directory_of(store).blobs.path(Digest(digest)))


def flip(store: Store, digest: str) -> None:
    path = path_of(store, digest)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(0o444)


def large_layer(store: Store) -> Digest:
    return max(view_of(store).all_blobs(), key=lambda state: state.size).digest


# Blobs


def test_a_sound_store_is_clean_and_every_blob_and_byte_is_counted(store: Store) -> None:
    blobs = list(Path(directory_of(store).blobs.directory).iterdir())

    for read in (True, False):
        result = store.check(content=read)

        assert result.findings == ()
        assert (result.blobs, result.bytes) == (len(blobs), sum(b.stat().st_size for b in blobs))


@pytest.mark.parametrize("which", ["small", "large"])
def test_wrong_bytes_are_found_by_reading_and_only_so(store: Store, which: str) -> None:
    bad = store.get("a:1").id if which == "small" else large_layer(store)
    flip(store, bad)

    assert found(store) == [("error", "blob-corrupt", bad)]
    (text,) = texts(store)
    assert text.endswith(f"; needed by {'a:1' if which == 'small' else 'large:1'}")
    wrong = [] if which == "large" else [("error", "manifest-bad")]
    assert [one[:2] for one in found(store, read=False)] == wrong


def test_what_cannot_be_counted_is_not(store: Store) -> None:
    before = store.check()
    size = path_of(store, large_layer(store)).stat().st_size
    path_of(store, large_layer(store)).unlink()

    result = store.check()

    assert (result.blobs, result.bytes) == (before.blobs - 1, before.bytes - size)


def test_a_blob_that_can_be_written_to_is_told_unless_it_is_damaged(store: Store) -> None:
    path_of(store, store.get("a:1").id).chmod(0o664)
    flip(store, store.get("large:1").id)
    path_of(store, store.get("large:1").id).chmod(0o664)

    assert found(store) == [
        ("error", "blob-corrupt", store.get("large:1").id),
        ("note", "blob-mode", store.get("a:1").id),
    ]
    assert "mode 0664: it can be written to" in texts(store)


def test_what_is_in_the_directory_of_blobs_and_not_in_the_index_is_told(store: Store) -> None:
    nobodys, doomed, folder = (sha256(name.encode()) for name in ("nobody's", "doomed", "folder"))
    for digest in (nobodys, doomed):
        path_of(store, digest).write_bytes(b"12345")
    path_of(store, folder).mkdir()
    (path_of(store, folder).parent / "notes.txt").touch()
    view_of(store).connection.execute("INSERT INTO doomed VALUES (?)", (doomed.raw,))

    told = {one.object: (one.level, one.code, one.text) for one in store.check().findings}

    text = "a directory, which no load of this blob can replace; fsck --repair"
    assert told == {
        nobodys: ("note", "orphan-blob", "5 bytes, nothing needs it"),
        doomed: ("note", "orphan-blob", "5 bytes, a crash left it"),
        folder: ("warn", "blob-not-file", text),
        "notes.txt": ("note", "blob-name-bad", "no digest; not part of the store"),
    }


def test_findings_come_by_level_code_and_object(store: Store) -> None:
    for number in range(20):
        path_of(store, sha256(b"%d" % number)).touch()
        Path(store.path, f"{number}").touch()
    path_of(store, store.get("a:1").id).unlink()

    told = found(store)

    assert told == sorted(told) and len(told) == 41


# What it cannot look into


@pytest.mark.parametrize("where", ["blobs/sha256", "ingest"])
@pytest.mark.parametrize("what", ["list", "look", "link"])
def test_a_directory_that_cannot_be_looked_into_is_told(
    store: Store, monkeypatch: pytest.MonkeyPatch, where: str, what: str
) -> None:
    Path(store.path, where, "something").touch()
    closed = os.path.join(store.path, where)
    scandir = os.scandir

    class Entry:
        name = "something"

        def stat(self, *, follow_symlinks: bool) -> os.stat_result:
            if what == "link" and not follow_symlinks:  # to what may not be looked at
                return os.stat_result(range(10))
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    class Entries:
        def __enter__(self) -> Iterator[Entry]:
            return iter([Entry()])

        def __exit__(self, *_: object) -> None:
            pass

    def scan(path: str) -> Any:
        if path != closed:
            return scandir(path)
        if what != "list":
            return Entries()
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "scandir", scan)

    errors = [one for one in store.check().findings if one.level == "error"]
    told = Finding("error", "dir-unreadable", where, "cannot be read: permission denied")
    assert errors == ([] if what == "link" else [told])


def test_what_a_process_that_ended_has_left_is_told(store: Store) -> None:
    (Path(directory_of(store).ingest) / "load-1-dead").mkdir()

    (one,) = store.check().findings
    assert (one.level, one.code, one.object) == ("note", "temp-left", "load-1-dead")


def test_a_lease_whose_time_is_over_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.leases.add("mine", "a:1")
    store.leases.add("for-ever", "a:1", ttl_seconds=None)
    expires = {name: at for name, _, at in view_of(store).all_leases()}["mine"]
    assert expires is not None
    for now, told in ((expires - 1, []), (expires, [("note", "lease-expired", "mine")])):
        monkeypatch.setattr(fsck, "current_time", lambda now=now: now)

        assert found(store) == told


# The database


def test_a_database_that_is_missing_and_one_that_is_none_are_told_apart(store: Store) -> None:
    store.close()
    path = Path(directory_of(store).database)
    path.unlink()
    assert ("error", "db-missing", "casstore.db") in found(store)
    path.write_bytes(b"no database" * 999)
    assert ("error", "db-bad", "casstore.db") in found(store)


def test_an_index_json_that_cannot_be_read_is_told_where_the_database_is_bad_too(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.close()
    Path(directory_of(store).database).write_bytes(b"no database" * 999)
    real = os.open

    def failing(path: str, *rest: int, **more: int) -> int:
        if path == directory_of(store).layout.path:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "open", failing)

    (one,) = (one for one in store.check().findings if one.object == "index.json")
    assert (one.level, one.code) == ("error", "index-unreadable")
    assert one.text.startswith("cannot be read: input/output error; nothing is changed until")
    assert one.text.endswith("it may list what another tool put into the store")


def test_the_layout_of_another_tool_is_no_store_that_has_lost_its_database(tmp_path: Path) -> None:
    layout = Layout()
    layout.publish(layout.image("new"), "new:1")
    layout.write(str(tmp_path / "layout"))
    for path in (tmp_path / "layout" / "blobs" / "sha256").iterdir():
        path.chmod(0o444)
    bad = sha256(b"{}")
    (tmp_path / "layout" / "blobs" / "sha256" / bad.hex).write_bytes(b"{}")

    with Store(tmp_path / "layout") as store:
        assert found(store) == [
            ("note", "db-missing", "casstore.db"), ("note", "orphan-blob", bad)
        ]  # fmt: skip
        assert any(text.startswith("not made yet: ") for text in texts(store))


def once(monkeypatch: pytest.MonkeyPatch, step: str, times: int = 1) -> None:
    """Let SQLite call its file damaged, after a step of so many passes."""
    real = getattr(_Check, step)
    errors = [Damaged("the index is damaged (so it seems); run: casstore fsck --rebuild")] * times

    def fail(check: _Check, *args: object, **options: object) -> None:
        real(check, *args, **options)
        if errors:
            raise errors.pop()

    monkeypatch.setattr(_Check, step, fail)


def test_what_sqlite_calls_damaged_once_is_no_finding_and_nothing_counts_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path_of(store, sha256(b"orphan")).touch()
    Path(store.path, "stranger").touch()
    before = store.check()
    once(monkeypatch, "_files")

    after = store.check()

    assert after == before and len(after.findings) == 2


def test_what_sqlite_calls_damaged_twice_is(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    once(monkeypatch, "_database", 2)

    (one,) = store.check().findings
    assert (one.level, one.code, one.object) == ("error", "db-bad", "casstore.db")


@pytest.mark.parametrize("how", ["raises", "tells"])
def test_a_disk_that_fails_under_the_database_is_no_damage(
    store: Store, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "raises":
        once(monkeypatch, "_database")
    else:
        monkeypatch.setattr(fsck, "database_problems", lambda *_: ["a page is never used"])

    def fail(*_: object, **__: object) -> Any:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(directory, "open", fail, raising=False)
    monkeypatch.setattr(LocalStore, "require", lambda _: None)  # it reads oci-layout

    with pytest.raises(StorageError, match=r"cannot read the index .*: input/output error"):
        store.check()


def test_what_sqlite_finds_once_and_not_again_is_no_finding(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[sqlite3.Connection] = []

    def problems(connection: sqlite3.Connection) -> list[str]:
        looks.append(connection)
        return ["a page is never used"] if len(looks) == 1 else []

    monkeypatch.setattr(fsck, "database_problems", problems)

    assert found(store) == [] and len(looks) == 2


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("for_good", [True, False])
def test_a_page_that_is_read_wrong_once_is_no_damage(
    store: Store, monkeypatch: pytest.MonkeyPatch, *, live: bool, for_good: bool
) -> None:
    store.close()
    path = Path(directory_of(store).database)
    good = path.read_bytes()
    blanked(Path(store.path), "edge")
    monkeypatch.setattr(LocalStore, "is_writable", lambda _: live)

    def meanwhile(_: LocalStore) -> None:
        if not for_good:
            path.write_bytes(good)

    monkeypatch.setattr(LocalStore, "check_readable", meanwhile)

    told = [text for text in texts(store) if "fsck --rebuild" in text]
    assert bool(told) is for_good
    assert not [text for text in told if "closed" in text]


def test_an_error_of_sqlite_itself_is_told_as_casstores(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        error = sqlite3.OperationalError("out of memory")
        error.sqlite_errorname = "SQLITE_NOMEM"
        raise error

    monkeypatch.setattr(_Check, "_database", fail)

    with pytest.raises(StorageError, match="cannot use the index: out of memory"):
        store.check()


# A second look


def looking(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[int], None]
) -> list[tuple[Digest, bool]]:
    """Do something before each second look at a blob; which, and whether its content is read."""
    looks: list[tuple[Digest, bool]] = []

    def look(blobs: Any, state: BlobState, *, content: bool) -> Problem | None:
        looks.append((state.digest, content))
        change(len(looks))
        return blob_problem(blobs, state, content=content)

    monkeypatch.setattr(fsck, "blob_problem", look)
    return looks


def test_what_is_wrong_is_looked_at_three_times_and_its_content_read_once_more(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("casstore.backends.local.care.fsck.time.sleep", slept.append)
    looks = looking(monkeypatch, lambda _: None)
    bad = store.get("a:1").id
    flip(store, bad)

    assert found(store) == [("error", "blob-corrupt", bad)]
    assert looks == [(bad, True), (bad, False), (bad, False)]
    assert slept[:2] == [fsck.PAUSE, fsck.PAUSE]


def test_without_reading_no_content_is_read_in_a_second_look(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = looking(monkeypatch, lambda _: None)
    missing = large_layer(store)
    path_of(store, missing).unlink()

    assert found(store, read=False) == [("error", "blob-missing", missing)]
    assert looks == [(missing, False)] * 3


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_missing_file_that_comes_back_between_two_looks_is_no_finding(
    store: Store, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    path = path_of(store, large_layer(store))
    data = path.read_bytes()
    path.unlink()

    def back(look: int) -> None:
        if look == at:
            path.write_bytes(data)
            path.chmod(0o444)

    looking(monkeypatch, back)

    assert found(store) == []


@pytest.mark.parametrize("names", [("a:1", "large:1"), ("large:1", "a:1")])
@pytest.mark.parametrize("at", [1, 3])
def test_a_corrupt_blob_that_goes_between_two_looks_is_no_finding_and_hides_none(
    store: Store, monkeypatch: pytest.MonkeyPatch, names: tuple[str, str], at: int
) -> None:
    goes, stays = (store.get(name).id for name in names)
    for bad in (goes, stays):
        flip(store, bad)

    def remove(look: int) -> None:
        if look == at:
            with Store(store.path) as other:
                other.remove([names[0]])

    looking(monkeypatch, remove)

    assert found(store) == [("error", "blob-corrupt", stays)]


def test_a_blob_that_is_read_wrong_once_and_right_the_second_time_is_no_finding(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = store.get("a:1").id
    flip(store, bad)
    looking(monkeypatch, lambda look: flip(store, bad) if look == 1 else None)

    assert found(store) == []


@pytest.mark.parametrize("at", [3, 4, 5])
def test_an_image_that_goes_while_its_documents_are_looked_at_again_is_no_finding(
    store: Store, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    flip(store, store.get("a:1").id)
    looks: list[object] = []

    def look(view: LocalView, *args: Any) -> Any:
        looks.append(args)
        view.stored_bytes()  # from here on it has its snapshot
        if len(looks) == at:
            with Store(store.path) as other:
                other.remove(["a:1"])
        return image_problems(view, *args)

    monkeypatch.setattr(fsck, "image_problems", look)

    assert found(store, read=False) == []
    assert len(looks) >= at  # two images, then three looks at the one in doubt


def test_what_nobody_needed_and_goes_or_is_needed_by_now_is_no_finding(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes, stays = sha256(b"goes"), sha256(b"stays")
    for digest in (goes, stays):
        path_of(store, digest).touch(mode=0o444)
    again = _Check._look_again

    def meanwhile(check: _Check, **how: bool) -> None:
        path_of(store, goes).unlink()
        again(check, **how)

    monkeypatch.setattr(_Check, "_look_again", meanwhile)

    assert found(store) == [("note", "orphan-blob", stays)]


def test_a_check_that_is_ended_leaves_no_thread_reading(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(_: content.ContentCheck) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(content.ContentCheck, "problems", end)
    monkeypatch.setattr(content, "content_problem", lambda *_: time.sleep(0.1))

    with pytest.raises(KeyboardInterrupt):
        store.check()
    assert not [one for one in threading.enumerate() if one.name == "casstore-check"]


def test_only_a_check_that_reads_tells_how_far_it_is(store: Store) -> None:
    for read in (True, False):
        progress = Progress()
        check_store(directory_of(store), [], content=read, documents=True, progress=progress)

        assert [task.name for task in progress.tasks] == (["Checking"] if read else [])


@pytest.mark.parametrize("live", [True, False])
def test_a_second_look_is_at_the_store_as_it_is_then(
    store: Store, monkeypatch: pytest.MonkeyPatch, *, live: bool
) -> None:
    """Whether it reads the database itself, or copies, as who may write nothing does."""
    if not live:
        store.close()
        monkeypatch.setattr(LocalStore, "is_writable", lambda _: False)
    done: list[bool] = []

    def directory_(check: _Check) -> None:
        real(check)
        if not done:
            done.append(True)
            with monkeypatch.context() as patched:
                patched.setattr(LocalStore, "is_writable", lambda _: True)
                with Store(store.path) as other:
                    other.remove(["a:1", "large:1"])
                    other.load(io.BytesIO(docker_archive({"layers": [layer("late")]})))

    real, files = _Check._database, _Check._files
    passes: list[_Check] = []

    def counted(check: _Check, **how: bool) -> None:
        passes.append(check)
        files(check, **how)

    monkeypatch.setattr(_Check, "_database", directory_)
    monkeypatch.setattr(_Check, "_files", counted)

    assert found(store) == []
    assert len(passes) == 1
