"""An index in the store: its platforms, a look into it, and that it goes as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from casstore.errors import NotFound, Unsupported
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


@pytest.mark.parametrize("format", ["docker", "oci", "oci-dir", "dir"])
@pytest.mark.parametrize("place", range(len(PLATFORMS)))
def test_save_takes_the_image_of_one_platform_out_of_an_index(
    store: Store, tmp_path: Path, format: str, place: int
) -> None:
    row = store.platforms("multi:1")[place]
    store.save(["multi:1"], tmp_path / "out", format=format, platform=row.platform)
    with Store(str(tmp_path / "second")) as second:
        (image,) = second.load(str(tmp_path / "out")).images

        assert image.id == row.id
        assert [name.familiar for name in image.names] == ([] if format == "dir" else ["multi:1"])
        if format != "docker":
            manifests = second.inspect(row.id)["Casstore"]["Manifests"]
            assert [one["Digest"] for one in manifests] == [row.manifest]


def test_an_index_without_a_platform_chosen_is_no_docker_archive(
    store: Store, tmp_path: Path
) -> None:
    with pytest.raises(Unsupported, match=r"use --format oci, or --platform for one of them$"):
        store.save(["multi:1"], tmp_path / "out")


@pytest.mark.parametrize(
    ("image", "platform"),
    [
        ("multi:1", "linux/s390x"),
        ("multi:1", "linux/386"),
        ("multi:1", "windows/amd64"),
        ("mine:1", "linux/arm64"),
    ],
)
def test_save_refuses_a_platform_that_is_not_there(
    store: Store, tmp_path: Path, image: str, platform: str
) -> None:
    out = tmp_path / "out.tar"
    result = casstore(store.path, ["save", "-o", str(out), "--platform", platform, image])

    assert (result.status, result.out) == (1, "")
    assert result.err == f"Error: {image} is not there for the platform {platform}\n"
    assert not out.exists()


def test_save_takes_no_architecture_that_only_runs_on_the_platform(tmp_path: Path) -> None:
    layout = Layout()
    child = layout.image("x", config=config_of(layer("x"), architecture="386"))
    entry = {**child, "platform": {"os": "linux", "architecture": "386"}}
    layout.publish(layout.index(entry), "multi:1")
    with Store(str(tmp_path / "store")) as store:
        store.load(layout.write(str(tmp_path / "layout")))
        assert store.inspect("multi:1", platform="amd64")["Architecture"] == "386"

        with pytest.raises(NotFound, match=r"^multi:1 is not there for the platform linux/amd64$"):
            store.save(["multi:1"], tmp_path / "out", platform="linux/amd64")


def test_an_image_that_is_no_index_is_saved_for_its_own_platform(
    store: Store, tmp_path: Path
) -> None:
    store.save(["mine:1"], tmp_path / "chosen.tar", platform="linux/amd64")
    store.save(["mine:1"], tmp_path / "plain.tar")

    assert (tmp_path / "chosen.tar").read_bytes() == (tmp_path / "plain.tar").read_bytes()


def test_an_index_and_its_platform_under_another_name_are_saved_once(
    store: Store, tmp_path: Path
) -> None:
    store.save(["multi:1", "mine:1"], tmp_path / "out", format="oci", platform="amd64")
    with Store(str(tmp_path / "second")) as second:
        (image,) = second.load(str(tmp_path / "out")).images

        assert [name.familiar for name in image.names] == ["multi:1", "mine:1"]


def test_what_refers_to_a_platform_is_saved_with_it_and_what_refers_to_its_index_is_not(
    tmp_path: Path,
) -> None:
    layout = Layout()
    child = layout.image("x")
    entry = {**child, "platform": {"os": "linux", "architecture": "amd64"}}
    index = layout.index(entry)
    layout.publish(index, "app:1")
    empty = layout.blob(b"{}", "application/vnd.oci.empty.v1+json")
    of_child = layout.publish(layout.manifest(empty, [], subject=child, artifactType="text/x"))
    of_index = layout.publish(layout.manifest(empty, [], subject=index, artifactType="text/x"))
    with Store(str(tmp_path / "store")) as store:
        store.load(layout.write(str(tmp_path / "layout")))
        store.save(["app:1"], tmp_path / "out", format="oci", platform="amd64")
    with Store(str(tmp_path / "second")) as second:
        came = {image.id for image in second.load(str(tmp_path / "out")).images}

    assert of_child in came
    assert of_index not in came
