"""A record in the shape of a type of Docker's: its fields in order, with their zero values."""

from __future__ import annotations

import pytest

from casstore.model.dockertypes import (
    BOOL,
    CONTAINER_CONFIG,
    DURATION,
    HEALTHCHECK,
    IMAGE,
    INT,
    LIST,
    MAP,
    NO_TIME,
    POINTER,
    STRING,
    STRUCT,
    TIME,
    Field,
    shaped,
)

INNER = (Field("B", STRING), Field("A", INT))


def test_fields_stand_in_the_order_of_the_type_and_what_it_does_not_know_behind() -> None:
    shape = shaped((Field("b", STRING), Field("a", STRING)), {"x": 1, "a": "1", "b": "2"})

    assert list(shape.items()) == [("b", "2"), ("a", "1"), ("x", 1)]


@pytest.mark.parametrize(
    ("kind", "zero"),
    [
        (STRING, ""),
        (INT, 0),
        (BOOL, False),
        (DURATION, 0),
        (TIME, NO_TIME),
        (LIST, None),
        (MAP, None),
    ],
)
def test_a_field_that_is_absent_or_null_has_its_zero_value(kind: str, zero: object) -> None:
    assert shaped((Field("x", kind),), {}) == {"x": zero}
    assert shaped((Field("x", kind),), {"x": None}) == {"x": zero}


@pytest.mark.parametrize("empty", [None, "", 0, [], {}])
def test_a_field_that_may_be_left_out_is_where_it_is_empty(empty: object) -> None:
    fields = (Field("x", STRING, omitted=True), Field("y", STRING))

    assert shaped(fields, {"x": empty}) == {"y": ""}


def test_an_empty_field_that_may_not_be_left_out_stays() -> None:
    assert shaped((Field("x", LIST),), {"x": []}) == {"x": []}


def test_a_field_that_may_be_left_out_stays_where_it_says_something() -> None:
    assert shaped((Field("x", STRING, omitted=True),), {"x": "1"}) == {"x": "1"}


@pytest.mark.parametrize("given", [{}, {"s": None}, {"s": "no record"}])
def test_a_record_in_a_record_has_all_its_fields_whatever_is_given(given: object) -> None:
    assert shaped((Field("s", STRUCT, fields=INNER),), given) == {"s": {"B": "", "A": 0}}


def test_a_record_that_is_pointed_to_is_in_shape_where_there_is_one() -> None:
    fields = (Field("p", POINTER, fields=INNER), Field("q", POINTER))

    assert shaped(fields, {"p": {"A": 1}, "q": {"A": 1}}) == {
        "p": {"B": "", "A": 1}, "q": {"A": 1},
    }  # fmt: skip
    assert shaped(fields, {"p": None}) == {"p": None, "q": None}


def test_only_a_map_is_sorted_by_key() -> None:
    fields = (Field("m", MAP), Field("p", POINTER), Field("l", LIST))
    shape = shaped(fields, {"m": {"b": 1, "a": 2}, "p": {"b": 1, "a": 2}, "l": ["b", "a"]})

    assert list(shape["m"].items()) == [("a", 2), ("b", 1)]
    assert list(shape["p"].items()) == [("b", 1), ("a", 2)]
    assert shape["l"] == ["b", "a"]


def test_what_is_no_map_where_one_should_be_stays_as_it_is() -> None:
    assert shaped((Field("m", MAP),), {"m": ["b", "a"]}) == {"m": ["b", "a"]}


def test_a_key_counts_in_any_case_the_last_one_and_none_is_left_over() -> None:
    assert shaped((Field("Name", STRING),), {"NAME": "1", "name": "2"}) == {"Name": "2"}


def test_the_exact_key_counts_before_any_other() -> None:
    assert shaped((Field("Name", STRING),), {"Name": "1", "name": "2"})["Name"] == "1"


@pytest.mark.parametrize("given", [None, "text", ["list"]])
def test_what_is_no_record_has_zero_values_alone(given: object) -> None:
    assert shaped(INNER, given) == {"B": "", "A": 0}


def test_of_an_image_that_says_nothing_docker_prints_these_fields() -> None:
    assert list(shaped(IMAGE, {})) == [
        "Id", "RepoTags", "RepoDigests", "Parent", "Comment", "Created", "Container",
        "ContainerConfig", "DockerVersion", "Author", "Config", "Architecture", "Os", "Size",
        "VirtualSize", "GraphDriver", "RootFS", "Metadata",
    ]  # fmt: skip
    assert shaped(IMAGE, {})["RootFS"] == {"Type": ""}


def test_of_a_container_that_says_nothing_docker_prints_these_fields() -> None:
    assert list(shaped(CONTAINER_CONFIG, {})) == [
        "Hostname", "Domainname", "User", "AttachStdin", "AttachStdout", "AttachStderr", "Tty",
        "OpenStdin", "StdinOnce", "Env", "Cmd", "Image", "Volumes", "WorkingDir", "Entrypoint",
        "OnBuild", "Labels",
    ]  # fmt: skip


def test_of_a_health_check_that_says_nothing_docker_prints_nothing() -> None:
    assert shaped(HEALTHCHECK, {}) == {}
