"""A store's directory: whether it is one, what it lacks, who may write it, who holds what in it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from casstore.backends.local import directory, schema
from casstore.backends.local.directory import LocalStore
from casstore.errors import Damaged, NotAStore, StorageError
from casstore.files import durable
from casstore.model.digest import sha256

IMAGE = sha256(b"image")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with an empty index."""
    root = tmp_path / "store"
    for name in ("ingest", "blobs/sha256"):
        (root / name).mkdir(parents=True)
    (root / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    schema.create(str(root / "casstore.db"))
    return root


@pytest.fixture
def store(root: Path) -> LocalStore:
    return LocalStore(str(root))


def failing(number: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


# Whether it is a store


def test_what_is_not_there_or_empty_is_no_store(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(NotAStore, match="there is no store at "):
            LocalStore(str(path)).require()


def test_a_directory_with_something_else_in_it_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(NotAStore, match=r"is not a casstore store \(no oci-layout\)$"):
        LocalStore(str(tmp_path)).require()


def test_a_layout_of_another_version_is_no_store(store: LocalStore, root: Path) -> None:
    (root / "oci-layout").write_text('{"imageLayoutVersion":"2.0.0"}')

    with pytest.raises(NotAStore, match=r"is not an OCI image layout of version 1\.0\.0$"):
        store.require()


def test_a_directory_that_may_not_be_looked_into_may_be_a_store(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "stat", failing(errno.EACCES))

    with pytest.raises(StorageError, match=r"^cannot look into .*: permission denied$"):
        store.require()


def test_a_layout_file_that_cannot_be_read_is_told(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "open", failing(errno.EIO))

    with pytest.raises(StorageError, match="cannot read oci-layout: input/output error"):
        store.require()


@pytest.mark.parametrize(
    ("part", "what"),
    [
        ("blobs/sha256", "not a directory"),
        ("ingest", "not a directory"),
        ("index.json", "not a regular file"),
        ("casstore.db", "not a regular file"),
    ],
)
def test_a_part_of_another_kind_is_refused_whatever_else_is_missing(
    store: LocalStore, root: Path, part: str, what: str
) -> None:
    for name in ("blobs/sha256", "blobs", "ingest"):
        (root / name).rmdir()
    (root / "casstore.db").unlink()
    (root / part).parent.mkdir(exist_ok=True)
    store.require()
    os.mkfifo(root / part)

    with pytest.raises(Damaged, match=f"{part} is {what}, which is refused in a store$"):
        store.require()


@pytest.mark.parametrize("part", ["oci-layout", "ingest", "casstore.db"])
def test_a_link_in_the_place_of_a_part_is_refused(store: LocalStore, root: Path, part: str) -> None:
    (root / part).rename(root / "moved")
    (root / part).symlink_to("moved")

    with pytest.raises(Damaged, match=f"{part} is a symbolic link, which is refused in a store$"):
        store.require()


@pytest.mark.parametrize("missing", [["ingest"], ["blobs/sha256"], ["blobs/sha256", "blobs"], []])
def test_the_directories_that_are_missing_are_made(
    store: LocalStore, root: Path, missing: list[str]
) -> None:
    for name in missing:
        (root / name).rmdir()

    store.complete()

    assert (root / "ingest").is_dir() and (root / "blobs" / "sha256").is_dir()


def test_directories_that_cannot_be_made_are_told(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "ingest").rmdir()
    monkeypatch.setattr(durable, "make_directory", failing(errno.EROFS))

    with pytest.raises(StorageError, match="cannot complete the store: the store is read-only"):
        store.complete()


def test_only_a_store_that_is_asked_to_be_volatile_is(tmp_path: Path) -> None:
    for volatile in (False, True):
        root = str(tmp_path / f"{volatile}")
        LocalStore(root, volatile=volatile)

        assert durable.is_volatile(root) is volatile


# Its database


def test_a_database_is_known_by_its_file(store: LocalStore, root: Path) -> None:
    first = store.identity()
    status = (root / "casstore.db").stat()
    assert first == (status.st_dev, status.st_ino)
    (root / "casstore.db").rename(root / "old")
    assert store.identity() is None
    schema.create(str(root / "casstore.db"))
    assert store.identity() not in (first, None)


def test_a_database_that_is_missing_is_damage(store: LocalStore, root: Path) -> None:
    (root / "casstore.db").unlink()

    for writable in (False, True):
        with pytest.raises(Damaged, match=r"casstore\.db is missing; the next change rebuilds it"):
            store.connect(writable=writable)
    with pytest.raises(Damaged, match=r"^casstore\.db is missing$"):
        store.connect_as_is()


@pytest.mark.parametrize(
    ("directory_", "database", "writable"),
    [(True, True, True), (True, None, True), (True, False, False), (False, True, False)],
)
def test_a_store_is_writable_if_its_directory_is_and_a_database_that_is_there(
    store: LocalStore,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    directory_: bool,
    database: bool | None,
    writable: bool,
) -> None:
    if database is None:
        (root / "casstore.db").unlink()
    allowed = {store.root: directory_, store.database: bool(database)}
    monkeypatch.setattr(os, "access", lambda path, how: how == os.W_OK and allowed[path])

    assert store.is_writable() is writable


def writes(store: LocalStore) -> bool:
    """Whether a look at the index may write, and does so in the database itself."""
    connection, writable = store.connect_to_read()
    with closing(connection):
        path: str = connection.execute("PRAGMA database_list").fetchone()[2]
    assert (path == store.database) == writable  # else it looks at a copy
    return writable


def test_a_look_writes_where_it_may_and_the_database_is_of_this_store_alone(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert writes(store)
    with monkeypatch.context() as patched:
        patched.setattr(LocalStore, "is_writable", lambda _: False)
        assert not writes(store)
    os.link(root / "casstore.db", root / "casstore.db of a copy")
    assert not writes(store)


def test_a_look_needs_nothing_that_a_full_disk_lacks(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = LocalStore.connect

    def full(self: LocalStore, *, writable: bool) -> schema.Connection:
        if writable:
            raise StorageError("cannot use the index: no space left on device", full=True)
        return connect(self, writable=writable)

    monkeypatch.setattr(LocalStore, "connect", full)
    connection, said = store.connect_to_read()
    connection.close()

    assert not said


@pytest.mark.parametrize("part", ["", "-wal"])
def test_each_file_of_the_index_is_read_to_see_whether_the_disk_fails(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    store.check_readable()
    (root / "casstore.db").rename(root / f"casstore.db{part}")
    monkeypatch.setattr(directory, "open", failing(errno.EIO), raising=False)

    with pytest.raises(StorageError, match=rf"^cannot read the index .*db{part}: input/output err"):
        store.check_readable()


def test_every_byte_of_the_index_is_read_for_that(store: LocalStore, root: Path) -> None:
    (root / "casstore.db").unlink()
    (root / "casstore.db").symlink_to("/proc/self/mem")  # whose first page cannot be read: EIO

    with pytest.raises(StorageError, match="cannot read the index"):
        store.check_readable()


def test_what_others_committed_is_made_durable_with_the_names(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        flushed.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    store.sync_database()
    assert flushed == [store.root]
    (root / "casstore.db-wal").touch()
    store.sync_database()
    assert flushed[1:] == [store.database + "-wal", store.root]


# What is held in it


def test_ingest_is_empty_where_nothing_is_seen_in_it(store: LocalStore, root: Path) -> None:
    assert store.is_ingest_empty()
    (root / "ingest" / "load-1").touch()
    assert not store.is_ingest_empty()
    (root / "ingest" / "load-1").unlink()
    (root / "ingest").rmdir()
    assert not store.is_ingest_empty()  # whoever looks closer says why


@pytest.fixture
def leased(store: LocalStore) -> Iterator[LocalStore]:
    token = store.hold("mine", "a test", [IMAGE])
    yield store
    token.release()


def test_a_hard_lease_says_what_it_holds(leased: LocalStore) -> None:
    for to_change in (False, True):
        (lease,) = leased.hard_leases(to_change=to_change)
        assert (lease.name, lease.holder, lease.images) == ("mine", "a test", (IMAGE,))


@pytest.mark.parametrize("what", ["the lease", "the directory"])
def test_a_lease_that_cannot_be_read_may_be_on_any_image_for_a_change(
    leased: LocalStore, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    if what == "the lease":
        monkeypatch.setattr(directory, "open", failing(errno.EIO), raising=False)
    else:
        monkeypatch.setattr(os, "listdir", failing(errno.EIO))

    assert leased.hard_leases() == []
    with pytest.raises(StorageError, match="which may be a lease on any image: input/output error"):
        leased.hard_leases(to_change=True)


def test_a_lease_that_has_not_said_yet_what_it_holds_is_none(
    leased: LocalStore, root: Path
) -> None:
    (path,) = (root / "ingest").glob("lease-*.lock")
    path.write_bytes(b"")

    assert leased.hard_leases(to_change=True) == []
