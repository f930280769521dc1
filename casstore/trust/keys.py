"""Keys: read from every form that cosign and openssl write, made, signed with, verified with.

A private key is a cosign key file (keyfile.py), or PKCS#8, SEC 1 or PKCS#1 as PEM or DER, with a
password or without. A public key is PEM or DER (SubjectPublicKeyInfo). ECDSA on P-256, P-384 and
P-521, Ed25519, and RSA from 2048 bits.

Signatures are as cosign and containers/image make them: over SHA-256 whatever the key, ECDSA in
ASN.1, RSA by PKCS #1 v1.5; Ed25519 over the bytes themselves. Newer sigstore libraries take the
curve's own hash (SHA-384, SHA-512) for P-384 and P-521: that is verified too.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from casstore.errors import Refused, quote
from casstore.trust.keyfile import PEM_TYPES, armour, open_private_key, seal_private_key

MAX_KEY_FILE = 64 << 10
MIN_RSA_BITS = 2048  # what Go's crypto/rsa and NIST SP 800-131A still accept
MAX_RSA_BITS = 16384  # what OpenSSL accepts: a verification's time grows with the square
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_OWN_HASH: dict[str, hashes.HashAlgorithm] = {
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey
Password = Callable[[], bytes]


def generate_pair(password: bytes) -> tuple[bytes, bytes]:
    """A new ECDSA P-256 pair: the text of a cosign key file, and the public key as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return seal_private_key(_pkcs8(key), password), public_pem(key.public_key())


def read_private_key(data: bytes, name: str, password: Password) -> PrivateKey:
    """The private key in a file.

    Args:
        data: what the file holds.
        name: what messages call it.
        password: asked for the password, if the key is under one.

    Raises:
        Refused: no private key, one of a kind that is not known, or the wrong password.
    """
    kind, body = _unwrapped(data, name)
    if "PUBLIC KEY" in kind or kind == "CERTIFICATE":
        raise Refused(f"{name} is not a private key but a {kind.lower()}")
    if kind in PEM_TYPES:
        der = open_private_key(body, name, password())
        return _known_private(_loaded_private(der, name, None, pem=False), name)
    pem = bool(kind)
    whole = data if pem else body
    try:
        return _known_private(_loaded_private(whole, name, None, pem=pem), name)
    except TypeError:  # it is under a password
        return _known_private(_loaded_private(whole, name, password(), pem=pem), name)


def read_public_key(data: bytes, name: str) -> PublicKey:
    """The public key in a file.

    Raises:
        Refused: no public key, or one of a kind that is not known.
    """
    kind, body = _unwrapped(data, name)
    if "PRIVATE KEY" in kind:
        raise Refused(f"{name} is a private key; a public one is needed")
    try:
        if kind:
            key = serialization.load_pem_public_key(data)
        else:
            key = serialization.load_der_public_key(body)
    except (ValueError, UnsupportedAlgorithm):
        raise Refused(f"{name} holds no public key, or one of a kind that is not known") from None
    return _known_public(key, name)


def public_pem(key: PublicKey) -> bytes:
    """A public key as PEM, as cosign writes it."""
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return armour(der, "PUBLIC KEY")


def sign(key: PrivateKey, payload: bytes) -> bytes:
    """The signature of `payload`."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(payload, ec.ECDSA(hashes.SHA256()))
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(payload, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(payload)


def is_signed(key: PublicKey, payload: bytes, signature: bytes) -> bool:
    """Whether `signature` is one of `payload` by this key."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        algorithms = [hashes.SHA256(), _OWN_HASH.get(key.curve.name)]
        return any(
            algorithm is not None and _verifies(key, payload, signature, algorithm)
            for algorithm in algorithms
        )
    return _verifies(key, payload, signature, hashes.SHA256())


def _verifies(
    key: PublicKey, payload: bytes, signature: bytes, algorithm: hashes.HashAlgorithm
) -> bool:
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, payload, ec.ECDSA(algorithm))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, payload, padding.PKCS1v15(), algorithm)
        else:
            key.verify(signature, payload)
    except InvalidSignature:
        return False
    return True


def _unwrapped(data: bytes, name: str) -> tuple[str, bytes]:
    """The type of a PEM file and what is in it; an empty type, and the data, where it is DER."""
    if len(data) > MAX_KEY_FILE:
        raise Refused(f"{name} is not a key file: it exceeds the limit of {MAX_KEY_FILE} bytes")
    start = data.find(b"-----BEGIN ")
    if start < 0:
        if data[:1] != b"0":  # the tag of every DER key
            raise Refused(f"{name} is not a key file: neither PEM nor DER")
        return "", data
    head, dashes, rest = data[start + 11 :].partition(b"-----")
    body, end, _ = rest.partition(b"-----END " + head + b"-----")
    if not dashes or not end or len(head) > 64 or b"\n" in head:
        raise Refused(f"{name} is not a key file: its PEM is not whole")
    kind = head.decode("ascii", "backslashreplace")
    if kind not in PEM_TYPES:
        return kind, b""  # the library reads its armour
    try:
        return kind, binascii.a2b_base64(b"".join(body.split()), strict_mode=True)
    except binascii.Error:
        raise Refused(f"{name} is not a key file: its PEM is not whole") from None


def _loaded_private(data: bytes, name: str, password: bytes | None, *, pem: bool) -> object:
    load = serialization.load_pem_private_key if pem else serialization.load_der_private_key
    try:
        return load(data, password)
    except (ValueError, UnsupportedAlgorithm):
        if password is not None:
            raise Refused(
                f"{name} cannot be decrypted: wrong password, or a damaged file"
            ) from None
        raise Refused(f"{name} holds no private key, or one of a kind that is not known") from None


def _known_private(key: object, name: str) -> PrivateKey:
    if isinstance(key, (ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey, rsa.RSAPrivateKey)):
        _known_public(key.public_key(), name)
        return key
    raise _unknown(name)


def _known_public(key: object, name: str) -> PublicKey:
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, rsa.RSAPublicKey):
        if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            raise Refused(
                f"{name} is an RSA key of {key.key_size} bits; "
                f"{MIN_RSA_BITS} to {MAX_RSA_BITS} are allowed"
            )
        return key
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name in _CURVES:
            return key
        raise Refused(
            f"{name} is on the curve {quote(key.curve.name)}; "
            f"known are {', '.join(_CURVES.values())}"
        )
    raise _unknown(name)


def _unknown(name: str) -> Refused:
    return Refused(f"{name} is a key of a kind that is not known; use ECDSA, Ed25519 or RSA")


def _pkcs8(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
