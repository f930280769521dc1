from __future__ import annotations

import json
from typing import Any

import pytest

from casstore.errors import Refused
from casstore.model import imageconfig
from casstore.model.digest import sha256
from casstore.model.imageconfig import (
    MAX_DIFF_IDS,
    HistoryEntry,
    HistoryPrint,
    ImageConfig,
    chain_ids,
    check_os,
    check_rootfs,
    is_child_history,
    parse_config,
)

ONE, TWO = sha256(b"1"), sha256(b"2")
STEP = HistoryEntry(1, "a", "", "", empty_layer=False)
OTHER_STEP = HistoryEntry(1, "b", "", "", empty_layer=True)


def parse(**fields: Any) -> ImageConfig:
    value = {"rootfs": {"type": "layers", "diff_ids": [ONE, TWO]}, **fields}
    return parse_config(json.dumps(value).encode())


def test_the_image_id_is_the_digest_of_the_bytes() -> None:
    data = b' {"rootfs":{"type":"layers"}} '

    assert parse_config(data).id == sha256(data)


def test_a_config_tells_its_platform_time_and_labels() -> None:
    config = parse(
        os="linux",
        architecture="arm64",
        variant="v8",
        author="me",
        created="1970-01-01T00:00:01Z",
        config={"Labels": {"b": "2", "a": "1"}, "Cmd": ["sh"]},
    )

    assert (config.os, config.architecture, config.variant) == ("linux", "arm64", "v8")
    assert config.created == 1_000_000_000
    assert config.labels == (("a", "1"), ("b", "2"))
    assert config.config["Cmd"] == ["sh"]
    assert config.author == "me"


@pytest.mark.parametrize("created", [None, "", "0001-01-01T00:00:00Z"])
def test_no_time_and_the_year_1_are_none(created: str | None) -> None:
    assert parse(created=created).created is None


def test_each_step_with_a_layer_has_its_diff_id() -> None:
    config = parse(
        history=[{"created_by": "a"}, {"created_by": "b", "empty_layer": True}, {"comment": "c"}]
    )

    assert config.history_layers == (ONE, None, TWO)
    assert config.history[1] == HistoryEntry(None, "b", "", "", empty_layer=True)


def test_chain_ids_are_those_of_the_image_spec() -> None:
    chain = chain_ids([ONE, TWO, ONE])

    assert chain[0] == ONE
    assert chain[1] == sha256(f"{ONE} {TWO}".encode())
    assert chain[2] == sha256(f"{chain[1]} {ONE}".encode())
    assert parse().chain_ids == chain[:2]


def test_more_steps_with_layers_than_layers_are_refused_in_dockers_words() -> None:
    with pytest.raises(Refused, match=r"^too many non-empty layers in History section$"):
        parse(history=[{}, {}, {}])


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([], "is not a JSON object"),
        ({"rootfs": {"type": "tree"}}, '"type"'),
        ({"rootfs": {"type": "layers", "diff_ids": ["x"]}}, "invalid digest"),
        ({"rootfs": {"type": "layers", "diff_ids": [ONE] * (MAX_DIFF_IDS + 1)}}, "limit of 512"),
        ({"rootfs": {"type": "layers"}, "history": [1]}, "step 1 of the history"),
        ({"rootfs": {"type": "layers"}, "history": [{"empty_layer": 1}]}, "empty_layer"),
        ({"rootfs": {"type": "layers"}, "created": "today"}, '"created"'),
        ({"rootfs": {"type": "layers"}, "config": {"Labels": {"a": 1}}}, '"Labels"'),
        ({"rootfs": {"type": "layers"}, "os": 1}, '"os"'),
    ],
)
def test_a_config_of_the_wrong_form_is_refused(value: object, says: str) -> None:
    with pytest.raises(Refused, match=says):
        parse_config(json.dumps(value).encode())


