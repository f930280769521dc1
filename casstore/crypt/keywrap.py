"""Layer keys in annotations: wrapped for recipients by JWE or PKCS#7, unwrapped by private keys.

    org.opencontainers.image.enc.keys.jwe      base64, several after commas: one JWE each
    org.opencontainers.image.enc.keys.pkcs7    likewise, one envelope each
    org.opencontainers.image.enc.pubopts       base64 of the public options

Other schemes (OpenPGP, PKCS#11, key providers) are known by name, so that a layer which only they
can open is refused by name.

Source: ocicrypt, encryption.go, and spec.md of the OCI image encryption proposal.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence

from cryptography import x509

from casstore.crypt import jwe, pkcs7
from casstore.crypt.layercipher import (
    Private,
    Public,
    parse_private,
    parse_public,
    write_private,
    write_public,
)
from casstore.errors import Refused, UsageError, quote
from casstore.trust.keys import PrivateKey, PublicKey, read_public_key

PREFIX = "org.opencontainers.image.enc."
KEYS = PREFIX + "keys."
PUBLIC_OPTIONS = PREFIX + "pubopts"
JWE, PKCS7 = "jwe", "pkcs7"
SCHEMES = (JWE, PKCS7)
MAX_WRAPPED = 100  # of one scheme on one layer

Recipient = PublicKey | x509.Certificate


def read_recipient(scheme: str, data: bytes, name: str) -> Recipient:
    """Whom to encrypt for: a public key for `jwe`, a certificate for `pkcs7`.

    Args:
        scheme: one of SCHEMES.
        data: what the file holds.
        name: what messages call it.

    Raises:
        UsageError: another scheme.
        Refused: the file is no such thing.
    """
    if scheme == PKCS7:
        return pkcs7.read_certificate(data, name)
    if scheme != JWE:
        raise UsageError(f"unknown scheme {quote(scheme)}: use one of {', '.join(SCHEMES)}")
    key = read_public_key(data, name)
    if not jwe.is_usable(key):
        raise Refused(f"{name} can sign and not encrypt: use an RSA or EC key")
    return key


def wrap(private: Private, public: Public, recipients: Sequence[Recipient]) -> dict[str, str]:
    """The annotations of a layer that each of the recipients can decrypt."""
    plain = write_private(private)
    keys = [one for one in recipients if not isinstance(one, x509.Certificate)]
    certificates = [one for one in recipients if isinstance(one, x509.Certificate)]
    annotations = {}
    if keys:
        annotations[KEYS + JWE] = _base64(jwe.encrypt(plain, keys))
    if certificates:
        annotations[KEYS + PKCS7] = _base64(pkcs7.encrypt(plain, certificates))
    annotations[PUBLIC_OPTIONS] = _base64(write_public(public))
    return annotations


def unwrap(annotations: Mapping[str, str], keys: Sequence[PrivateKey]) -> tuple[Private, Public]:
    """The options of a layer.

    Raises:
        Refused: none of the keys opens it, or its annotations are not those of ocicrypt; a clause
            that goes on from "layer N".
    """
    schemes = [name[len(KEYS) :] for name in annotations if name.startswith(KEYS)]
    if not schemes:
        raise Refused("has no keys in its annotations")
    known = [scheme for scheme in SCHEMES if scheme in schemes]
    if not known:
        raise Refused(
            f"is encrypted by {' and '.join(map(_shown, schemes))}, which is not supported"
        )
    if PUBLIC_OPTIONS not in annotations:
        raise Refused(f"has no annotation {PUBLIC_OPTIONS}")
    try:
        public = parse_public(_decoded(annotations[PUBLIC_OPTIONS], PUBLIC_OPTIONS))
        for scheme in known:
            decrypt = jwe.decrypt if scheme == JWE else pkcs7.decrypt
            for wrapped in _each(annotations[KEYS + scheme], KEYS + scheme):
                for key in keys:
                    try:
                        return parse_private(decrypt(wrapped, key)), public
                    except jwe.NotForKey:
                        continue
    except Refused as refusal:
        raise Refused(f"cannot be decrypted: {refusal}") from None
    raise Refused("cannot be decrypted: it is not for this key")


def without_keys(annotations: Mapping[str, str]) -> dict[str, str]:
    """The annotations that stay when a layer is in the clear."""
    return {name: value for name, value in annotations.items() if not name.startswith(PREFIX)}


def _each(text: str, name: str) -> Iterator[bytes]:
    parts = text.split(",")
    if len(parts) > MAX_WRAPPED:
        raise Refused(f"{name} exceeds the limit of {MAX_WRAPPED} wrapped keys")
    for part in parts:
        yield _decoded(part, name)


def _shown(scheme: str) -> str:
    return {"pgp": "OpenPGP", "pkcs11": "PKCS#11"}.get(scheme, quote(scheme))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decoded(text: str, name: str) -> bytes:
    try:
        return binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise Refused(f"{name} is not base64") from None
