from __future__ import annotations

import io
import json

import pytest

from casstore.errors import InvalidReference, Refused
from casstore.model.digest import sha256
from casstore.model.record import Arrival
from casstore.transfer.compress import DEFAULT
from casstore.transfer.source import read_images
from tests.transfer.building import layer, tar_of
from tests.transfer.intake import FakeIntake

REPOSITORIES = {"old/app": {"1": "b"}}


def load(data: bytes) -> list[Arrival]:
    return read_images(io.BytesIO(data), FakeIntake(), compression=DEFAULT)


def archive(
    repositories: object = REPOSITORIES, *, drop: str = "", **jsons: dict[str, object]
) -> bytes:
    """Images `a` and, on top of it, `b`."""
    files: dict[str, bytes] = {}
    for old_id, value in {"b": {"parent": "a"}, "a": {}, **jsons}.items():
        files[f"{old_id}/VERSION"] = b"1.0"
        files[f"{old_id}/json"] = json.dumps({"id": old_id, **value}).encode()
        files[f"{old_id}/layer.tar"] = layer(old_id)
    files["repositories"] = json.dumps(repositories).encode()
    files.pop(drop, None)
    return tar_of(files)


def test_every_directory_becomes_an_image_on_top_of_its_parent() -> None:
    below, above = load(archive())

    assert above.parent == below.image.id and below.parent is None
    assert [each.diff_id for each in above.image.layers] == [sha256(layer("a")), sha256(layer("b"))]
    assert [name.familiar for name in above.names] == ["old/app:1"]
    assert below.names == ()


def test_an_image_without_a_name_still_loads() -> None:
    assert len(load(archive({}))) == 2


def test_an_empty_layer_file_is_a_layer() -> None:
    data = tar_of({"a/json": b"{}", "a/layer.tar": b"", "repositories": b"{}"})

    assert load(data)[0].image.layers[0].diff_id == sha256(b"")


def test_a_tag_that_leads_nowhere_is_refused_in_dockers_words() -> None:
    with pytest.raises(Refused, match=r"^invalid target ID: zz$"):
        load(archive({"x": {"1": "zz"}}))


def test_a_malformed_name_is_refused() -> None:
    with pytest.raises(InvalidReference):
        load(archive({"Upper": {"1": "a"}}))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (archive(drop="a/json"), "open a/json: no such file or directory"),
        (archive(drop="a/layer.tar"), "open a/layer.tar: no such file or directory"),
        (archive(b={"parent": "zz"}), "open zz/json: no such file or directory"),
        (archive(b={"parent": "../a"}), "invalid path"),
        (archive(a={"parent": "b"}), "its own ancestor"),
        (archive(a={"parent": "a"}), "its own ancestor"),
        (archive(a={"os": "windows"}), "cannot load windows image on linux"),
        (archive(a={"parent": 7}), '"parent"'),
        (archive([]), "repositories is not a JSON object"),
        (archive({"x": []}), '"x" of repositories'),
        (archive(drop="repositories"), "holds no images"),
    ],
)
def test_what_is_wrong_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(Refused, match=says):
        load(data)
