"""JSON Web Encryption, as far as ocicrypt uses it: RSA-OAEP or ECDH-ES+A256KW, then A256GCM.

Written as go-jose writes it: flattened JSON for one recipient, general JSON for several. Read:
compact too, and the algorithms that go-jose offers beside these.

Sources: RFC 7516 (JWE), 7517 (JWK), 7518 (JWA: 4.3 RSA-OAEP, 4.6 ECDH-ES, 5.3 AES-GCM).
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import struct
from collections.abc import Iterator, Sequence
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash

from casstore.errors import Refused, quote
from casstore.model import document
from casstore.model.document import Fields
from casstore.startup.value import Value
from casstore.trust.keys import PrivateKey, PublicKey

MAX_JWE = 1 << 20
MAX_RECIPIENTS = 100
_ENC = {"A128GCM": 16, "A192GCM": 24, "A256GCM": 32}  # bytes of the content key
_RSA: dict[str, hashes.HashAlgorithm] = {
    "RSA-OAEP": hashes.SHA1(),  # noqa: S303 - what the standard says, and OAEP does not mind
    "RSA-OAEP-256": hashes.SHA256(),
}
_ECDH = {"ECDH-ES+A128KW": 16, "ECDH-ES+A192KW": 24, "ECDH-ES+A256KW": 32}
_CURVES: dict[str, ec.EllipticCurve] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}
_CURVE_NAMES = {curve.name: name for name, curve in _CURVES.items()}
_NONCE, _TAG = 12, 16


class NotForKey(Exception):
    """Nothing in it can be opened with this key."""


class _Recipient(Value):
    header: dict[str, Any]  # joint: protected, shared and its own
    wrapped: bytes


class _Message(Value):
    recipients: tuple[_Recipient, ...]
    protected: bytes  # as it stands there: authenticated
    iv: bytes
    ciphertext: bytes
    tag: bytes


def is_usable(key: PublicKey) -> bool:
    """Whether keys can be wrapped for this public key."""
    return isinstance(key, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey))


def encrypt(plain: bytes, recipients: Sequence[PublicKey]) -> bytes:
    """`plain` for the holders of any of the private keys.

    Args:
        plain: what to encrypt.
        recipients: RSA or EC public keys, one or more (`is_usable`).
    """
    key, iv = os.urandom(32), os.urandom(_NONCE)
    wrapped = [_wrap(key, recipient) for recipient in recipients]
    shared: dict[str, Any] = {"enc": "A256GCM"}
    parts: dict[str, Any] = {}
    if len(wrapped) == 1:
        header, encrypted_key = wrapped[0]
        protected = _encode(_json({"alg": header["alg"], **shared, **header}))
        parts = {"protected": protected, "encrypted_key": _encode(encrypted_key)}
    else:
        protected = _encode(_json(shared))
        parts = {
            "protected": protected,
            "recipients": [
                {"header": header, "encrypted_key": _encode(encrypted_key)}
                for header, encrypted_key in wrapped
            ],
        }
    sealed = AESGCM(key).encrypt(iv, plain, protected.encode("ascii"))
    parts |= {
        "iv": _encode(iv),
        "ciphertext": _encode(sealed[:-_TAG]),
        "tag": _encode(sealed[-_TAG:]),
    }
    return _json(parts)


def decrypt(data: bytes, key: PrivateKey) -> bytes:
    """What `data` holds, if it is for this key.

    Raises:
        NotForKey: no recipient is this key.
        Refused: it is not a JWE, or one of a kind that is not known.
    """
    message = _parse(data)
    unknown = None
    for recipient in message.recipients:
        try:
            content_key = _unwrap(recipient, key)
            return AESGCM(content_key).decrypt(
                message.iv, message.ciphertext + message.tag, message.protected
            )
        except (NotForKey, InvalidTag):
            continue
        except Refused as refusal:
            unknown = refusal
    if unknown is not None and len(message.recipients) == 1:
        raise unknown
    raise NotForKey


# Keys


def _wrap(content_key: bytes, recipient: PublicKey) -> tuple[dict[str, Any], bytes]:
    """The recipient's header, and the content key wrapped."""
    if isinstance(recipient, rsa.RSAPublicKey):
        return {"alg": "RSA-OAEP"}, recipient.encrypt(content_key, _oaep(_RSA["RSA-OAEP"]))
    assert isinstance(recipient, ec.EllipticCurvePublicKey)
    ephemeral = ec.generate_private_key(recipient.curve)
    alg = "ECDH-ES+A256KW"
    numbers = ephemeral.public_key().public_numbers()
    width = (recipient.curve.key_size + 7) // 8
    epk = {
        "kty": "EC",
        "crv": _CURVE_NAMES[recipient.curve.name],
        "x": _encode(numbers.x.to_bytes(width, "big")),
        "y": _encode(numbers.y.to_bytes(width, "big")),
    }
    shared = ephemeral.exchange(ec.ECDH(), recipient)
    wrapped = keywrap.aes_key_wrap(_derived(shared, alg, b"", b""), content_key)
    return {"alg": alg, "epk": epk}, wrapped