def test_a_config_without_rootfs_is_refused_in_dockers_words_where_there_are_layers() -> None:
    for data in (b"{}", b'{"rootfs":null}'):
        with pytest.raises(Refused, match=r"^invalid image JSON, no RootFS key in config sha256:"):
            check_rootfs(parse_config(data))


@pytest.mark.parametrize(
    "rootfs",
    [{"diff_ids": [ONE]}, {"type": None, "diff_ids": [ONE]}, {"type": "", "DIFF_IDS": [ONE]}],
)
def test_layers_are_the_type_of_a_rootfs_that_says_none(rootfs: object) -> None:
    assert parse_config(json.dumps({"rootfS": rootfs}).encode()).diff_ids == (ONE,)


def test_a_config_is_read_as_go_reads_it() -> None:
    data = (
        b'{"Architecture":"arm64","OS":"linux","Config":{"labels":{"a":null,"b":"caf\xe9"},'
        b'"env":["A=1",null],"VOLUMES":{"/data":null}},"History":[null,{"Created_By":"x"}],'
        b'"rootfs":{"diff_ids":["%s","%s"]}}' % (ONE.encode(), TWO.encode())
    )

    config = parse_config(data)

    assert config.id == sha256(data)
    assert (config.os, config.architecture) == ("linux", "arm64")
    assert config.labels == (("a", ""), ("b", "caf\ufffd"))
    assert config.config["Env"] == ["A=1", ""] and config.config["Volumes"] == {"/data": {}}
    assert [step.created_by for step in config.history] == ["", "x"]
    assert config.document["rootfs"]["diff_ids"] == [ONE, TWO]


def test_an_image_of_another_system_is_refused_in_dockers_words() -> None:
    check_os("linux")
    check_os("")
    with pytest.raises(Refused, match=r"^cannot load windows image on linux$"):
        check_os("windows")


def test_a_child_has_one_step_more_than_its_parent() -> None:
    assert is_child_history([STEP], [STEP, OTHER_STEP])
    assert is_child_history([], [STEP])
    assert is_child_history([], [])


def test_any_other_history_is_no_childs() -> None:
    assert not is_child_history([STEP], [STEP])
    assert not is_child_history([STEP], [OTHER_STEP, STEP])
    assert not is_child_history([STEP], [STEP, STEP, STEP])
    assert not is_child_history([STEP], [])
    assert not is_child_history([], [STEP, STEP])


@pytest.mark.parametrize("parent", [[], [STEP], [OTHER_STEP], [STEP, OTHER_STEP]])
@pytest.mark.parametrize(
    "child", [[], [STEP], [STEP, OTHER_STEP], [STEP, STEP, STEP], [OTHER_STEP, STEP, STEP]]
)
def test_the_print_of_a_history_tells_the_same(
    parent: list[HistoryEntry], child: list[HistoryEntry]
) -> None:
    follows = HistoryPrint.of(child).may_follow(HistoryPrint.of(parent))

    assert follows == is_child_history(parent, child)


def test_a_history_may_have_so_many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    data = json.dumps({"history": [{"empty_layer": True}] * 3}).encode()

    monkeypatch.setattr(imageconfig, "MAX_HISTORY", 3)
    assert len(parse_config(data).history) == 3
    monkeypatch.setattr(imageconfig, "MAX_HISTORY", 2)
    with pytest.raises(Refused, match=r"history that exceeds the limit of 2 steps$"):
        parse_config(data)


def test_an_image_may_have_so_many_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    data = json.dumps({"rootfs": {"type": "layers", "diff_ids": [sha256(b"")] * 3}}).encode()

    monkeypatch.setattr(imageconfig, "MAX_DIFF_IDS", 3)
    assert len(parse_config(data).diff_ids) == 3
    monkeypatch.setattr(imageconfig, "MAX_DIFF_IDS", 2)
    with pytest.raises(Refused, match=r"has 3 layers, which exceeds the limit of 2$"):
        parse_config(data)
