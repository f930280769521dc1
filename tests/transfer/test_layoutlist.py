"""index.json of a layout that something is copied to: what others wrote in it stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from casstore.errors import Refused
from casstore.model.descriptor import Descriptor
from casstore.model.digest import sha256
from casstore.model.keys import CONTAINERD_NAME, REF_NAME
from casstore.model.manifest import parse_index_json
from casstore.transfer.layoutlist import encoded, is_listed, with_name
from casstore.transfer.layoutsink import LayoutSink

KIND = "application/vnd.oci.image.manifest.v1+json"
ONE, TWO = (Descriptor(KIND, sha256(text), 3) for text in (b"one", b"two"))


def entry(top: Descriptor, **annotations: str) -> dict[str, Any]:
    bare = {"mediaType": KIND, "digest": top.digest, "size": top.size}
    names = {"ref": REF_NAME, "full": CONTAINERD_NAME}
    said = {names.get(key, key): value for key, value in annotations.items()}
    return {**bare, "annotations": said} if said else bare


def after(top: Descriptor, name: str, *before: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The list when `top` was added to one of these; and it is then as it should be."""
    index = {"schemaVersion": 2, **more, "manifests": list(before)}
    assert not is_listed(parse_index_json(encoded(index)), top, name)
    made = with_name(index, top, name)
    assert is_listed(parse_index_json(encoded(made)), top, name)
    return made


def listed(top: Descriptor, name: str, *before: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = after(top, name, *before)["manifests"]
    return found


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ([], [entry(TWO, ref="x")]),
        ([entry(ONE, ref="y")], [entry(ONE, ref="y"), entry(TWO, ref="x")]),
        ([entry(ONE, ref="x")], [entry(ONE), entry(TWO, ref="x")]),
        ([entry(ONE, ref="x"), entry(ONE, ref="y")], [entry(ONE, ref="y"), entry(TWO, ref="x")]),
        ([entry(ONE, ref="x", a="b")], [entry(ONE, a="b"), entry(TWO, ref="x")]),
        ([entry(TWO)], [entry(TWO, ref="x")]),
        ([entry(TWO, ref="y")], [entry(TWO, ref="y"), entry(TWO, ref="x")]),
        ([entry(TWO, a="b")], [entry(TWO, a="b"), entry(TWO, ref="x")]),
        ([entry(ONE), entry(ONE)], [entry(ONE), entry(ONE), entry(TWO, ref="x")]),
        ([entry(ONE, ref="x"), entry(TWO, ref="x")], [entry(ONE), entry(TWO, ref="x")]),
    ],
)
def test_a_name_comes_to_what_was_copied(
    before: list[dict[str, Any]], expected: list[dict[str, Any]]
) -> None:
    assert listed(TWO, "x", *before) == expected


def test_containerds_name_moves_too_where_it_is_the_same() -> None:
    full = "docker.io/library/app:1"
    for name in "app:1", full:
        assert listed(TWO, name, entry(ONE, ref="app:1", full=full))[0] in (
            entry(ONE),
            entry(ONE, ref="app:1"),
        )
    assert listed(TWO, "1", entry(ONE, ref="1", full=full))[0] == entry(ONE, full=full)
    assert listed(TWO, "1", entry(ONE, ref="1", full="No Name"))[0] == entry(ONE, full="No Name")


def test_without_a_name_it_is_listed_once() -> None:
    assert listed(TWO, "", entry(ONE)) == [entry(ONE), entry(TWO)]
    assert is_listed(parse_index_json(encoded({"manifests": [entry(TWO, ref="x")]})), TWO, "")


def test_what_stands_beside_the_list_stays() -> None:
    made = after(TWO, "x", annotations={"a": "b"}, extra=[1, {"é": None}])

    assert (made["annotations"], made["extra"]) == ({"a": "b"}, [1, {"é": None}])


@pytest.mark.parametrize("manifests", ["null", "[]", None])
def test_an_empty_list_may_be_none(manifests: str | None, tmp_path: Path) -> None:
    (tmp_path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    if manifests is not None:
        (tmp_path / "index.json").write_text(f'{{"schemaVersion":2,"manifests":{manifests}}}')
    with LayoutSink(str(tmp_path)) as sink:
        sink.add(TWO, b"two")
        sink.publish(TWO, "x")

    assert json.loads((tmp_path / "index.json").read_text())["manifests"] == [entry(TWO, ref="x")]


@pytest.mark.parametrize(
    "text",
    ["[]", "{", '{"manifests":[{}]}', '{"manifests":[],"manifests":[]}', '{"layers":[]}'],
)
def test_a_list_that_is_none_is_not_written_over(text: str, tmp_path: Path) -> None:
    (tmp_path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(Refused):
        LayoutSink(str(tmp_path))

    assert (tmp_path / "index.json").read_text() == text


def test_keys_in_another_case_are_not_lost(tmp_path: Path) -> None:
    (tmp_path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    text = json.dumps({"schemaVersion": 2, "Manifests": [entry(ONE, ref="x")]})
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(Refused, match="another case"), LayoutSink(str(tmp_path)) as sink:
        sink.publish(TWO, "x")

    assert (tmp_path / "index.json").read_text() == text
