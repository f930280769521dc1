"""A store with the images of which a real dockerd (20.10) was asked for its disk usage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from casstore import Store
from tests.transfer.building import Layout

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


@pytest.fixture
def with_sbom(tmp_path: Path) -> Iterator[Store]:
    """A store with the image app:1, and an artifact without a name that is about it."""
    layout = Layout()
    image = layout.image("x")
    layout.publish(image, "app:1")
    empty = layout.blob(b"{}", "application/vnd.oci.empty.v1+json")
    sbom = [layout.blob(b"an sbom", "text/spdx")]
    layout.publish(layout.manifest(empty, sbom, artifactType="text/spdx", subject=image))
    with Store(tmp_path / "signed") as store:
        store.load(layout.write(str(tmp_path / "layout")))
        yield store
