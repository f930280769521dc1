"""Annotations: the keys of a layer for its recipients, and what is no such thing."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from casstore.crypt.keywrap import (
    KEYS,
    PUBLIC_OPTIONS,
    read_recipient,
    unwrap,
    without_keys,
    wrap,
)
from casstore.crypt.layercipher import Private, Public
from casstore.errors import Refused, UsageError
from casstore.model.digest import Digest
from casstore.trust.keys import public_pem
from tests.crypt.certificates import PEM, certificate
from tests.crypt.recorded import key, layers

EC, OTHER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
RSA = rsa.generate_private_key(65537, 2048)
PRIVATE = Private(b"k" * 32, b"n" * 16, Digest.of_hex("ab" * 32))
PUBLIC = Public(b"h" * 32)
BOTH = wrap(PRIVATE, PUBLIC, [EC.public_key(), certificate(RSA)])
JWE = {name: text for name, text in BOTH.items() if not name.endswith("pkcs7")}


def test_recipients_of_both_schemes_can_open_it() -> None:
    assert set(BOTH) == {KEYS + "jwe", KEYS + "pkcs7", PUBLIC_OPTIONS}
    for one in (EC, RSA):
        assert unwrap(BOTH, [one]) == (PRIVATE, PUBLIC)


def test_any_of_several_keys_is_enough() -> None:
    assert unwrap(JWE, [OTHER, RSA, EC]) == (PRIVATE, PUBLIC)


def test_keys_that_somebody_added_after_a_comma_are_tried() -> None:
    more = wrap(PRIVATE, PUBLIC, [OTHER.public_key()])[KEYS + "jwe"]
    joined = {**JWE, KEYS + "jwe": f"{JWE[KEYS + 'jwe']},{more}"}

    assert unwrap(joined, [EC]) == unwrap(joined, [OTHER]) == (PRIVATE, PUBLIC)


@pytest.mark.parametrize(
    ("annotations", "says"),
    [
        ({}, "^has no keys in its annotations"),
        ({**JWE, PUBLIC_OPTIONS: "%"}, "^cannot be decrypted: .*pubopts is not base64"),
        ({KEYS + "jwe": JWE[KEYS + "jwe"]}, f"^has no annotation {PUBLIC_OPTIONS}"),
        ({**JWE, KEYS + "jwe": "%"}, "jwe is not base64"),
        ({**JWE, KEYS + "jwe": base64.b64encode(b"junk").decode()}, "it is not a JWE"),
        ({**JWE, KEYS + "jwe": ",".join(["AAAA"] * 101)}, "limit of 100 wrapped keys"),
        ({KEYS + "pgp": "x"}, "^is encrypted by OpenPGP, which is not supported"),
        ({KEYS + "pkcs11": "x"}, "^is encrypted by PKCS#11, which"),
        ({KEYS + "provider.x": "x"}, '^is encrypted by "provider.x", which'),
        ({**JWE, PUBLIC_OPTIONS: "e30="}, 'the cipher "" is not known'),
    ],
)
def test_annotations_that_are_wrong_say_what_is(annotations: dict[str, str], says: str) -> None:
    with pytest.raises(Refused, match=says):
        unwrap(annotations, [EC])


def test_another_key_is_told() -> None:
    with pytest.raises(Refused, match=r"^cannot be decrypted: it is not for this key$"):
        unwrap(BOTH, [OTHER])


def test_a_recorded_openpgp_layer_is_refused_by_name() -> None:
    with pytest.raises(Refused, match="OpenPGP"):
        unwrap(layers("pgp")[0]["annotations"], [key("jwe-rsa")])


def test_only_the_keys_leave_the_annotations() -> None:
    assert without_keys({**BOTH, "a": "b"}) == {"a": "b"}


def test_a_recipient_is_a_public_key_or_a_certificate() -> None:
    assert read_recipient("jwe", public_pem(EC.public_key()), "r") == EC.public_key()
    own = certificate(RSA)
    assert read_recipient("pkcs7", own.public_bytes(PEM), "r") == own


def test_what_cannot_be_a_recipient_is_refused() -> None:
    signing = public_pem(ed25519.Ed25519PrivateKey.generate().public_key())
    with pytest.raises(Refused, match=r"^r can sign and not encrypt"):
        read_recipient("jwe", signing, "r")
    with pytest.raises(UsageError, match='unknown scheme "pgp"'):
        read_recipient("pgp", b"", "r")
