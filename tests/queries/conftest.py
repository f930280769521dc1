"""A store with the images of which a real dockerd (20.10) was asked for its disk usage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from casstore import Store

ARCHIVES = Path(__file__).parents[2] / "fixtures" / "images" / "docker-save"
ASKED = ("empty-layers", "commit", "shared-base", "fork", "tags")


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("queries") / "store"
    with Store(path) as store:
        for name in ASKED:
            store.load(str(ARCHIVES / f"{name}.tar"))
    return path


@pytest.fixture
def store(loaded: Path, tmp_path: Path) -> Iterator[Store]:
    with Store(loaded) as origin:
        origin.clone(tmp_path / "store")
    with Store(tmp_path / "store") as store:
        yield store
