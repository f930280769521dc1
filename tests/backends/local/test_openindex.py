"""The open index: when its connection goes, and what it leaves beside the database then."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from casstore import Store
from casstore.backends.local.backend import LocalBackend
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
