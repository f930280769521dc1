"""Archives with index.json and manifest.json: what either lists comes in, nothing is lost."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pytest

from casstore.errors import Refused
from casstore.model.digest import sha256
from casstore.transfer.compress import DEFAULT
from casstore.transfer.source import find_images
from tests.transfer.building import OCI_CONFIG, OCI_LAYER, Layout, config_of, layer, tar_of
from tests.transfer.intake import FakeIntake


class Hybrid(Layout):
    """A layout with a `manifest.json` as well."""

    def __init__(self, *, packed: bool) -> None:
        super().__init__()
        self.packed = packed
        self.items: list[dict[str, Any]] = []

    def add(
        self,
        text: str,
        tags: list[str] | None,
        ref: str | None,
        *,
        listed: bool = True,
        **item: Any,
    ) -> str:
        """An image in `manifest.json`, and in index.json if `listed`; returns its ID."""
        blob, kind = layer(text), OCI_LAYER
        config = config_of(blob, author=text, **item.pop("config", {}))
        if self.packed:
            blob, kind = gzip.compress(blob, mtime=0), OCI_LAYER + "+gzip"
        described = [self.blob(config, OCI_CONFIG), self.blob(blob, kind)]
        if listed:
            self.publish(self.manifest(described[0], [described[1]]), ref)
        paths = [f"blobs/sha256/{each['digest'][7:]}" for each in described]
        self.items.append({"Config": paths[0], "RepoTags": tags, "Layers": paths[1:], **item})
        return sha256(config)

    def tar(self) -> io.BytesIO:
        manifest = json.dumps(self.items).encode()
        return io.BytesIO(tar_of({**self.all_files(), "manifest.json": manifest}))


def load(hybrid: Hybrid) -> dict[str, list[str]]:
    """Image ID -> names, in the order of the arrivals."""
    found: dict[str, list[str]] = {}
    for arrival in find_images(hybrid.tar(), FakeIntake(), compression=DEFAULT).arrivals:
        found.setdefault(arrival.image.id, []).extend(name.familiar for name in arrival.names)
    return found


both = pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])


@both
def test_an_image_that_only_manifest_json_lists_comes_in(*, packed: bool) -> None:
    hybrid = Hybrid(packed=packed)
    one = hybrid.add("a", ["shop/a:1"], "shop/a:1")
    two = hybrid.add("b", ["shop/b:1", "shop/b:2"], None, listed=False)

    assert load(hybrid) == {one: ["shop/a:1"], two: ["shop/b:1", "shop/b:2"]}


@both
def test_an_image_that_only_index_json_lists_comes_in(*, packed: bool) -> None:
    hybrid = Hybrid(packed=packed)
    one = hybrid.add("a", ["shop/a:1"], "shop/a:1")
    two = hybrid.add("b", None, "shop/b:1")
    del hybrid.items[1]

    assert load(hybrid) == {one: ["shop/a:1"], two: ["shop/b:1"]}


@both
def test_lists_with_no_image_in_common_are_both_read(*, packed: bool) -> None:
    hybrid = Hybrid(packed=packed)
    one = hybrid.add("a", None, "shop/a:1")
    del hybrid.items[0]
    two = hybrid.add("b", ["shop/b:1"], None, listed=False)
    three = hybrid.add("c", None, None, listed=False)

    assert load(hybrid) == {one: ["shop/a:1"], two: ["shop/b:1"], three: []}


@both
def test_names_of_both_lists_are_given(*, packed: bool) -> None:
    hybrid = Hybrid(packed=packed)
    one = hybrid.add("a", ["shop/a:1", "shop/a:2"], "shop/a:3")

    assert sorted(load(hybrid)[one]) == ["shop/a:1", "shop/a:2", "shop/a:3"]


def test_an_image_that_only_manifest_json_lists_may_have_its_parent_in_the_other_list() -> None:
    hybrid = Hybrid(packed=True)
    step = {"created_by": "a"}
    base = hybrid.add("a", None, "base:1", config={"history": [step]})
    config = {"history": [step, {"created_by": "b", "empty_layer": True}]}
    child = hybrid.add("a", ["app:1"], None, listed=False, config=config, Parent=base)

    found = find_images(hybrid.tar(), FakeIntake(), compression=DEFAULT).arrivals

    assert {str(one.image.id): one.parent for one in found} == {base: None, child: base}


def test_what_only_manifest_json_lists_is_held_to_its_diff_id() -> None:
    hybrid = Hybrid(packed=True)
    hybrid.add("a", None, "shop/a:1")
    hybrid.add("b", ["shop/b:1"], None, listed=False)
    hybrid.items[1]["Layers"] = hybrid.items[0]["Layers"]

    with pytest.raises(Refused, match="invalid diffID"):
        load(hybrid)


def test_an_empty_manifest_json_takes_nothing_away() -> None:
    hybrid = Hybrid(packed=True)
    one = hybrid.add("a", None, "shop/a:1")
    hybrid.items.clear()

    assert load(hybrid) == {one: ["shop/a:1"]}


@both
def test_images_of_another_system_are_taken_out_of_a_hybrid(*, packed: bool) -> None:
    hybrid = Hybrid(packed=packed)
    one = hybrid.add("a", ["win:1"], "win:1", config={"os": "windows"})
    two = hybrid.add("b", ["win:2"], None, listed=False, config={"os": "windows"})

    assert load(hybrid) == {one: ["win:1"], two: ["win:2"]}
