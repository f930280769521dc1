"""Images found among the blobs alone: every top of a tree, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from casstore.backends.local.care import salvage
from casstore.backends.local.care.salvage import top_of, write_salvaged_index
from casstore.backends.local.directory import LocalStore
from casstore.errors import Refused
from casstore.model.digest import sha256
from tests.transfer.building import OCI_INDEX, OCI_MANIFEST, Layout

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@pytest.fixture
def disk(tmp_path: Path) -> LocalStore:
    (tmp_path / "blobs" / "sha256").mkdir(parents=True)
    (tmp_path / "ingest").mkdir()
    return LocalStore(str(tmp_path))


def salvaged(disk: LocalStore, layout: Layout) -> tuple[str, list[dict[str, Any]]]:
    """The line, and what index.json lists, of a store with the blobs of a layout."""
    for name, data in layout.files.items():
        Path(disk.root, name).write_bytes(data)
    line = write_salvaged_index(disk)
    found: list[dict[str, Any]] = json.loads(Path(disk.layout.path).read_bytes())["manifests"]
    return line, found


def test_every_document_that_no_other_lists_is_an_image(disk: LocalStore) -> None:
    layout = Layout()
    alone = [layout.image(f"image {number}") for number in range(20)]
    index = layout.index(layout.image("one"), layout.image("two"))

    line, found = salvaged(disk, layout)

    assert found == sorted([*alone, index], key=lambda one: str(one["digest"]))
    assert line == "index.json was lost: 21 images without names were found among the blobs"


def test_an_index_that_is_in_another_one_is_no_image(disk: LocalStore) -> None:
    layout = Layout()
    outer = layout.index(layout.index(layout.image("one")))

    assert salvaged(disk, layout)[1] == [outer]


def test_what_is_no_manifest_hides_none(disk: LocalStore) -> None:
    layout = Layout()
    images = [layout.image(f"image {number}") for number in range(8)]
    for number in range(8):
        layout.blob(b"", "")
        layout.blob(b"{ %d" % number, "")
        layout.blob(b'{"mediaType":"%d"}' % number, "")
        broken = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": number}
        layout.json_blob(broken, OCI_MANIFEST)
        layout.files[f"blobs/sha256/notes {number}"] = b"{}"
        layout.files[f"blobs/sha256/{sha256(bytes([number])).hex}"] = b'{"layers":[]}'

    found = salvaged(disk, layout)[1]

    assert found == sorted(images, key=lambda one: str(one["digest"]))


def test_a_document_longer_than_any_may_be_is_no_image(
    disk: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout()
    one = layout.image("one")
    for limit, found in ((one["size"], [one]), (one["size"] - 1, [])):
        monkeypatch.setattr(salvage, "MAX_DOCUMENT", limit)

        assert salvaged(disk, layout)[1] == found


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"mediaType": OCI_MANIFEST}, OCI_MANIFEST),
        ({"mediaType": OCI_INDEX}, OCI_INDEX),
        ({"mediaType": DOCKER_MANIFEST}, DOCKER_MANIFEST),
        ({"mediaType": "application/json", "layers": []}, None),
        ({"layers": []}, OCI_MANIFEST),
        ({"manifests": []}, OCI_INDEX),
        ({"manifests": [], "layers": []}, OCI_INDEX),
        ({"rootfs": {}}, None),
    ],
)
def test_a_document_says_what_it_is_by_its_type_or_by_what_it_has(
    value: dict[str, object], kind: str | None
) -> None:
    data = b" \n" + json.dumps(value).encode()
    digest = sha256(data)

    assert top_of(digest, data) == (None if kind is None else (kind, digest, len(data)))


@pytest.mark.parametrize("data", [b"", b"[]", b"\x1f\x8b"])
def test_what_is_no_object_is_no_manifest(data: bytes) -> None:
    assert top_of(sha256(data), data) is None


def test_an_object_that_is_cut_off_is_refused() -> None:
    with pytest.raises(Refused):
        top_of(sha256(b"{"), b"{")
