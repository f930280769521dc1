from __future__ import annotations

import pytest

from casstore.errors import Refused
from casstore.transfer.dockerwords import MAX_NESTING, expand, expand_words, split

SET = {"A": "1", "two": "a  b", "empty": ""}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("  a  b ", ["a", "b"]),
        ("""a='b c' d="e f" """, ["a='b c'", 'd="e f"']),
        (r"a\ b c", [r"a\ b", "c"]),
        (r'"a\" b" c', [r'"a\" b"', "c"]),
        ('"open a b', ['"open a b']),
        ("end\\", ["end"]),
    ],
)
def test_words_are_split_at_white_space_that_is_not_quoted(text: str, words: list[str]) -> None:
    assert split(text) == words


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$A-${A}x", "1-1x"),
        ("$nobody|", "|"),
        ("${nobody:-x y}${A:-x}", "x y1"),
        ("${A:+set}${empty:+set}", "set"),
        ("${nobody:-${A}}", "1"),
        (r"\$A '$A' \\", r"$A $A " + "\\"),
        ('"$A \\" \\n"', '1 " \\n'),
        ("$", "$"),
        ("a$ b", "a$ b"),
        ("$1x$@y", "xy"),
        ("'a'\"b\"c", "abc"),
    ],
)
def test_quotes_go_and_variables_get_their_values(text: str, result: str) -> None:
    assert expand(text, SET) == result


def test_a_variable_s_white_space_splits_words_unless_it_is_quoted() -> None:
    assert expand_words("$two x'y z'", SET) == ["a", "b", "xy z"]
    assert expand_words('"$two"', SET) == ["a  b"]
    assert expand_words("$empty", SET) == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("'a", "matching single-quote"),
        ('"a', "matching double-quote"),
        ("${", "missing '}'"),
        ("${}", "bad substitution"),
        ("${A", "missing ':'"),
        ("${A:=b}", "unsupported modifier"),
        ("${A:-b", "matching }"),
    ],
)
def test_what_is_left_open_is_refused(text: str, what: str) -> None:
    with pytest.raises(Refused, match=what):
        expand(text, SET)


def test_substitutions_are_nested_as_deep_as_the_limit_and_no_deeper() -> None:
    def nested(depth: int) -> str:
        return "${none:-" * depth + "x" + "}" * depth

    assert expand(nested(MAX_NESTING) * 2, SET) == "xx"
    with pytest.raises(Refused, match="nested deeper than 100"):
        expand(nested(5000), SET)
