from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casstore.errors import Refused
from casstore.transfer.changes import apply_changes

RECORDED = json.loads(
    (Path(__file__).parents[2] / "fixtures/changes/dockerd-20.10.json").read_text("utf-8")
)
WORDS = ("CMD", "ENTRYPOINT", "ENV", "EXPOSE", "LABEL", "ONBUILD", "USER", "VOLUME", "WORKDIR")


def changed(*changes: str, parent: dict[str, Any] | None = None) -> dict[str, Any]:
    config = dict(parent or {})
    apply_changes(config, changes)
    return {key: value for key, value in config.items() if value}


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: " / ".join(case["changes"])[:60])
def test_a_change_does_what_dockerd_does(case: dict[str, Any]) -> None:
    if "error" in case:
        with pytest.raises(Refused):
            changed(*case["changes"])
    else:
        assert changed(*case["changes"]) == case["config"]


def test_an_unknown_word_is_refused_in_dockerd_s_words() -> None:
    with pytest.raises(Refused, match=r"^run is not a valid change command$"):
        changed("RUN x")


def test_no_change_changes_nothing() -> None:
    assert changed(parent={"Cmd": ["a"]}) == {"Cmd": ["a"]}


def test_an_entrypoint_drops_the_parent_s_command_but_not_one_given_beside_it() -> None:
    parent = {"Cmd": ["old"]}

    assert changed('ENTRYPOINT ["e"]', parent=parent) == {"Entrypoint": ["e"]}
    assert changed('CMD ["c"]', 'ENTRYPOINT ["e"]', parent=parent) == {
        "Cmd": ["c"],
        "Entrypoint": ["e"],
    }


def test_the_shell_form_takes_the_parent_s_shell() -> None:
    parent = {"Shell": ["/bin/bash", "-c"]}

    assert changed("CMD x", parent=parent)["Cmd"] == ["/bin/bash", "-c", "x"]


def test_what_the_parent_set_stays_beside_what_is_added() -> None:
    parent = {
        "Env": ["A=1"],
        "Labels": {"a": "1"},
        "ExposedPorts": {"1/tcp": {}},
        "Volumes": {"/a": {}},
        "OnBuild": ["RUN a"],
        "WorkingDir": "/a",
    }

    assert changed(
        "ENV B=$A", "LABEL b=$B", "EXPOSE 2", "VOLUME /b", "ONBUILD RUN b", "WORKDIR b",
        parent=parent,
    ) == {
        "Env": ["A=1", "B=1"],
        "Labels": {"a": "1", "b": "1"},
        "ExposedPorts": {"1/tcp": {}, "2/tcp": {}},
        "Volumes": {"/a": {}, "/b": {}},
        "OnBuild": ["RUN a", "RUN b"],
        "WorkingDir": "/a/b",
    }  # fmt: skip


def test_the_parent_s_own_lists_are_not_changed() -> None:
    env = ["A=1"]

    changed("ENV B=2", parent={"Env": env})

    assert env == ["A=1"]


@pytest.mark.parametrize(
    ("key", "value", "change"),
    [("Env", 5, "ENV A=1"), ("Env", [5], "USER a"), ("Labels", [], "LABEL a=1"),
     ("Labels", "x", "LABEL a=1"), ("Volumes", 1, "VOLUME /a"), ("OnBuild", "x", "ONBUILD RUN x"),
     ("ExposedPorts", [1], "EXPOSE 1"), ("Shell", "sh", "CMD x")],
)  # fmt: skip
def test_a_parent_s_config_of_the_wrong_form_is_no_traceback(
    key: str, value: object, change: str
) -> None:
    if not value:
        assert changed(change, parent={key: value})
    else:
        with pytest.raises(Refused, match=key):
            changed(change, parent={key: value})


@given(st.sampled_from(WORDS), st.text(alphabet="aA1 \t\n\\\"'$${}[],:-+=/#é\0", max_size=20))
def test_any_arguments_are_applied_or_refused(word: str, rest: str) -> None:
    message = ""
    try:
        json.dumps(changed(f"{word} {rest}"))
    except Refused as refusal:
        message = str(refusal)

    assert message.isprintable()


def test_a_list_nested_without_end_is_no_traceback() -> None:
    assert changed("CMD " + "[" * 100_000)["Cmd"][:2] == ["/bin/sh", "-c"]


def test_ports_named_over_and_over_have_a_limit() -> None:
    assert len(changed("EXPOSE 1-65535 1-65535/udp 1-65535/sctp")["ExposedPorts"]) == 3 * 65535
    with pytest.raises(Refused, match=r"^EXPOSE exceeds the limit of 200000 ports$"):
        changed("EXPOSE " + "1-65535 " * 5)
