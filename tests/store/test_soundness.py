"""A database that lost rows to damage, or that is an old copy: nothing is removed because of it."""

from __future__ import annotations

import io
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from casstore import CasstoreError, Damaged, StorageError, Store
from casstore.backends.local.care import soundness
from casstore.backends.local.directory import LocalStore
from casstore.backends.local.imagerows import decode_labels
from tests.backends.local.behind import blanked
from tests.transfer.building import docker_archive, layer

ARCHIVE = docker_archive(
    {"layers": [layer("base"), layer("a")], "tags": ["a:1"]},
    {"layers": [layer("base"), layer("b")], "tags": ["b:1"]},
)
MORE = docker_archive({"layers": [layer("c")], "tags": ["c:1"]})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(ARCHIVE))
    return tmp_path / "store"


def blobs(root: Path) -> set[str]:
    return {path.name for path in (root / "blobs" / "sha256").iterdir()}


def names(store: Store) -> set[str]:
    return {name.familiar for image in store.images() for name in image.names}


def scrambled(root: Path) -> None:
    path = root / "casstore.db"
    data = path.read_bytes()
    assert b"CREATE TABLE blob" in data
    path.write_bytes(data.replace(b"CREATE TABLE blob", b"CREATE TABXE blob"))


def unreadable(root: Path) -> None:
    (root / "casstore.db").write_bytes(b"no database" * 999)


@pytest.mark.parametrize(
    ("damage", "damaged"),
    [
        (lambda _: None, False),
        (lambda root: blanked(root, "edge"), True),
        (scrambled, True),
        (unreadable, False),  # it does not open: every change makes it anew
        (lambda root: (root / "casstore.db").unlink(), False),
    ],
    ids=["sound", "rows are missing", "no schema", "no database", "missing"],
)
def test_a_database_is_damaged_that_opens_and_is_not_whole(
    root: Path, damage: Callable[[Path], None], *, damaged: bool
) -> None:
    damage(root)

    assert soundness.is_damaged(LocalStore(str(root))) is damaged


def test_each_thing_that_sqlite_finds_is_a_line_and_its_headings_are_none(root: Path) -> None:
    blanked(root, "blob", "sqlite_autoindex_blob_1", "edge")

    with closing(LocalStore(str(root)).connect_as_is()) as connection:
        lines = soundness.database_problems(connection)
        first = soundness.database_problems(connection, 1)

    assert len(lines) > 1 and not [line for line in lines if line.startswith("***")]
    assert first == lines[:1]


@pytest.mark.parametrize("dry_run", [False, True])
def test_gc_removes_nothing_that_only_a_damaged_database_does_not_know(
    root: Path, *, dry_run: bool
) -> None:
    blanked(root, "blob", "sqlite_autoindex_blob_1")
    before = blobs(root)

    with Store(str(root)) as store, pytest.raises(Damaged, match="nothing is removed, for casstor"):
        store.gc(dry_run=dry_run)

    assert blobs(root) == before


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Damaged("the index is damaged"), "nothing is removed: the index is damaged"),
        (StorageError("cannot read the index"), "cannot read the index"),
    ],
)
def test_gc_tells_damage_from_a_database_that_cannot_be_read_just_now(
    root: Path, monkeypatch: pytest.MonkeyPatch, error: CasstoreError, told: str
) -> None:
    def fail(*_: object) -> list[str]:
        raise error

    monkeypatch.setattr(soundness, "database_problems", fail)
    (root / "blobs" / "sha256" / ("0" * 64)).write_bytes(b"of which the index knows nothing")
    before = blobs(root)

    with Store(str(root)) as store, pytest.raises(type(error), match=f"^{told}$"):
        store.gc()

    assert blobs(root) == before


@pytest.mark.parametrize("names_", [("edge",), ("blob", "sqlite_autoindex_blob_1"), ("holding",)])
def test_a_repair_makes_a_damaged_database_anew(root: Path, names_: tuple[str, ...]) -> None:
    blanked(root, *names_)
    with Store(str(root)) as store:
        assert {one.code for one in store.check().findings} >= {"db-bad"}

        assert store.check(repair=True).findings == ()
        store.remove(["a:1"])

        assert store.check().findings == ()


