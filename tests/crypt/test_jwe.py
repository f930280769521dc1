"""JWE: opens what go-jose wrote, and what we write in every form; refuses what was changed."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from casstore.crypt.jwe import NotForKey, decrypt, encrypt, is_usable
from casstore.errors import Refused
from tests.crypt.recorded import key, layers, opened

RSA = rsa.generate_private_key(65537, 2048)
EC = {curve.name: ec.generate_private_key(curve) for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1())}  # fmt: skip  # noqa: E501
KEYS: dict[str, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey] = {"RSA": RSA, **EC}
P256 = EC["secp256r1"]
ANNOTATION = "org.opencontainers.image.enc.keys.jwe"


def recorded(ref: str, at: int = 0) -> bytes:
    return base64.b64decode(layers(ref)[at]["annotations"][ANNOTATION])


@pytest.mark.parametrize(
    ("ref", "name"),
    [
        ("jwe-rsa", "jwe-rsa"),
        ("jwe-ec", "jwe-ec"),
        ("two-keys", "jwe-rsa"),
        ("two-keys", "jwe-ec"),
        ("zstd-jwe", "jwe-rsa"),
    ],
)
@pytest.mark.parametrize("at", [0, 1])
def test_what_go_wrote_is_opened(ref: str, name: str, at: int) -> None:
    value = json.loads(decrypt(recorded(ref, at), key(name)))
    known = opened(ref)[at]["enc"]

    if "symkey_hex" in known:
        assert base64.b64decode(value["symkey"]).hex() == known["symkey_hex"]
        assert base64.b64decode(value["cipheroptions"]["nonce"]).hex() == known["nonce_hex"]
    assert len(base64.b64decode(value["symkey"])) == 32


@pytest.mark.parametrize("name", ["other", "jwe-ec"])
def test_what_go_wrote_is_not_for_another_key(name: str) -> None:
    with pytest.raises(NotForKey):
        decrypt(recorded("jwe-rsa"), key(name))


@pytest.mark.parametrize("name", KEYS)
def test_one_recipient_is_flattened_json_as_go_writes_it(name: str) -> None:
    value = json.loads(encrypt(b"secret", [KEYS[name].public_key()]))
    header = json.loads(base64.urlsafe_b64decode(value["protected"] + "=="))

    assert list(value) == ["protected", "encrypted_key", "iv", "ciphertext", "tag"]
    assert list(header)[:2] == ["alg", "enc"]
    assert header["alg"] == ("RSA-OAEP" if name == "RSA" else "ECDH-ES+A256KW")
    assert header["enc"] == "A256GCM"


def test_several_recipients_are_general_json_and_each_can_open_it() -> None:
    data = encrypt(b"secret", [one.public_key() for one in KEYS.values()])

    assert len(json.loads(data)["recipients"]) == len(KEYS)
    for one in KEYS.values():
        assert decrypt(data, one) == b"secret"
    with pytest.raises(NotForKey):
        decrypt(data, ec.generate_private_key(ec.SECP256R1()))


@given(st.binary(max_size=500), st.sampled_from(sorted(KEYS)))
def test_what_was_encrypted_is_decrypted(plain: bytes, name: str) -> None:
    assert decrypt(encrypt(plain, [KEYS[name].public_key()]), KEYS[name]) == plain


def test_the_compact_form_is_read() -> None:
    value = json.loads(encrypt(b"secret", [P256.public_key()]))
    parts = (value[name] for name in ("protected", "encrypted_key", "iv", "ciphertext", "tag"))

    assert decrypt(".".join(parts).encode(), P256) == b"secret"


def test_an_ed25519_key_cannot_be_a_recipient() -> None:
    assert not is_usable(ed25519.Ed25519PrivateKey.generate().public_key())
    with pytest.raises(NotForKey):
        decrypt(encrypt(b"x", [P256.public_key()]), ed25519.Ed25519PrivateKey.generate())


@pytest.mark.parametrize("field", ["protected", "encrypted_key", "iv", "ciphertext", "tag"])
@pytest.mark.parametrize("name", ["RSA", "secp256r1"])
def test_each_changed_field_is_noticed(name: str, field: str) -> None:
    value = json.loads(encrypt(b"secret", [KEYS[name].public_key()]))
    for at in range(0, len(value[field]), 9):
        text = value[field]
        other = "A" if text[at] != "A" else "B"
        changed = {**value, field: text[:at] + other + text[at + 1 :]}
        with pytest.raises((NotForKey, Refused)):
            decrypt(json.dumps(changed).encode(), KEYS[name])


def protected(**header: Any) -> bytes:
    value = json.loads(encrypt(b"secret", [P256.public_key()]))
    old = json.loads(base64.urlsafe_b64decode(value["protected"] + "=="))
    new = {name: item for name, item in {**old, **header}.items() if item is not None}
    value["protected"] = base64.urlsafe_b64encode(json.dumps(new).encode()).rstrip(b"=").decode()
    return json.dumps(value).encode()


OFF_CURVE = {"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is not a JWE"),
        (b"a.b", "is not a JWE"),
        (b"{", "is not valid JSON"),
        (b"{}", "wrong length"),
        (b" " * (2 << 20), "exceeds the limit"),
        (protected(alg="dir"), 'unknown algorithm "dir"'),
        (protected(alg=7), '"alg" of JWE header is not a string'),
        (protected(enc="A128CBC-HS256"), 'unknown encryption "A128CBC-HS256"'),
        (protected(zip="DEF"), "uses zip"),
        (protected(crit=["x"]), "uses crit"),
        (protected(epk=None), "is not a JSON object"),
        (protected(epk=OFF_CURVE), "not on its curve"),
        (protected(apu="%"), "apu of the JWE is not base64url"),
        (json.dumps({"recipients": [{}] * 101}).encode(), "limit of 100 recipients"),
        (json.dumps({"protected": "e30", "aad": "x"}).encode(), "additional data"),
    ],
)
def test_what_is_no_jwe_or_of_an_unknown_kind_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(Refused, match=says):
        decrypt(data, P256)


def test_an_unknown_recipient_among_several_does_not_hide_ours() -> None:
    value = json.loads(encrypt(b"secret", [P256.public_key(), RSA.public_key()]))
    value["recipients"].insert(0, {"header": {"alg": "dir"}, "encrypted_key": ""})

    assert decrypt(json.dumps(value).encode(), P256) == b"secret"


def test_a_key_of_another_curve_is_not_tried() -> None:
    with pytest.raises(NotForKey):
        decrypt(encrypt(b"x", [P256.public_key()]), EC["secp384r1"])


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_and_nothing_worse(data: bytes) -> None:
    with pytest.raises((NotForKey, Refused)):
        decrypt(data, P256)
