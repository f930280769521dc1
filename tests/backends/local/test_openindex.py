"""The open index: when its connection goes, and what it leaves beside the database then."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from casstore import Store
from casstore.backends.local import forkedchild, openindex
from casstore.backends.local.backend import LocalBackend
from casstore.backends.local.directory import LocalStore
from casstore.backends.local.openindex import OpenIndex
from casstore.backends.local.schema import Connection
from casstore.errors import CasstoreError
from tests.backends.local.forking import child
from tests.store.olderstores import recorded
from tests.transfer.building import docker_archive, layer

ARCHIVE = docker_archive({"layers": [layer("a")], "tags": ["a:1"]})
BESIDE = ("casstore.db-shm", "casstore.db-wal")


@pytest.fixture
def _no_collector() -> Iterator[None]:
    """A process that ends soon collects nothing: what holds itself is there to its end."""
    gc.disable()
    yield
    gc.enable()


def beside(root: Path) -> list[str]:
    return [name for name in BESIDE if (root / name).exists()]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "a.tar").write_bytes(ARCHIVE)
    with Store(tmp_path / "store") as store:
        store.load(tmp_path / "a.tar")
    return tmp_path / "store"


@pytest.mark.usefixtures("_no_collector")
def test_a_store_that_is_closed_leaves_nothing_beside_its_database(root: Path) -> None:
    with Store(root) as store:
        store.tag("a:1", "b:1")
        assert beside(root) == list(BESIDE)

    assert beside(root) == []


@pytest.mark.usefixtures("_no_collector")
def test_a_store_that_nobody_holds_any_more_is_closed(root: Path) -> None:
    Store(root).tag("a:1", "b:1")

    assert beside(root) == []


@pytest.mark.usefixtures("_no_collector")
def test_an_index_that_is_let_go_stays_open_for_a_view_in_use(root: Path) -> None:
    backend = LocalBackend(str(root))
    backend.prepare(create=False)
    view = backend.view(0)
    backend.let_go(at_once=True)

    assert len(view.images_with_prefix("")) == 1
    del view
    backend.let_go(at_once=True)
    assert beside(root) == []


@pytest.fixture
def index(root: Path) -> Iterator[OpenIndex]:
    index = OpenIndex(LocalStore(str(root)))
    yield index
    index.close()


def file_of(connection: Connection) -> str:
    """The file that a connection reads; none that there is for a copy in memory."""
    found: str = connection.execute("PRAGMA database_list").fetchone()[2]
    return found


def names_in(connection: Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT name FROM reference ORDER BY name")]


A1 = ["docker.io/library/a:1"]


def test_a_connection_is_kept_between_looks_and_changes(index: OpenIndex) -> None:
    connection = index.to_read()
    index.prepare(create=False)
    index.refresh()

    assert index.to_change() is index.to_read() is connection
    index.prepare(create=False)
    assert index.to_change() is connection


def test_what_is_prepared_first_is_kept_for_looks(index: OpenIndex) -> None:
    index.prepare(create=False)
    connection = index.to_change()
    index.refresh()

    assert index.to_read() is connection


def test_a_look_without_a_database_is_in_memory_until_a_change_has_built_it(
    index: OpenIndex, root: Path
) -> None:
    (root / "casstore.db").unlink()
    looked = index.to_read()
    assert names_in(looked) == A1
    assert index.to_read() is looked
    index.refresh()
    assert index.to_read() is not looked
    assert index.prepare(create=False) == []
    built = index.to_change()

    assert file_of(built) == str(root / "casstore.db")
    assert names_in(built) == A1
    index.refresh()
    assert index.to_read() is built


def test_a_database_that_another_has_put_in_its_place_is_seen(index: OpenIndex, root: Path) -> None:
    for look in (index.to_read, lambda: (index.prepare(create=False), index.to_change())[1]):
        before = look()
        shutil.copy(root / "casstore.db", root / "new.db")
        os.rename(root / "new.db", root / "casstore.db")

        assert look() is not before


def test_an_older_database_is_looked_at_by_one_connection_until_it_is_upgraded(
    tmp_path: Path,
) -> None:
    root = recorded(1, tmp_path)
    index, other = (OpenIndex(LocalStore(str(root))) for _ in range(2))
    older = index.to_read()
    assert index.to_read() is older
    other.prepare(create=False)

    upgraded = index.to_read()
    assert upgraded is not older
    assert index.to_read() is upgraded
    index.close()
    other.close()


def test_who_has_upgraded_a_database_looks_by_the_same_connection(tmp_path: Path) -> None:
    index = OpenIndex(LocalStore(str(recorded(1, tmp_path))))
    index.to_read()
    index.prepare(create=False)
    upgraded = index.to_change()

    assert index.to_read() is upgraded
    index.close()


def test_a_database_that_is_shared_while_it_is_open_is_separated_by_the_next_change(
    index: OpenIndex, root: Path, tmp_path: Path
) -> None:
    index.prepare(create=False)
    os.link(root / "casstore.db", tmp_path / "copy.db")
    index.prepare(create=False)

    assert (root / "casstore.db").stat().st_nlink == 1
    assert names_in(index.to_change()) == A1


def test_a_change_makes_the_directories_that_are_missing(index: OpenIndex, root: Path) -> None:
    (root / "ingest").rmdir()
    index.prepare(create=False)

    assert (root / "ingest").is_dir()


def test_a_database_is_no_empty_one_where_only_oci_layout_is_missing(
    index: OpenIndex, root: Path
) -> None:
    (root / "oci-layout").unlink()

    assert index.prepare(create=True) == []
    assert names_in(index.to_change()) == A1


def test_a_layout_without_a_database_is_no_empty_store(index: OpenIndex, root: Path) -> None:
    (root / "casstore.db").unlink()

    assert index.prepare(create=True) == []
    assert names_in(index.to_change()) == A1


def test_an_old_copy_of_the_database_is_not_gone_on_with(root: Path) -> None:
    shutil.copy(root / "casstore.db", root / "old.db")
    with Store(root) as store:
        store.tag("a:1", "b:1")
    os.rename(root / "old.db", root / "casstore.db")
    index = OpenIndex(LocalStore(str(root)))
    (said,) = index.prepare(create=False)

    assert said.startswith("casstore.db was older than index.json")
    assert names_in(index.to_change()) == [*A1, "docker.io/library/b:1"]
    assert index.prepare(create=False) == []
    index.close()


@pytest.mark.usefixtures("_no_collector")
def test_an_index_that_is_left_leaves_its_log(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[Connection] = []
    monkeypatch.setattr(openindex, "_left", left)
    index = OpenIndex(LocalStore(str(root)))
    index.leave()
    index.prepare(create=False)
    index.to_change().execute("INSERT INTO meta VALUES ('one', 1)")
    index.leave()
    del index
    gc.collect()

    assert beside(root) == list(BESIDE)
    left.pop().close()
    assert left == []


@pytest.mark.parametrize("end", ["close", "leave", "forget"])
def test_no_index_is_noted_that_is_not_open(
    root: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(openindex, "_left", [])
    before = dict(openindex._open)
    index = OpenIndex(LocalStore(str(root)))
    index.to_read()
    assert openindex._open != before
    if end == "forget":
        del index
        gc.collect()
    else:
        getattr(index, end)()

    assert openindex._open == before


def test_a_child_opens_a_database_of_its_own_and_closes_its_parents_before(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name, value in (
        (forkedchild, "_inherited", []), (openindex, "_close_inherited", None),
        (openindex, "_open", {}),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    index = OpenIndex(LocalStore(str(root)))
    parents = index.to_read()
    openindex._leave_to_parent()  # as in a forked child
    assert parents.execute("SELECT 1").fetchone() == (1,)
    own = index.to_read()

    assert own is not parents
    with pytest.raises(CasstoreError, match="closed database"):
        parents.execute("SELECT 1")
    assert index.given_up() is own
    assert index.given_up() is None
    own.close()


# From 3.12 on Python warns of every fork beside a thread, of which pytest-xdist has one.
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_looks_through_a_connection_of_its_own(root: Path) -> None:
    index = OpenIndex(LocalStore(str(root)))
    parents = index.to_read()

    with child(lambda: index.to_read() is not parents):
        assert parents.execute("SELECT 1").fetchone() == (1,)
    index.close()


def test_a_child_has_nothing_to_close_where_its_parent_had_nothing_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openindex, "_close_inherited", None)
    monkeypatch.setattr(openindex, "_open", {})
    openindex._leave_to_parent()

    assert openindex._close_inherited is None
