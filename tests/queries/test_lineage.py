"""The tree: parents first, then what layers tell."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from casstore import Store, UsageError
from tests.transfer.building import docker_archive, layer

A, B, C, D = (layer(letter * 700) for letter in "abcd")


def drawn(store: Store, by: str = "layers") -> list[str]:
    """Each row as its name, or the number of its layers, indented by its depth."""
    return [
        "  " * row.depth + (row.names[0].familiar if row.names else f"{len(row.layers)} layers")
        for row in store.tree(by=by)
    ]


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "made") as store:
        yield store


def load(store: Store, **images: list[bytes]) -> None:
    """Images by name, without recorded parents."""
    entries: list[dict[str, Any]] = [
        {"layers": layers, "tags": [f"{name}:1"]} for name, layers in images.items()
    ]
    store.load(io.BytesIO(docker_archive(*entries)))


def test_an_image_stands_under_its_recorded_parent(store: Store) -> None:
    rows = drawn(store, by="parent")

    assert rows[rows.index("shop/imported:1") + 1] == "  shop/committed:1"


def test_by_parent_layers_do_not_count(store: Store) -> None:
    assert "shop/one:1" in drawn(store, by="parent")
    assert "  shop/one:1" in drawn(store)


def test_an_image_whose_layers_begin_another_is_what_that_is_built_on(empty: Store) -> None:
    load(empty, base=[A], app=[A, B], tool=[A, B, C])

    assert drawn(empty) == ["base:1", "  app:1", "    tool:1"]


def test_first_layers_that_no_image_consists_of_are_a_row_of_their_own(empty: Store) -> None:
    load(empty, one=[A, B, C], two=[A, B, D], other=[D])
    first = empty.tree()[0]

    assert drawn(empty)[0] == "2 layers"
    assert sorted(drawn(empty)[1:3]) == ["  one:1", "  two:1"]
    assert drawn(empty)[3] == "other:1"
    assert (first.image, first.own, first.below) == (None, 1400, 2)


def test_layers_are_kin_in_whatever_compression(empty: Store) -> None:
    load(empty, base=[A])
    empty.save(["base:1"], str(Path(empty.path).parent / "base.tar"))
    archive = docker_archive({"layers": [A, B], "tags": ["app:1"]})
    other = Store(Path(empty.path).parent / "other")
    other.load(io.BytesIO(archive), compression="gzip")
    other.save(["app:1"], str(Path(empty.path).parent / "app"), format="oci-dir")
    other.close()
    empty.load(str(Path(empty.path).parent / "app"))

    assert drawn(empty) == ["base:1", "  app:1"]


def test_what_each_row_adds_is_what_the_store_holds(store: Store) -> None:
    layers = [layer for row in store.tree() for layer in row.layers]

    assert sum(row.own for row in store.tree() if row.layers) >= store.df().file_bytes
    assert set(layers) == {one for image in store.images(all=True)
                           for one in store.get(image.id).layers}  # fmt: skip


def test_an_empty_store_has_an_empty_tree(tmp_path: Path) -> None:
    with Store(tmp_path / "none") as store, store.session.change(create=True) as change:
        change.commit()
        assert store.tree() == []


def test_every_image_is_drawn_once(store: Store) -> None:
    for by in ("layers", "parent"):
        images = [row.image for row in store.tree(by=by) if row.image]
        assert sorted(images) == sorted(image.id for image in store.images(all=True))


def test_a_tree_in_another_order_is_refused(store: Store) -> None:
    with pytest.raises(UsageError, match='cannot order a tree by "size"'):
        store.tree(by="size")
