"""An index in the store: its platforms, a look into it, and that it goes as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from casstore.errors import NotFound
from casstore.model.digest import Digest, sha256
from casstore.store import Store
from tests.sessions.commandline import casstore
from tests.transfer.building import Layout, config_of, layer

PLATFORMS = (("amd64", ""), ("arm64", "v8"), ("arm", "v7"))


def config(architecture: str, variant: str) -> bytes:
    layers = [layer("base"), layer(architecture)]
    return config_of(*layers, architecture=architecture, variant=variant)


@pytest.fixture
def layout() -> Layout:
    """An index of three platforms, one of which has a name of its own too."""
    layout = Layout()
    children = []
    for architecture, variant in PLATFORMS:
        child = layout.image("base", architecture, config=config(architecture, variant))
        platform = {"os": "linux", "architecture": architecture, "variant": variant}
        children.append({**child, "platform": platform})
    layout.publish(layout.index(*children), "multi:1")
    layout.publish(children[0], "mine:1")
    return layout


@pytest.fixture
def store(tmp_path: Path, layout: Layout) -> Iterator[Store]:
    with Store(str(tmp_path / "store")) as store:
        store.load(layout.write(str(tmp_path / "layout")))
        yield store


def ids() -> list[Digest]:
    return [sha256(config(*platform)) for platform in PLATFORMS]


def test_the_platforms_of_an_index_are_listed_in_its_order(store: Store) -> None:
    assert [(one.platform, one.id) for one in store.platforms("multi:1")] == list(
        zip(["linux/amd64", "linux/arm64/v8", "linux/arm/v7"], ids(), strict=True)
    )
    assert store.platforms("mine:1") == []


def test_images_shows_an_index_as_one_row_and_its_platforms_with_tree(store: Store) -> None:
    plain = casstore(store.path, ["images", "multi"]).out.splitlines()
    tree = casstore(store.path, ["images", "--tree", "multi"]).out.splitlines()

    assert len(plain) == 2
    assert [line.split()[:2] for line in tree] == [
        ["IMAGE", "IMAGE"],
        ["multi:1", store.get("multi:1").id.short],
        ["├─", "linux/amd64"],
        ["├─", "linux/arm64/v8"],
        ["└─", "linux/arm/v7"],
    ]
    assert tree[2].split()[2] == ids()[0].short


def test_inspect_looks_at_one_platform(store: Store) -> None:
    shape = store.inspect("multi:1", platform="linux/arm64")

    assert (shape["Id"], shape["Architecture"], shape["Variant"]) == (ids()[1], "arm64", "v8")
    assert shape["RootFS"]["Layers"] == [sha256(layer("base")), sha256(layer("arm64"))]
    assert shape["RepoTags"] == ["multi:1"]


@pytest.mark.parametrize(("image", "platform"), [("multi:1", "s390x"), ("mine:1", "linux/arm64")])
def test_a_platform_that_is_not_there_is_said(store: Store, image: str, platform: str) -> None:
    with pytest.raises(NotFound, match="not there for the platform linux/"):
        store.inspect(image, platform=platform)
    result = casstore(store.path, ["inspect", "--platform", platform, image])
    assert (result.status, result.out) == (1, "[]\n")


def test_rmi_of_an_index_removes_all_that_no_one_else_needs(store: Store) -> None:
    result = store.remove(["multi:1"])

    assert result.exit_code == 0
    assert [image.id for image in store.images(all=True)] == [ids()[0]]
    assert store.df().blobs == 4  # of mine:1: manifest, config, two layers
    assert store.check().clean


def test_a_platform_with_a_name_of_its_own_may_go_before_the_index(store: Store) -> None:
    store.remove(["mine:1"])

    assert store.inspect("multi:1", platform="amd64")["Id"] == ids()[0]
    assert store.check().clean


def test_save_keeps_the_bytes_and_the_digest_of_an_index(store: Store, tmp_path: Path) -> None:
    store.save(["multi:1"], str(tmp_path / "out.tar"), format="oci")
    with Store(str(tmp_path / "second")) as second:
        second.load(str(tmp_path / "out.tar"))

        assert second.get("multi:1").id == store.get("multi:1").id
        assert len(second.platforms("multi:1")) == 3
