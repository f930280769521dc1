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


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("CMD curl -f http://x || exit 1", {"Test": ["CMD-SHELL", "curl -f http://x || exit 1"]}),
        ('CMD ["curl","-f"]', {"Test": ["CMD", "curl", "-f"]}),
        ('cmd $HOME "a b"', {"Test": ["CMD-SHELL", '$HOME "a b"']}),
        ("NONE", {"Test": ["NONE"]}),
        ("none", {"Test": ["NONE"]}),
        ("--interval=5s NONE", {"Test": ["NONE"]}),
        ("--bogus=5s NONE", {"Test": ["NONE"]}),
        ("-- CMD x", {"Test": ["CMD-SHELL", "x"]}),
        ("--interval= CMD x", {"Test": ["CMD-SHELL", "x"]}),
        ('--interval="5s" CMD x', {"Test": ["CMD-SHELL", "x"], "Interval": 5_000_000_000}),
        ("--interval=1ms CMD x", {"Test": ["CMD-SHELL", "x"], "Interval": 1_000_000}),
        ("--interval=1.5h2us CMD x", {"Test": ["CMD-SHELL", "x"], "Interval": 5_400_000_002_000}),
        ("--retries=+3 CMD x", {"Test": ["CMD-SHELL", "x"], "Retries": 3}),
        ("--retries=03 CMD x", {"Test": ["CMD-SHELL", "x"], "Retries": 3}),
        (
            "--interval=5s --timeout=1m30s --start-period=1h --retries=3 CMD x y",
            {
                "Test": ["CMD-SHELL", "x y"],
                "Interval": 5_000_000_000,
                "Timeout": 90_000_000_000,
                "StartPeriod": 3_600_000_000_000,
                "Retries": 3,
            },
        ),
    ],
)
def test_a_health_check_is_what_dockerd_makes_of_it(text: str, check: dict[str, Any]) -> None:
    assert changed(f"HEALTHCHECK {text}")["Healthcheck"] == check
    assert changed(f"healthcheck {text}", "HEALTHCHECK CMD b")["Healthcheck"]["Test"][1] == "b"


def test_a_health_check_may_have_the_interval_at_the_start_of_newer_dockers() -> None:
    check = changed("HEALTHCHECK --start-interval=2s CMD x")["Healthcheck"]

    assert check == {"Test": ["CMD-SHELL", "x"], "StartInterval": 2_000_000_000}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "HEALTHCHECK requires at least one argument"),
        ("--interval=5s", "HEALTHCHECK requires at least one argument"),
        ("NONE x", "HEALTHCHECK NONE takes no arguments"),
        ("--bogus=5s CMD x", "Unknown flag: bogus"),
        ("--interval=5s --interval=6s CMD x", "Duplicate flag specified: interval"),
        ("--interval 5s CMD x", "Missing a value on flag: interval"),
        ("--interval=1us CMD x", 'Interval "interval" cannot be less than 1ms'),
        ("--interval=0 CMD x", 'Interval "interval" cannot be less than 1ms'),
        ("--timeout=0s CMD x", 'Interval "timeout" cannot be less than 1ms'),
        ("--interval=-5s CMD x", 'Interval "interval" cannot be less than 1ms'),
        ("--interval=5 CMD x", 'time: missing unit in duration "5"'),
        ("--interval=abc CMD x", 'time: invalid duration "abc"'),
        ("--interval=1d CMD x", 'time: invalid duration "1d"'),
        ("--interval=$A CMD x", 'time: invalid duration "$A"'),
        ("--interval=3000000h CMD x", 'time: invalid duration "3000000h"'),
        ("--retries=0 CMD x", "--retries must be at least 1 (not 0)"),
        ("--retries=-1 CMD x", "--retries must be at least 1 (not -1)"),
        ("--retries=a CMD x", 'strconv.ParseInt: parsing "a": invalid syntax'),
        (
            "--retries=99999999999 CMD x",
            'strconv.ParseInt: parsing "99999999999": value out of range',
        ),
        ("CMD", "Missing command after HEALTHCHECK CMD"),
        ("CMD []", "Missing command after HEALTHCHECK CMD"),
        ("foo", 'Unknown type "FOO" in HEALTHCHECK (try CMD)'),
        (
            'CMD ["a", 1]',
            "when using JSON array syntax, arrays must be comprised of strings only",
        ),
    ],
)
def test_a_bad_health_check_is_refused_in_dockerds_words(text: str, says: str) -> None:
    with pytest.raises(Refused) as caught:
        changed(f"HEALTHCHECK {text}")

    assert str(caught.value) == says
