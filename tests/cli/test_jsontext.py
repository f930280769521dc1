"""JSON without json: the same bytes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casstore.cli.jsonencoder import encode

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_it_is_what_json_writes_on_one_line(value: object) -> None:
    assert encode(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@given(VALUES, st.integers(0, 4))
def test_it_is_what_json_writes_on_many_lines(value: object, indent: int) -> None:
    assert encode(value, indent) == json.dumps(value, ensure_ascii=False, indent=indent)


@pytest.mark.parametrize("character", [chr(number) for number in range(0x80)])
def test_each_character_is_escaped_as_json_escapes_it(character: str) -> None:
    assert encode(character) == json.dumps(character, ensure_ascii=False)
