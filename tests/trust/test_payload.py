"""The payload: byte for byte as cosign writes it, and strictly read."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casstore.errors import Refused
from casstore.model.digest import Digest
from casstore.trust.payload import parse_payload, write_payload

DIGEST = Digest.of_hex("20be" * 16)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def test_a_payload_without_annotations_is_cosigns() -> None:
    assert write_payload("testing/manifest", DIGEST, {}) == (
        b'{"critical":{"identity":{"docker-reference":"testing/manifest"},'
        b'"image":{"docker-manifest-digest":"sha256:' + b"20be" * 16 + b'"},'
        b'"type":"cosign container image signature"},"optional":null}'
    )


def test_annotations_are_sorted_and_escaped_as_go_does() -> None:
    payload = write_payload("a", DIGEST, {"z": "1", "a<b>&": "\u00fc \u2028", "B": '"\\'})

    assert payload.endswith(
        b'"optional":{"B":"\\"\\\\","a\\u003cb\\u003e\\u0026":"\xc3\xbc \\u2028","z":"1"}}'
    )


@given(TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=4))
def test_what_was_written_is_read(reference: str, annotations: dict[str, str]) -> None:
    claim = parse_payload(write_payload(reference, DIGEST, annotations))

    assert (claim.reference, claim.digest, claim.optional) == (reference, DIGEST, annotations)


def changed(*path: str, to: Any = None) -> bytes:
    value = json.loads(write_payload("a", DIGEST, {}))
    place = value
    for key in path[:-1]:
        place = place[key]
    if to is None:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b"", "is not valid JSON"),
        (b"[]", "is not a JSON object"),
        (b'{"critical":1,"critical":2}', "twice"),
        (changed("critical"), '"critical" of payload is missing'),
        (changed("critical", "type"), '"type" of "critical" of payload is missing'),
        (changed("critical", "type", to="other"), "is not 'cosign container image signature'"),
        (changed("critical", "type", to="atomic container signature"), "GPG signature"),
        (changed("critical", "identity"), '"identity" of "critical" of payload is missing'),
        (changed("critical", "identity", "docker-reference"), "is missing"),
        (changed("critical", "identity", "docker-reference", to=7), "is not a string"),
        (changed("critical", "identity", "more", to="x"), '"more" of "identity"'),
        (changed("critical", "image"), '"image" of "critical" of payload is missing'),
        (changed("critical", "image", "docker-manifest-digest"), "is missing"),
        (changed("critical", "image", "docker-manifest-digest", to="sha256:0"), "invalid digest"),
        (changed("critical", "image", "Docker-manifest-digest", to="x"), "is not known"),
        (changed("critical", "more", to="x"), '"more" of "critical" of payload is not known'),
        (changed("more", to="x"), '"more" of payload is not known'),
        (changed("optional", to=["x"]), "is not an object"),
    ],
)
def test_what_is_no_payload_is_refused(payload: bytes, says: str) -> None:
    with pytest.raises(Refused, match=r"^its .*" + re.escape(says)):
        parse_payload(payload)
