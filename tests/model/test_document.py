from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casstore.errors import Refused
from casstore.model import document
from casstore.model.document import MAX_DEPTH, MAX_DIGITS, Fields, parse, read
from casstore.model.shape import anything


def test_a_document_is_the_value_in_it() -> None:
    assert parse(b' {"a": [1, null, "\xc3\xa9"]} ', "x") == {"a": [1, None, "é"]}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"{} {}", "not valid JSON"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        (b"\xff", "not UTF-8"),
        ('{"a":1}'.encode("utf-16"), "not UTF-8"),
        (b"[NaN]", "NaN"),
        (b"[-Infinity]", "Infinity"),
        (b"[1e999]", "too large"),
        (b'{"a":1,"a":2}', 'the key "a" twice'),
        (b'[{"b":{"c":1,"c":1}}]', 'the key "c" twice'),
        (b"[" + b"9" * 5000 + b"]", "digits"),
        (b'["\\ud800"]', "surrogate"),
        (b'{"\\udfff":1}', "surrogate"),
        (b"[" * 100_000, "deep"),
        (b"[" * 100_000 + b"]" * 100_000, "deep"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "deep"),
        (b"[" + b"[]," * 1_000_000 + b"1]", "values"),
        (b'"\x01"', "not valid JSON"),
    ],
)
def test_what_is_no_strict_json_is_refused_by_name(data: bytes, says: str) -> None:
    with pytest.raises(Refused, match=says) as caught:
        parse(data, "config x")

    assert str(caught.value).startswith("config x ")


def test_a_document_may_be_as_deep_as_the_limit() -> None:
    value = parse(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, "x")

    assert isinstance(value, list)
    with pytest.raises(Refused, match="deep"):
        parse(b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2), "x")


@pytest.mark.parametrize(("left", "right"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")])
def test_lists_and_objects_are_depth_alike(left: bytes, right: bytes) -> None:
    levels = left.count(b"[") + left.count(b"{")
    times = MAX_DEPTH // levels
    beside = b",[[]]"  # so many brackets that the depth has to be looked at

    read = parse(b"[" + left * (times - 1) + b"0" + right * (times - 1) + beside + b"]", "x")
    assert isinstance(read, list)
    with pytest.raises(Refused, match="deep"):
        parse(left * (times + 1) + b"0" + right * (times + 1), "x")


def test_a_list_in_a_list_of_the_greatest_depth_is_too_deep() -> None:
    beside = b"[]," * MAX_DEPTH

    parse(b"[" * MAX_DEPTH + b"]" * (MAX_DEPTH - 1) + b"," + beside[:-1] + b"]", "x")
    with pytest.raises(Refused, match="deep"):
        parse(b"[" * (MAX_DEPTH + 1) + b"0" + b"]" * MAX_DEPTH + b"," + beside[:-1] + b"]", "x")


def test_brackets_in_a_string_are_not_depth() -> None:
    assert parse(b'["' + b"[" * 500 + b'"]', "x") == ["[" * 500]


def test_a_document_over_its_limit_is_refused() -> None:
    assert parse(b"[   ]", "x", limit=5) == []
    with pytest.raises(Refused, match="x exceeds the limit of 4 bytes"):
        parse(b"[   ]", "x", limit=4)


def test_values_are_counted_by_what_can_hold_or_follow_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = b'[{"a": 1}, 2]'  # a list, an object and a comma

    monkeypatch.setattr(document, "MAX_VALUES", 3)
    assert parse(data, "x") == [{"a": 1}, 2]
    monkeypatch.setattr(document, "MAX_VALUES", 2)
    with pytest.raises(Refused, match="x exceeds the limit of 2 values"):
        parse(data, "x")


def test_a_number_may_have_so_many_digits() -> None:
    assert parse(b"9" * MAX_DIGITS, "x") == 10**MAX_DIGITS - 1
    with pytest.raises(Refused, match="more than"):
        parse(b"9" * (MAX_DIGITS + 1), "x")


def test_the_key_that_stands_twice_is_named() -> None:
    with pytest.raises(Refused, match='the key "b" twice'):
        parse(b'{"a":1,"b":2,"b":3}', "x")


def test_a_surrogate_pair_is_one_character() -> None:
    assert parse(b'"\\ud83d\\ude00"', "x") == "\N{GRINNING FACE}"


def test_fields_give_what_they_are_asked_for() -> None:
    fields = Fields({"t": "x", "n": 3, "b": True, "l": ["a"], "m": {"k": "v"}, "z": None}, "doc")

    assert fields.text("t") == "x" and fields.text("z") == ""
    assert fields.size("n") == 3
    assert fields.flag("b") and not fields.flag("z")
    assert fields.texts("l") == ["a"] and fields.texts("z") == []
    assert fields.text_mapping("m") == {"k": "v"} and fields.mapping("absent") == {}
    assert fields.fields("m").text("k") == "v"
    assert "t" in fields and "z" not in fields


@pytest.mark.parametrize("size", [0, 1, (1 << 63) - 1])
def test_a_size_may_be_nothing_or_all_that_fits(size: int) -> None:
    assert Fields({"n": size}, "doc").size("n") == size


@pytest.mark.parametrize("size", [True, -1, 1.0, "1", None, 1 << 63])
def test_a_size_is_a_count_that_fits_in_64_bits(size: object) -> None:
    with pytest.raises(Refused, match='"n" of doc is not a size'):
        Fields({"n": size}, "doc").size("n")


def test_fields_of_the_wrong_type_are_refused_by_name() -> None:
    fields = Fields({"x": 1, "y": [1], "z": {"a": 1}}, "doc")

    for ask in (fields.text, fields.items, fields.flag, fields.mapping, fields.fields):
        with pytest.raises(Refused, match='"x" of doc'):
            ask("x")
    with pytest.raises(Refused, match='"y" of doc'):
        fields.texts("y")
    with pytest.raises(Refused, match='"z" of doc'):
        fields.text_mapping("z")
    with pytest.raises(Refused, match="doc is not a JSON object"):
        Fields([], "doc")


@pytest.mark.parametrize("data", [b' {"a": 1} \n', b"1", b'"x"', b"[1.5e3, -0, true]", b"\t[ ]"])
def test_without_the_scanner_in_c_the_value_is_the_same(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = parse(data, "x")
    monkeypatch.setitem(sys.modules, "_json", None)

    assert parse(data, "x") == expected == json.loads(data)


def test_a_scanner_that_asks_more_of_its_decoder_is_done_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def make_scanner(decoder: object) -> object:
        raise AttributeError("no_such_hook")

    monkeypatch.setattr("_json.make_scanner", make_scanner)

    assert parse(b'{"a": 1}', "x") == {"a": 1}


def outcome(read: Callable[[bytes], object], data: bytes) -> object:
    """The value, or why there is none."""
    try:
        return read(data)
    except json.JSONDecodeError as error:
        return f"x is not valid JSON: {error.msg} at character {error.pos}"
    except Refused as error:
        return str(error)


TOKENS = ["[", "]", "{", "}", '"', '"a"', ":", ",", " ", "0", "1.5", "-", "true", "nul", "\\", "e"]


@given(st.lists(st.sampled_from(TOKENS), max_size=8).map("".join))
def test_what_is_refused_is_refused_with_the_reason_that_json_gives(text: str) -> None:
    data = text.encode()

    assert outcome(lambda d: parse(d, "x"), data) == outcome(json.loads, data)


def test_half_a_pair_of_surrogates_is_refused_in_either_spelling() -> None:
    for escape in (b'"\\ud83d"', b'"\\uD83D"', b'"\\ude00"', b'"\\uDE00x"'):
        with pytest.raises(Refused, match="surrogate"):
            parse(escape, "x")

    assert parse(b'"\\ud83d\\uDe00 \\u00e9 \\u003c"', "x") == "\U0001f600 é <"


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'"caf\xe9"', "caf\ufffd"),
        (b'"\xe2\x82x"', "\ufffd\ufffdx"),  # one for each byte, as Go has it
        (b'"\xed\xa0\x80"', "\ufffd\ufffd\ufffd"),  # half a pair as UTF-8 has no form for it
        (b'"\\ud83d"', "\ufffd"),
        (b'["\\uDE00x", "\\ud83d\\ude00"]', ["\ufffdx", "\U0001f600"]),
        (b'{"\xe9": {"\\udc80": 1}}', {"\ufffd": {"\ufffd": 1}}),
    ],
)
def test_what_is_no_text_is_replaced_where_the_world_is_read(data: bytes, value: object) -> None:
    assert read(data, "x", anything) == value


