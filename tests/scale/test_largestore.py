"""tools/largestore: what the measurements at scale stand on is a store like any other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from casstore import Store

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 images of 2 + 3 layers, two of them without a name, and 4 dead blobs."""
    path = tmp_path_factory.mktemp("scale") / "store"
    options = "--images 30 --layers-per-image 3 --shared 2 --pool 5 --unnamed 2 --dead 4 --quiet"
    subprocess.run(
        [sys.executable, ROOT / "tools" / "largestore", *options.split(), path], check=True
    )
    return path


def test_nothing_is_wrong_with_it(large: Path) -> None:
    with Store(large) as store:
        found = store.check()

    assert found.clean
    assert [finding.code for finding in found.findings] == ["orphan-blob"] * 4
    assert found.blobs == 30 * (3 + 2) + 5


def test_a_rebuild_finds_the_same_images(large: Path, tmp_path: Path) -> None:
    with Store(large) as store:
        before = store.images(all=True)
        store.clone(tmp_path / "copy")
    (tmp_path / "copy" / "casstore.db").unlink()

    with Store(tmp_path / "copy") as store:
        assert store.images(all=True) == before


def test_an_image_is_removed_with_its_own_layers_only(large: Path, tmp_path: Path) -> None:
    with Store(large) as store:
        store.clone(tmp_path / "copy")
    with Store(tmp_path / "copy") as store:
        removed = store.remove(["large/7:1"])

        assert [line.role for line in removed.outcomes[0].lines].count("layer") == 3
        assert store.check().clean


def test_its_layers_are_tars(large: Path) -> None:
    with Store(large) as store:
        layers = store.inspect("large/0:1")["RootFS"]["Layers"]
        with store.open_layer(layers[-1]) as layer:
            assert layer.read(9) == b"own-0-2\0\0"
