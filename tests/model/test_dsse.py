"""DSSE: what a signature is made over, and what an envelope holds."""

from __future__ import annotations

import json

import pytest

from casstore.errors import Refused
from casstore.model.dsse import Envelope, MessageSignature, parse_bundle, parse_envelope

IN_TOTO = "application/vnd.in-toto+json"


def test_what_is_signed_is_the_example_of_the_specification() -> None:
    envelope = Envelope(b"hello world", "http://example.com/HelloWorld", ())

    assert envelope.signed_bytes == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_the_length_of_the_type_is_that_of_its_bytes() -> None:
    assert Envelope(b"", "é", ()).signed_bytes == "DSSEv1 2 é 0 ".encode()


@pytest.mark.parametrize("text", ["-_8=", "+/8="])
def test_base64_of_either_alphabet_is_read(text: str) -> None:
    value = {"payloadType": IN_TOTO, "payload": text, "signatures": [{"sig": text}]}

    parsed = parse_envelope(json.dumps(value).encode(), "it")

    assert parsed == Envelope(b"\xfb\xff", IN_TOTO, (b"\xfb\xff",))


@pytest.mark.parametrize("text", ["-_8", "-_8=\n", "é", "=-_8"])
def test_what_is_not_base64_is_refused(text: str) -> None:
    value = {"payloadType": IN_TOTO, "payload": text}

    with pytest.raises(Refused, match='"payload" of it is not base64'):
        parse_envelope(json.dumps(value).encode(), "it")


def test_a_bundle_with_both_an_envelope_and_a_signature_is_refused() -> None:
    with pytest.raises(Refused, match="does not have either"):
        parse_bundle(b'{"dsseEnvelope": {}, "messageSignature": {}}', "it")


def test_a_signature_of_a_bundle_has_the_digest_of_what_is_signed() -> None:
    digest = {"algorithm": "SHA2_256", "digest": "q" * 42 + "o="}
    value = {"messageSignature": {"messageDigest": digest, "signature": "AAA="}}

    parsed = parse_bundle(json.dumps(value).encode(), "it")

    assert isinstance(parsed, MessageSignature)
    assert (parsed.digest.raw[:3], parsed.signature) == (b"\xaa\xaa\xaa", b"\0\0")
