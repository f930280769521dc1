from __future__ import annotations

import gzip
import io
import json
import tarfile

import pytest

from casstore.errors import CasstoreError, InvalidReference, Refused
from casstore.model.digest import Digest, sha256
from casstore.model.record import Arrival
from casstore.transfer.compress import DEFAULT
from casstore.transfer.source import read_images
from tests.transfer.building import (
    config_of,
    docker_archive,
    layer,
    member,
    tar_of,
    tar_of_members,
)
from tests.transfer.intake import FakeIntake

BASE, TOP = layer("base"), layer("top")


def load(data: bytes, intake: FakeIntake | None = None) -> list[Arrival]:
    return read_images(io.BytesIO(data), intake or FakeIntake(), compression=DEFAULT)


def archive_with(**item: object) -> bytes:
    """An archive of one image, its manifest item changed."""
    config = config_of(BASE)
    entry = {"Config": "c.json", "RepoTags": ["a:1"], "Layers": ["l.tar"], **item}
    files = {"c.json": config, "l.tar": BASE, "manifest.json": json.dumps([entry]).encode()}
    return tar_of(files)


def test_an_image_arrives_with_its_config_untouched_and_its_layers_packed() -> None:
    intake = FakeIntake()
    config = config_of(BASE, TOP)

    (arrival,) = load(docker_archive({"layers": [BASE, TOP], "tags": ["a:1", "b:2"]}), intake)

    assert arrival.image.id == sha256(config)
    assert intake.blobs[sha256(config)] == config
    assert [each.diff_id for each in arrival.image.layers] == [sha256(BASE), sha256(TOP)]
    assert all(each.media_type.endswith("+zstd") for each in arrival.image.layers)
    assert [name.familiar for name in arrival.names] == ["a:1", "b:2"]
    assert arrival.image.top.digest in intake.blobs
    assert intake.untidy == []


def test_a_layer_that_two_images_share_is_packed_once() -> None:
    intake = FakeIntake()

    load(docker_archive({"layers": [BASE]}, {"layers": [BASE, TOP]}), intake)

    assert len(intake.layers) == 2 and len(intake.drafts) == 2


def test_a_layer_that_is_known_by_its_diff_id_is_not_read() -> None:
    intake = FakeIntake()
    intake.commit(load(docker_archive({"layers": [BASE]}), intake))
    config = config_of(BASE, os="linux", author="x")
    files = {
        "manifest.json": b'[{"Config":"c","Layers":["absent"]}]',
        "c": config,
    }
    (arrival,) = load(tar_of(files), intake)

    assert arrival.image.layers == tuple(intake.layers.values())


def test_an_image_that_is_known_keeps_the_manifest_that_it_has() -> None:
    intake = FakeIntake()
    data = docker_archive({"layers": [BASE]})
    first = load(data, intake)
    intake.commit(first)
    before = dict(intake.blobs)

    assert load(data, intake) == first
    assert intake.blobs == before


def test_a_compressed_layer_has_the_diff_id_of_the_tar_in_it() -> None:
    files = {
        "manifest.json": b'[{"Config":"c","Layers":["l.tar.gz"]}]',
        "c": config_of(BASE),
        "l.tar.gz": gzip.compress(BASE),
    }

    assert load(tar_of(files))[0].image.layers[0].diff_id == sha256(BASE)


def test_a_layer_may_be_a_link_to_another_directorys() -> None:
    data = tar_of_members(
        (member("c"), config_of(BASE)),
        (member("one/layer.tar"), BASE),
        (member("two/layer.tar", tarfile.SYMTYPE, "../one/layer.tar"), b""),
        (member("manifest.json"), b'[{"Config":"c","Layers":["two/layer.tar"]}]'),
    )

    assert len(load(data)[0].image.layers) == 1


def test_a_parent_counts_only_within_the_archive() -> None:
    parent, child = config_of(BASE), config_of(BASE, author="me")
    elsewhere = Digest("sha256:" + "a" * 64)

    linked = load(
        docker_archive(
            {"layers": [BASE], "config": child, "parent": sha256(parent)},
            {"layers": [BASE], "config": parent, "parent": elsewhere},
        )
    )

    assert [each.parent for each in linked] == [sha256(parent), None]