def _unwrap(recipient: _Recipient, key: PrivateKey) -> bytes:
    header = Fields(recipient.header, "JWE header")
    alg, enc = header.text("alg"), header.text("enc")
    if enc not in _ENC:
        raise Refused(f"the JWE has the unknown encryption {quote(enc)}")
    if alg in _RSA:
        if not isinstance(key, rsa.RSAPrivateKey):
            raise NotForKey
        try:
            content_key = key.decrypt(recipient.wrapped, _oaep(_RSA[alg]))
        except ValueError:
            raise NotForKey from None
    elif alg in _ECDH:
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise NotForKey
        shared = key.exchange(ec.ECDH(), _ephemeral(header, key))
        info = (_decode(header.text(name), f"{name} of the JWE") for name in ("apu", "apv"))
        try:
            content_key = keywrap.aes_key_unwrap(_derived(shared, alg, *info), recipient.wrapped)
        except (keywrap.InvalidUnwrap, ValueError):
            raise NotForKey from None
    else:
        raise Refused(f"the JWE has the unknown algorithm {quote(alg)}")
    if len(content_key) != _ENC[enc]:
        raise NotForKey
    return content_key


def _ephemeral(header: Fields, key: ec.EllipticCurvePrivateKey) -> ec.EllipticCurvePublicKey:
    epk = header.fields("epk")
    curve = _CURVES.get(epk.text("crv"))
    if curve is None or curve.name != key.curve.name:
        raise NotForKey
    x, y = (
        int.from_bytes(_decode(epk.text(name), f"epk.{name} of the JWE"), "big")
        for name in ("x", "y")
    )
    try:
        return ec.EllipticCurvePublicNumbers(x, y, curve).public_key()
    except ValueError:
        raise Refused("the JWE has an ephemeral key that is not on its curve") from None


def _derived(shared: bytes, alg: str, apu: bytes, apv: bytes) -> bytes:
    """The key-wrapping key: RFC 7518, 4.6.2."""
    size = _ECDH[alg]
    parts = (alg.encode("ascii"), apu, apv)
    info = b"".join(struct.pack(">I", len(part)) + part for part in parts)
    info += struct.pack(">I", size * 8)
    return ConcatKDFHash(hashes.SHA256(), size, info).derive(shared)


def _oaep(algorithm: hashes.HashAlgorithm) -> padding.OAEP:
    return padding.OAEP(padding.MGF1(algorithm), algorithm, None)


# The three forms


def _parse(data: bytes) -> _Message:
    if len(data) > MAX_JWE:
        raise Refused(f"the JWE exceeds the limit of {MAX_JWE} bytes")
    if data.lstrip()[:1] != b"{":
        return _compact(data)
    fields = Fields(document.parse(data, "JWE", limit=MAX_JWE), "JWE")
    if "aad" in fields:
        raise Refused("the JWE has additional data, which ocicrypt does not use")
    protected = fields.text("protected")
    joint = {**_header(protected), **fields.mapping("unprotected")}
    return _Message(
        tuple(_recipients(fields, joint)),
        protected.encode("ascii", "replace"),
        *_payload(*(fields.text(name) for name in ("iv", "ciphertext", "tag"))),
    )


def _recipients(fields: Fields, joint: dict[str, Any]) -> Iterator[_Recipient]:
    items = fields.items("recipients") or [fields.values]
    if len(items) > MAX_RECIPIENTS:
        raise Refused(f"the JWE exceeds the limit of {MAX_RECIPIENTS} recipients")
    for item in items:
        one = Fields(item, "recipient of the JWE")
        header = {**joint, **one.mapping("header")}
        _known(header)
        yield _Recipient(header, _decode(one.text("encrypted_key"), "a key of the JWE"))


def _compact(data: bytes) -> _Message:
    parts = data.decode("ascii", "replace").strip().split(".")
    if len(parts) != 5:
        raise Refused("it is not a JWE")
    header = _header(parts[0])
    _known(header)
    recipient = _Recipient(header, _decode(parts[1], "a key of the JWE"))
    return _Message((recipient,), parts[0].encode("ascii", "replace"), *_payload(*parts[2:]))


def _payload(iv: str, ciphertext: str, tag: str) -> tuple[bytes, bytes, bytes]:
    values = _decode(iv, "iv"), _decode(ciphertext, "ciphertext"), _decode(tag, "tag")
    if len(values[0]) != _NONCE or len(values[2]) != _TAG:
        raise Refused("the JWE has an iv or a tag of the wrong length")
    return values


def _header(protected: str) -> dict[str, Any]:
    data = _decode(protected, "protected header of the JWE")
    return Fields(document.parse(data or b"{}", "JWE header"), "JWE header").values


def _known(header: dict[str, Any]) -> None:
    for name in ("crit", "zip"):
        if name in header:
            raise Refused(f"the JWE uses {name}, which ocicrypt does not")


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decode(text: str, what: str) -> bytes:
    padded = text + "=" * (-len(text) % 4)
    try:
        return base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise Refused(f"{what} is not base64url") from None
