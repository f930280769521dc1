from __future__ import annotations

import json

import pytest

from casstore.errors import Refused
from casstore.model.digest import sha256
from casstore.transfer.goconfig import go_string, history_entry, make_config, raw_members

OLD = b'{"id":"1","created":"2013-12-11T05:33:20.500Z","os":"linux","config":{"cmd":"sh"}}'
EMPTY_CONTAINER = (
    '{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,'
    '"AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":%s,'
    '"Image":"","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":null}'
)


def test_strings_are_escaped_as_go_does() -> None:
    assert go_string('<a&b> "\\" \u2028') == '"\\u003ca\\u0026b\\u003e \\"\\\\\\" \\u2028"'
    assert go_string("\n\r\t\x01\x7fé") == '"\\n\\r\\t\\u0001\x7fé"'
    assert go_string("\\b\b\\f\f") == '"\\\\b\\u0008\\\\f\\u000c"'


def test_an_old_config_goes_through_gos_structures() -> None:
    made = make_config(OLD, "x", [sha256(b"l")], ['{"created":"2013-12-11T05:33:20.5Z"}'])

    assert made.decode() == (
        '{"config":' + EMPTY_CONTAINER % '["sh"]' + ","
        '"container_config":' + EMPTY_CONTAINER % "null" + ","
        '"created":"2013-12-11T05:33:20.5Z",'
        '"history":[{"created":"2013-12-11T05:33:20.5Z"}],"os":"linux",'
        f'"rootfs":{{"type":"layers","diff_ids":["{sha256(b"l")}"]}}}}'
    )


def test_a_newer_config_is_kept_as_it_stands_but_for_a_few_keys() -> None:
    data = b"""{ "docker_version": "1.10.0", "id": "x", "parent": "y", "Size": 1.0,
        "odd" : [ 1.50, "a\\/b<", { } ], "created": "2013-12-11T05:33:20.500Z" }"""

    assert make_config(data, "x", [], []).decode() == (
        '{"created":"2013-12-11T05:33:20.500Z","docker_version":"1.10.0","history":[],'
        '"odd":[1.50,"a\\/b\\u003c",{}],"rootfs":{"type":"layers"}}'
    )


@pytest.mark.parametrize(
    ("version", "is_kept"),
    [("", False), ("1.8.2", False), ("1.8.3", True), ("1.10", True), ("1.8.3-dev", False)],
)
def test_docker_1_8_3_divides_the_two(version: str, *, is_kept: bool) -> None:
    data = json.dumps({"docker_version": version, "unknown": 1}).encode()

    assert (b'"unknown":1' in make_config(data, "x", [], [])) == is_kept


def test_a_step_of_the_history_is_the_command_of_the_container() -> None:
    data = json.dumps(
        {
            "author": "<me>",
            "comment": "c",
            "created": "2015-01-01T00:00:00Z",
            "container_config": {"Cmd": ["/bin/sh", "-c", "#(nop) x"]},
        }
    ).encode()

    assert history_entry(data, "x") == (
        '{"created":"2015-01-01T00:00:00Z","author":"\\u003cme\\u003e",'
        '"created_by":"/bin/sh -c #(nop) x","comment":"c"}'
    )
    assert history_entry(b"{}", "x") == '{"created":"0001-01-01T00:00:00Z"}'


def test_fields_of_a_container_keep_gos_order_and_its_empties() -> None:
    config = {
        "StopSignal": "TERM",
        "Labels": {"b": "2", "a": "1"},
        "Volumes": {"/b": {}, "/a": {}},
        "ExposedPorts": {"80/tcp": {}},
        "Env": [],
        "Entrypoint": "sh",
        "NetworkDisabled": False,
        "StopTimeout": 0,
    }
    made = json.loads(make_config(json.dumps({"config": config}).encode(), "x", [], []))["config"]

    assert list(made)[6:8] == ["ExposedPorts", "Tty"]
    assert list(made["Volumes"]) == ["/a", "/b"]
    assert made["Env"] == [] and made["Entrypoint"] == ["sh"]
    assert "NetworkDisabled" not in made
    assert list(made)[-3:] == ["Labels", "StopSignal", "StopTimeout"]


def test_raw_members_keep_numbers_and_strings_as_they_are() -> None:
    text = '{"a" : 1e2 ,\n"b":"x\\"y \\u0041" , "c":{"d" : [ ] }}'

    assert raw_members(text) == {"a": "1e2", "b": '"x\\"y \\u0041"', "c": '{"d":[]}'}
    assert raw_members(" { } ") == {}


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b'{"created":"x"}',
        b'{"created":1}',
        b'{"config":[]}',
        b'{"config":{"Env":"a"}}',
        b'{"config":{"StopTimeout":"1"}}',
        b'{"config":{"Tty":1}}',
    ],
)
def test_fields_of_the_wrong_type_are_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        make_config(data, "x", [], [])
