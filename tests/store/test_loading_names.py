"""What an image is called that is loaded: as the archive says, or as whoever loads it says."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from casstore.errors import InvalidReference, Refused
from casstore.model.digest import sha256
from casstore.store import Store
from tests.sessions.commandline import casstore
from tests.store.test_referrers import Signed
from tests.transfer.building import Layout, config_of, docker_archive, layer

IMAGES = Path(__file__).resolve().parents[2] / "fixtures" / "images"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store")) as store:
        yield store


def names(store: Store) -> list[str]:
    return sorted(store.names())


@pytest.mark.parametrize(
    "path",
    [
        "docker-save/single.tar",
        "docker-save/by-id.tar",
        "docker-save/tags.tar",
        "podman/oci-archive.tar",
        "podman/oci-archive-noref.tar",
        "podman/docker-dir",
        "podman/index-oci",
        "ctr/one.tar",
    ],
)
def test_the_one_image_of_an_archive_gets_the_name_that_is_asked_for_and_no_other(
    store: Store, path: str
) -> None:
    (image,) = store.load(IMAGES / path, tag="mine/app:7").images

    assert [name.familiar for name in image.names] == ["mine/app:7"]
    assert names(store) == ["mine/app:7"]
    assert store.get("mine/app:7").id == image.id


def test_a_name_without_a_tag_is_latest(store: Store) -> None:
    store.load(IMAGES / "docker-save/single.tar", tag="mine")

    assert names(store) == ["mine:latest"]


def test_several_images_cannot_have_one_name(store: Store) -> None:
    result = casstore(
        store.path, ["load", "--tag", "mine:1", "-i", str(IMAGES / "docker-save/commit.tar")]
    )

    assert (result.status, result.out) == (1, "")
    assert result.err == (
        "Error: mine:1 can be the name of one image, and there are 2 (shop/committed:1, "
        "shop/imported:1)\n"
    )
    assert list(store.images(all=True)) == []


def test_an_archive_of_no_images_has_none_to_name(store: Store) -> None:
    with pytest.raises(Refused, match=r"^mine:1 can be the name of one image, and there are none$"):
        store.load(io.BytesIO(docker_archive()), tag="mine:1")


@pytest.mark.parametrize("tag", ["", "UPPER", f"app@{sha256(b'x')}"])
def test_what_is_no_name_for_an_image_is_refused_before_anything_is_read(
    store: Store, tag: str
) -> None:
    with pytest.raises(InvalidReference):
        store.load("there is no such file", tag=tag)


def test_an_unnamed_parent_does_not_count(store: Store) -> None:
    base, top = layer("base"), layer("top")
    parent, child = config_of(base), config_of(base, top)
    archive = docker_archive(
        {"layers": [base], "config": parent},
        {"layers": [base, top], "config": child, "tags": ["app:1"], "parent": sha256(parent)},
    )
    store.load(io.BytesIO(archive), tag="mine:1")

    assert store.get("mine:1").id == sha256(child)
    assert store.get("mine:1").parent == sha256(parent)


def test_what_refers_to_the_image_goes_along_into_the_repository_of_its_new_name(
    store: Store, tmp_path: Path
) -> None:
    signed = Signed("shop/app")
    store.load(signed.layout.write(str(tmp_path / "layout")), tag="mine/app:7")

    assert names(store) == ["mine/app:7", f"mine/app:sha256-{signed.image.hex}.sig"]
    assert {one.id for one in store.images(all=True)} > {signed.sbom, signed.signature}


@pytest.fixture
def taken(store: Store) -> Store:
    """A store in which another image has the name shop/single:1.0."""
    store.load(io.BytesIO(docker_archive({"layers": [layer("x")], "tags": ["shop/single:1.0"]})))
    return store


SINGLE = "362e89ab014dc25be47e37c8675228927cf26cb41eb86597326abfaa9ad27f0e"


def test_a_name_that_is_there_stays_and_the_image_comes_without_it(taken: Store) -> None:
    before = taken.get("shop/single:1.0").id
    archive = str(IMAGES / "docker-save/single.tar")
    result = casstore(taken.path, ["load", "--no-clobber", "-i", archive])

    assert (result.status, result.err) == (0, "")
    assert result.out == (
        "The name shop/single:1.0 already exists, leaving it where it is\n"
        f"Loaded image ID: {SINGLE}\n"
    )
    assert taken.get("shop/single:1.0").id == before
    assert taken.get(SINGLE).names == ()
    assert taken.check().clean


def test_the_name_that_is_asked_for_is_not_taken_from_another_image_either(taken: Store) -> None:
    before = taken.get("shop/single:1.0").id
    loaded = taken.load(
        IMAGES / "podman/oci-archive.tar", tag="shop/single:1.0", clobber=False
    ).images[0]

    assert taken.get("shop/single:1.0").id == before
    assert [name.familiar for name in loaded.kept] == ["shop/single:1.0"]


def test_signatures_are_added_to_those_that_are_there_and_clobber_nothing(
    store: Store, tmp_path: Path
) -> None:
    def signed_by(who: str) -> Layout:
        layout = Layout()
        image = layout.publish(layout.image("x"), "app:1")
        payload = layout.blob(who.encode(), "application/vnd.dev.cosign.simplesigning.v1+json")
        payload["annotations"] = {"dev.cosignproject.cosign/signature": who}
        config = layout.json_blob({"rootfs": {}}, "application/vnd.oci.image.config.v1+json")
        layout.publish(layout.manifest(config, [payload]), f"app:sha256-{image.hex}.sig")
        return layout

    store.load(signed_by("anna").write(str(tmp_path / "one")))
    result = store.load(signed_by("bob").write(str(tmp_path / "two")), clobber=False)

    assert [image.kept for image in result.images] == [(), ()]
    (name,) = (name for name in store.names() if ".sig" in name)
    store.save([name], tmp_path / "out", format="oci-dir")
    blobs = (tmp_path / "out" / "blobs" / "sha256").iterdir()
    assert {b"anna", b"bob"} < {blob.read_bytes() for blob in blobs}
