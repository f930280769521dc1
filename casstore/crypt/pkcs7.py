"""PKCS#7 envelopes, as ocicrypt wraps keys for the holder of a certificate.

An envelope is enveloped-data (RFC 2315) whose content is encrypted by AES-GCM, the tag at its end:
what Go's pkcs7 package writes and reads. `cryptography` makes and opens envelopes of AES-CBC alone,
so the frame is written and read here; only the ciphers are the library's. AES-CBC is read too.

That package has the parameters of AES-GCM in a form of its own: in a sequence within a sequence,
with the nonce under a context tag. It understands no other, so that is what is written; RFC 5084's
form is read as well.

Sources: RFC 2315, section 10; RFC 5084 (AES-GCM parameters); RFC 3565 (AES-CBC).
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import padding as blocks
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from casstore.crypt import der
from casstore.crypt.jwe import NotForKey
from casstore.errors import Refused
from casstore.trust.keys import MAX_RSA_BITS, MIN_RSA_BITS, PrivateKey

MAX_ENVELOPE = 1 << 20
MAX_RECIPIENTS = 100
_ENVELOPED = bytes.fromhex("2a864886f70d010703")  # 1.2.840.113549.1.7.3
_DATA = bytes.fromhex("2a864886f70d010701")
_RSA = bytes.fromhex("2a864886f70d010101")  # rsaEncryption: PKCS #1 v1.5
_AES = bytes.fromhex("6086480165030401")  # 2.16.840.1.101.3.4.1, and one number more
_GCM = {6: 16, 26: 24, 46: 32}  # bytes of the key
_CBC = {2: 16, 22: 24, 42: 32}
_AES_256_GCM = 46
_GO_NONCE = 0x84
_GO_SEQUENCE = 0x10  # a sequence that says it is primitive
_CONTEXT_0, _CONTEXT_0_IMPLICIT = 0xA0, 0x80
_NONCE, _TAG = 12, 16


def read_certificate(data: bytes, name: str) -> x509.Certificate:
    """An RSA certificate, PEM or DER.

    Raises:
        Refused: it is none.
    """
    try:
        if data.lstrip().startswith(b"-----"):
            certificate = x509.load_pem_x509_certificate(data)
        else:
            certificate = x509.load_der_x509_certificate(data)
        key = certificate.public_key()
    except ValueError:
        raise Refused(f"{name} holds no certificate") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise Refused(f"{name} is not a certificate of an RSA key, which PKCS#7 needs")
    if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        raise Refused(
            f"{name} is of an RSA key of {key.key_size} bits; "
            f"{MIN_RSA_BITS} to {MAX_RSA_BITS} are allowed"
        )
    return certificate


def encrypt(plain: bytes, recipients: Sequence[x509.Certificate]) -> bytes:
    """`plain` for the holders of the private keys of any of the certificates."""
    key, nonce = os.urandom(32), os.urandom(_NONCE)
    inner = der.encode(der.SEQUENCE, der.encode(_GO_NONCE, nonce), der.integer(_TAG))
    parameters = der.encode(der.SEQUENCE, inner)
    algorithm = der.encode(
        der.SEQUENCE, der.encode(der.OID, _AES + bytes((_AES_256_GCM,))), parameters
    )
    sealed = AESGCM(key).encrypt(nonce, plain, None)
    content = der.encode(_CONTEXT_0, der.encode(der.OCTETS, sealed))
    envelope = der.encode(
        der.SEQUENCE,
        der.integer(0),
        # DER sorts the members of a set
        der.encode(der.SET, *sorted(_recipient(key, one) for one in recipients)),
        der.encode(der.SEQUENCE, der.encode(der.OID, _DATA), algorithm, content),
    )
    return der.encode(
        der.SEQUENCE, der.encode(der.OID, _ENVELOPED), der.encode(_CONTEXT_0, envelope)
    )


def decrypt(data: bytes, key: PrivateKey) -> bytes:
    """What an envelope holds, if it is for this key; the certificate is not needed.

    Raises:
        NotForKey: no recipient is this key.
        Refused: it is no envelope, or one of a kind that is not known.
    """
    if len(data) > MAX_ENVELOPE:
        raise Refused(f"the PKCS#7 envelope exceeds the limit of {MAX_ENVELOPE} bytes")
    (outer,) = der.only(data, der.SEQUENCE)
    kind, holder = der.only(outer.content, der.OID, _CONTEXT_0)
    if kind.content != _ENVELOPED:
        raise Refused("it is not a PKCS#7 envelope")
    (envelope,) = der.only(holder.content, der.SEQUENCE)
    _, recipients, body = der.only(envelope.content, der.INTEGER, der.SET, der.SEQUENCE)
    parts = list(der.elements(body.content))
    algorithm = list(der.elements(parts[1].content)) if len(parts) == 3 else []
    if len(algorithm) != 2:
        raise Refused("the PKCS#7 envelope has not the parts that it should have")
    name, parameters = algorithm
    sealed = _octets(parts[2])
    wrapped = [_wrapped(one) for one in der.elements(recipients.content)]
    if len(wrapped) > MAX_RECIPIENTS:
        raise Refused(f"the PKCS#7 envelope exceeds the limit of {MAX_RECIPIENTS} recipients")
    if not isinstance(key, rsa.RSAPrivateKey):
        raise NotForKey
    for one in wrapped:
        try:
            # A key that does not fit gives a key of chance, which the content then refuses.
            content_key = key.decrypt(one, padding.PKCS1v15())
            return _opened(name.expect(der.OID).content, parameters, content_key, sealed)
        except (ValueError, InvalidTag, NotForKey):
            continue
    raise NotForKey


def _recipient(key: bytes, certificate: x509.Certificate) -> bytes:
    public = certificate.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    who = der.encode(
        der.SEQUENCE, certificate.issuer.public_bytes(), der.integer(certificate.serial_number)
    )
    algorithm = der.encode(der.SEQUENCE, der.encode(der.OID, _RSA), der.NULL)
    wrapped = der.encode(der.OCTETS, public.encrypt(key, padding.PKCS1v15()))
    return der.encode(der.SEQUENCE, der.integer(0), who, algorithm, wrapped)


def _wrapped(recipient: der.Element) -> bytes:
    """The wrapped key in a recipient's part."""
    _, _, algorithm, wrapped = der.only(
        recipient.expect(der.SEQUENCE).content, der.INTEGER, der.SEQUENCE, der.SEQUENCE, der.OCTETS
    )
    kind = next(der.elements(algorithm.content), None)
    if kind is None or kind.content != _RSA:
        raise Refused("the PKCS#7 envelope wraps its key by an algorithm that is not known")
    return wrapped.content