def test_a_check_reads_the_documents_unless_it_is_told_that_they_were_read(root: Path) -> None:
    with sqlite3.connect(root / "casstore.db") as connection:
        connection.execute("DELETE FROM edge WHERE parent = (SELECT min(parent) FROM edge)")
    connection.close()
    with Store(str(root)) as store:
        checks = store.session.backend.checks

        told = checks.check([], content=False).findings

        assert [one.code for one in told] == ["edge-missing"]
        assert checks.check([], content=False, documents=False).findings == ()


def test_a_repair_makes_a_database_anew_that_says_other_than_the_blobs(root: Path) -> None:
    with sqlite3.connect(root / "casstore.db") as connection:
        connection.execute("DELETE FROM edge WHERE parent = (SELECT min(parent) FROM edge)")
    connection.close()
    with Store(str(root)) as store:
        assert [one.code for one in store.check().findings] == ["edge-missing"]

        assert store.check(repair=True).findings == ()
        store.remove(["a:1"])

        assert store.check().findings == ()


@pytest.fixture
def put_back(root: Path, tmp_path: Path) -> Path:
    """A store whose casstore.db is a copy from before its last changes."""
    shutil.copy(root / "casstore.db", tmp_path / "copy.db")
    with Store(str(root)) as store:
        store.load(io.BytesIO(MORE))
        store.remove(["a:1"])
    assert not (root / "casstore.db-wal").exists()
    shutil.copy(tmp_path / "copy.db", root / "casstore.db")
    return root


def test_an_old_copy_of_the_database_gives_way_to_the_newer_index_json(put_back: Path) -> None:
    before = blobs(put_back)
    with Store(str(put_back)) as store:
        store.leases.add("x", "b:1")

        assert names(store) == {"b:1", "c:1"}
        assert "older than index.json" in store.notices[0]
        assert store.gc().removed_blobs == 0
        assert store.check().findings == ()
    assert blobs(put_back) == before
    assert len(list(put_back.glob("casstore.db.damaged-*"))) == 1


def test_leases_in_the_old_copy_stay(root: Path, tmp_path: Path) -> None:
    with Store(str(root)) as store:
        store.leases.add("x", "b:1")
        store.close()
        shutil.copy(root / "casstore.db", tmp_path / "copy.db")
        store.load(io.BytesIO(MORE))
        store.close()
        shutil.copy(tmp_path / "copy.db", root / "casstore.db")
        store.tag("b:1", "d:1")

        assert [lease.name for lease in store.leases.list()] == ["x"]
        assert names(store) == {"a:1", "b:1", "c:1", "d:1"}


def test_fsck_says_that_the_database_is_an_old_copy(put_back: Path) -> None:
    with Store(str(put_back)) as store:
        found = {one.code: one.text for one in store.check().findings}

    assert "the next change makes casstore.db again" in found["db-outdated"]
    assert "index-stale" not in found


def test_a_withdrawn_index_json_is_not_made_from_a_damaged_database(root: Path) -> None:
    with Store(str(root)) as store:
        store.publish(on_demand=True)
        store.tag("a:1", "later:1")
    blanked(root, "reference", "sqlite_autoindex_reference_1", "reference_image")

    with Store(str(root)) as store:
        store.check(repair=True)

        assert names(store) == {"a:1", "b:1"}


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ("UPDATE blob SET kind = 66", "no known kind"),
        ("UPDATE blob SET kind = 'x'", "a value of another type in blob.kind"),
    ],
)
def test_a_row_that_says_nothing_known_is_named_and_a_rebuild_mends_it(
    root: Path, edit: str, said: str
) -> None:
    with closing(sqlite3.connect(root / "casstore.db")) as connection:
        connection.execute(edit)
        connection.commit()

    with Store(str(root)) as store:
        (finding,) = store.check().findings
        assert (finding.code, said in finding.text) == ("db-bad", True)
        with pytest.raises(Damaged):
            store.collect({"keep": 1}, dry_run=True)
        assert store.check(rebuild=True).clean
        assert names(store) == {"a:1", "b:1"}


def test_half_a_pair_of_labels_in_the_database_is_passed_over() -> None:
    assert decode_labels("key\x00value\x00half") == (("key", "value"),)