def test_an_image_that_is_its_own_parent_has_none() -> None:
    config = config_of(BASE)

    assert load(docker_archive({"layers": [BASE], "parent": sha256(config)}))[0].parent is None


@pytest.mark.parametrize("manifest", [b"[]", b"null", b" [ ] "])
def test_an_archive_of_no_images_loads_none(manifest: bytes) -> None:
    assert load(tar_of({"manifest.json": manifest})) == []


def test_an_image_without_layers_is_one() -> None:
    assert load(docker_archive({"layers": []}))[0].image.size == 0


def test_the_second_of_two_images_with_one_tag_comes_second() -> None:
    both = load(
        docker_archive({"layers": [BASE], "tags": ["a:1"]}, {"layers": [TOP], "tags": ["a:1"]})
    )

    assert [[name.familiar for name in each.names] for each in both] == [["a:1"], ["a:1"]]


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ({"Layers": ["l.tar", "l.tar"]}, "layers length mismatch: expected 2, got 1$"),
        ({"Layers": []}, "^invalid manifest, layers length mismatch: expected 0, got 1$"),
        ({"Layers": ["no.tar"]}, "^open no.tar: no such file or directory$"),
        ({"Config": "no.json"}, "^open no.json: no such file or directory$"),
        ({"Config": "l.tar"}, "is not UTF-8|not valid JSON"),
        ({"Config": ""}, "^image 1 of manifest.json has no Config$"),
        ({"Config": None}, "^image 1 of manifest.json has no Config$"),
        ({"Layers": [None]}, "^layer 0 of image 1 of manifest.json has no path$"),
        ({"Config": "../c.json"}, "invalid path"),
        ({"Layers": ["/etc/passwd"]}, "^open /etc/passwd: no such file or directory$"),
        ({"Layers": ["/../l.tar"]}, "invalid path"),
        ({"Layers": "l.tar"}, '"Layers" of image 1 of manifest.json is not a list'),
        ({"RepoTags": "a:1"}, '"RepoTags"'),
        ({"RepoTags": ["x"]}, '^invalid tag "x"$'),
        ({"RepoTags": ["localhost:5000/x"]}, '^invalid tag "localhost:5000/x"$'),
        ({"RepoTags": ["a@sha256:" + "0" * 64]}, "^invalid tag"),
        ({"RepoTags": ["a:1@sha256:" + "0" * 64]}, "^invalid tag"),
        ({"Parent": 7}, '"Parent"'),
    ],
)
def test_an_entry_that_is_wrong_is_refused(item: dict[str, object], says: str) -> None:
    with pytest.raises(Refused, match=says):
        load(archive_with(**item))


@pytest.mark.parametrize("tag", ["Upper:1", ":1", "a b:1", "sha256:1", "a:", "", "\x1b[2J:1"])
def test_a_tag_that_is_no_name_is_refused_by_name(tag: str) -> None:
    with pytest.raises((InvalidReference, Refused)) as caught:
        load(archive_with(RepoTags=["fine:1", tag]))

    assert str(caught.value).isprintable()


@pytest.mark.parametrize("manifest", [b"{}", b"[1]", b"", b"nonsense", b'[{"Config":"c"},{}]'])
def test_a_manifest_json_of_the_wrong_form_is_refused(manifest: bytes) -> None:
    with pytest.raises(CasstoreError):
        load(tar_of({"manifest.json": manifest, "c": config_of()}))


def test_other_content_than_the_diff_id_is_refused_in_dockers_words() -> None:
    data = docker_archive({"layers": [BASE, TOP], "config": config_of(BASE, layer("other"))})
    intake = FakeIntake()

    with pytest.raises(
        Refused, match=r'invalid diffID for layer 1: expected "sha256:.*", got "sha'
    ):
        load(data, intake)
    assert intake.untidy == []


def test_an_image_of_another_system_is_refused() -> None:
    with pytest.raises(Refused, match=r"^cannot load windows image on linux$"):
        load(docker_archive({"layers": [BASE], "config": config_of(BASE, os="windows")}))