def _octets(content: der.Element) -> bytes:
    """The encrypted content: one string, or the pieces of one."""
    if content.tag == _CONTEXT_0_IMPLICIT:
        return content.content
    pieces = der.elements(content.expect(_CONTEXT_0).content)
    return b"".join(piece.expect(der.OCTETS).content for piece in pieces)


def _opened(algorithm: bytes, parameters: der.Element, key: bytes, sealed: bytes) -> bytes:
    number = algorithm[-1] if algorithm[:-1] == _AES else -1
    if number in _GCM:
        if len(key) != _GCM[number]:
            raise NotForKey
        return AESGCM(key).decrypt(_nonce(parameters), sealed, None)
    if number in _CBC:
        if len(key) != _CBC[number]:
            raise NotForKey
        cipher = Cipher(algorithms.AES(key), modes.CBC(parameters.expect(der.OCTETS).content))
        opening, unpadding = cipher.decryptor(), blocks.PKCS7(128).unpadder()
        padded = opening.update(sealed) + opening.finalize()
        return unpadding.update(padded) + unpadding.finalize()
    raise Refused("the PKCS#7 envelope is encrypted by an algorithm that is not known")


def _nonce(parameters: der.Element) -> bytes:
    """The nonce of AES-GCM, in Go's form or in RFC 5084's."""
    element = parameters
    for _ in range(2):
        if element.tag in (der.SEQUENCE, _GO_SEQUENCE):
            element = next(der.elements(element.content), parameters)
    if element.tag not in (der.OCTETS, _GO_NONCE):
        raise Refused("the PKCS#7 envelope has parameters that are not known")
    return element.content
