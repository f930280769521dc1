"""Random images look as they look to Docker, podman and umoci."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from casstore import Store
from tests.look.casstoretree import loaded, of_store
from tests.look.peers import Docker, Peer, Podman, Tree, Umoci
from tests.look.randomimages import Drawing

SEEDS = range(12)


@pytest.fixture(params=[Docker, Podman, Umoci], ids=lambda kind: kind.name)
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Peer:
    kind: type[Peer] = request.param
    if not kind.is_here():
        pytest.skip(f"no {kind.name} here that can be used")
    return kind(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def without_xattrs(tree: Tree) -> Tree:
    return {name: replace(seen, xattrs=()) for name, seen in tree.items()}


@pytest.mark.parametrize("seed", SEEDS)
def test_an_image_as_builders_make_them_is_the_same_to_all(
    peer: Peer, store: Store, seed: int
) -> None:
    layers = Drawing(seed).image()

    ours, theirs = of_store(store, loaded(store, layers)), peer.files(layers)

    if isinstance(peer, Docker):  # whose export leaves them out
        ours, theirs = without_xattrs(ours), without_xattrs(theirs)
    assert ours == theirs
