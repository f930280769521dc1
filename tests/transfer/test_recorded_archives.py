"""The archives of the recorded docker sessions: what each holds, and docker's words of refusal."""

from __future__ import annotations

import os

import pytest

from casstore.errors import CasstoreError
from casstore.model.record import Arrival
from casstore.transfer.compress import DEFAULT
from casstore.transfer.source import read_images
from tests.transfer.intake import FakeIntake

ARCHIVES = os.path.join(
    os.path.dirname(__file__), os.pardir, os.pardir, "fixtures", "transcripts", "archives"
)


def load(name: str) -> list[Arrival]:
    return read_images(os.path.join(ARCHIVES, name), FakeIntake(), compression=DEFAULT)


def told(name: str) -> list[tuple[str, str, list[str]]]:
    return [
        (each.image.id[7:19], (each.parent or "")[7:19], [name.familiar for name in each.names])
        for each in load(name)
    ]


def test_a_chain_has_its_parents() -> None:
    assert told("chain.tar") == [
        ("ee7778961c86", "", ["base:1"]),
        ("4e828d0a6e2a", "ee7778961c86", []),
        ("8ebf4a92ffa2", "4e828d0a6e2a", []),
        ("2f3bb8fe9ddd", "8ebf4a92ffa2", ["app:1"]),
    ]


def test_a_parent_outside_the_archive_is_ignored() -> None:
    assert told("parent-elsewhere.tar") == [("3126029831e7", "", ["nolink:1"])]


def test_the_legacy_form_gives_the_ids_that_docker_made_of_it() -> None:
    assert sorted(told("legacy.tar")) == [
        ("1922c60d24d1", "", ["old/app:base"]),
        ("277bbec906eb", "c68f4a0aa68b", ["old/app:1"]),
        ("c68f4a0aa68b", "1922c60d24d1", []),
    ]


def test_one_image_twice_arrives_twice() -> None:
    assert told("same-image-twice.tar") == [
        ("e2a59cf4825c", "", ["u:a"]),
        ("e2a59cf4825c", "", ["u:b"]),
    ]


def test_a_layer_may_be_compressed_in_the_archive() -> None:
    assert told("gzip-layer.tar") == [("eb8b4d80bb9f", "", ["gz:1"])]


def test_the_file_bytes_are_those_that_docker_counts() -> None:
    sizes = {each.names[0].tag: each.image.size for each in load("sizes.tar.gz")}

    assert all(str(size) == tag for tag, size in sizes.items()) and len(sizes) == 11


def test_an_archive_of_nothing_is_no_error() -> None:
    assert load("empty-manifest.tar") == []


X = "6d885474bfa3aa86cbcb8efad8e8653ab353f79166f759e3331bcd0bbd1d0f31"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bad-layer-missing", "/layer.tar: no such file or directory"),
        ("bad-config-missing", f"open {X}.json: no such file or directory"),
        ("bad-layer-content", 'invalid diffID for layer 1: expected "sha256:89ccf6dbdf8d'),
        ("bad-layer-count", "invalid manifest, layers length mismatch: expected 1, got 2"),
        ("bad-tag", "invalid reference format: repository name must be lowercase"),
        ("bad-tag-no-tag", 'invalid tag "x"'),
        ("bad-manifest-json", "manifest.json is not valid JSON"),
        ("bad-config-json", "is not a JSON object"),
        ("bad-nothing", "holds no images"),
        ("bad-truncated", "unexpected EOF"),
        ("bad-os", "cannot load windows image on linux"),
        ("bad-history", "too many non-empty layers in History section"),
        ("bad-parent", f"image sha256:{X} is not a valid parent for sha256:3126029831e7"),
        ("good-then-bad", "/layer.tar: no such file or directory"),
        ("legacy-bad-target", "invalid target ID: d645f8fe33eb"),
        ("legacy-no-repositories", "holds no images"),
        ("rootfs", "holds no images"),
    ],
)
def test_what_docker_refused_is_refused_in_its_words(name: str, text: str) -> None:
    with pytest.raises(CasstoreError) as caught:
        load(f"{name}.tar")

    assert text in str(caught.value)
