from __future__ import annotations

import io
import json

import pytest

from casstore.errors import InvalidReference, Refused
from casstore.model.digest import Digest, sha256
from casstore.model.record import Arrival
from casstore.transfer.compress import DEFAULT
from casstore.transfer.goconfig import history_entry, make_config
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
    values: dict[str, dict[str, object]] = {"b": {"parent": "a"}, "a": {}, **jsons}
    for old_id, value in values.items():
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


@pytest.mark.parametrize(
    ("version", "word", "image"),
    [
        ("1.9.1", b"caf\xe9", "783c93cfeda796b5670e49cc2d2d56d562aaa6b98eba4f49945bbb3bfbde016b"),
        ("1.8.2", b"caf\xe9", "5b1b2eb0d43365abe51defac980b0b9759a7b2499f7b1cedd8d7c16332a8e9c6"),
        (
            "1.9.1",
            b"caf\\ud800",
            "4a3905f75f249c7674b02debfe844c5e6fd925fa94d1db74a5039b946c144499",
        ),
        (
            "1.8.2",
            b"caf\\udc80x\xe2\x82",
            "4ce9cd79d0ac01636195f00288b1436ca68d385af9a342ddeafac4b9fb86566b",
        ),
    ],
)
def test_bytes_that_are_no_text_give_the_image_id_that_dockerd_gives(
    version: str, word: bytes, image: str
) -> None:
    """Each ID is that of dockerd 20.10 for the same archive."""
    old_id = "a" * 64
    value = json.dumps(
        {
            "id": old_id, "created": "2015-04-03T00:00:00Z", "docker_version": version,
            "architecture": "amd64", "os": "linux", "author": "WORD",
            "config": {"Cmd": ["/x"], "Labels": {"WORD": "WORD"}}, "WORD": "x",
            "container_config": {"Cmd": ["/x", "WORD"]},
        },
        separators=(",", ":"),
    ).encode()  # fmt: skip
    data = value.replace(b"WORD", word)
    diff_id = Digest("sha256:a695acc7d51a852ef5a67f66200cdb48e0305a5d005a5d7ae23ed2635e775b68")

    config = make_config(data, "json", [diff_id], [history_entry(data, "json")])

    assert sha256(config).hex == image


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