@pytest.mark.parametrize("data", [b'{"\xe8":1,"\xe9":1}', b'{"\\ud800":1,"\\ud801":1}'])
def test_keys_that_are_the_same_once_replaced_are_one_key_twice(data: bytes) -> None:
    with pytest.raises(Refused, match="twice in one object"):
        read(data, "x", anything)


@pytest.mark.parametrize(
    "data",
    [b"", b"{} {}", b"\xef\xbb\xbf{}", '{"a":1}'.encode("utf-16"), b"[NaN]", b'{"a":1,"a":2}'],
)
def test_what_is_no_json_is_refused_where_the_world_is_read_too(data: bytes) -> None:
    with pytest.raises(Refused, match=r"^config x "):
        read(data, "config x", anything)


# Each piece of a document, read by an interpreter that has not imported json, as commands do not.
_CUTS = """
import sys
from casstore.errors import Refused
from casstore.model.document import parse

whole = b'{"schemaVersion":2,"manifests":[{"size":1.5e3,"a":[true,null,"\\\\n"]}],"b":{}}'
wrong = [b'{"a" 1}', b'{"a":1 "b":2}', b'{1:2}', b'[1 2]', b'["\\\\q"]', b'["\\\\u12"]', b'[1,]']
for data in [whole[:end] for end in range(len(whole))] + wrong:
    for name in [name for name in sys.modules if name.partition(".")[0] == "json"]:
        del sys.modules[name]
    try:
        parse(data, "x")
    except Refused as error:
        assert str(error).startswith("x is not valid JSON"), error
    else:
        raise SystemExit(f"{data!r} was taken")
parse(whole, "x")
"""


def test_a_document_that_is_cut_anywhere_is_refused_where_json_is_not_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CUTS], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
