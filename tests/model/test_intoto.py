"""in-toto statements: what they name, and predicates cut out as they are written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casstore.errors import Refused
from casstore.model.intoto import parse_statement, predicate_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
BLANKS = st.text(" \t\r\n", max_size=3)


@settings(deadline=None)
@given(st.dictionaries(st.text().filter(lambda key: key != "predicate"), JSON), JSON, BLANKS,
       st.booleans(), st.data())  # fmt: skip
def test_a_predicate_is_cut_out_wherever_it_stands(
    others: dict[str, object], predicate: object, blanks: str, ascii: object, data: st.DataObject
) -> None:
    written = json.dumps(predicate, ensure_ascii=bool(ascii), indent=data.draw(st.integers(0, 2)))
    pairs = [(json.dumps(key), json.dumps(value)) for key, value in others.items()]
    pairs.insert(data.draw(st.integers(0, len(pairs))), ('"predicate"', written))
    body = ",".join(f"{blanks}{key}{blanks}:{blanks}{value}{blanks}" for key, value in pairs)

    assert predicate_of(f"{blanks}{{{body}}}".encode()) == written.encode()


def test_a_statement_without_a_predicate_has_null() -> None:
    assert predicate_of(b'{ "subject": [] }') == b"null"
    assert predicate_of(b"{ }") == b"null"


def test_only_subjects_by_sha256_are_named() -> None:
    digests = [{"sha512": "ab" * 64}, {"sha256": "AB" * 32}, {"sha256": "short"}, {}]
    value = {
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": "x",
        "subject": [{"digest": digest} for digest in digests],
    }

    parsed = parse_statement(json.dumps(value).encode(), "it")

    assert parsed.subjects == ("sha256:" + "ab" * 32,)


def test_a_digest_that_is_no_text_is_refused() -> None:
    value = {
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": "x",
        "subject": [{"digest": {"sha256": 1}}],
    }

    with pytest.raises(Refused, match='"digest" of subject 1 of it is not an object of strings'):
        parse_statement(json.dumps(value).encode(), "it")
