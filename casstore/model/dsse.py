"""DSSE envelopes, which hold signed statements; bare, or within a Sigstore bundle.

    {"payloadType": "application/vnd.in-toto+json", "payload": "<base64>",
     "signatures": [{"keyid": "", "sig": "<base64>"}]}

What is signed is not the payload but its pre-authentication encoding, which binds the type to it.
A bundle can also have the signature of the artifact itself (`messageSignature`).

Sources: secure-systems-lab/dsse, envelope.md and protocol.md; sigstore's protobuf-specs,
sigstore_bundle.proto and sigstore_common.proto.
"""

from __future__ import annotations

import binascii

from casstore.errors import Refused, quote
from casstore.model import document
from casstore.model.attestationtypes import STATEMENT
from casstore.model.digest import Digest
from casstore.model.document import Fields
from casstore.startup.value import Value

MAX_ENVELOPE = 48 << 20  # a statement in base64, signatures, certificates
MAX_SIGNATURES = 100
_URL_SAFE = str.maketrans("-_", "+/")


class Envelope(Value):
    """A payload and its signatures, none of which is verified yet."""

    payload: bytes
    payload_type: str
    signatures: tuple[bytes, ...]

    @property
    def signed_bytes(self) -> bytes:
        """The pre-authentication encoding (PAE), over which signatures are made."""
        kind = self.payload_type.encode("utf-8")
        head = b"DSSEv1 %d %b %d " % (len(kind), kind, len(self.payload))
        return head + self.payload


class MessageSignature(Value):
    """A signature of an artifact's own bytes, and the digest that it says they have."""

    digest: Digest
    signature: bytes


def parse_envelope(data: bytes, name: str) -> Envelope:
    """Parse an envelope of an in-toto statement.

    Raises:
        Refused: it is not one, its payload is of another type, or it exceeds a limit.
    """
    return _envelope(Fields(document.parse(data, name, limit=MAX_ENVELOPE), name))


def parse_bundle(data: bytes, name: str) -> Envelope | MessageSignature:
    """What is signed in a Sigstore bundle; certificates and log entries are not looked at.

    Raises:
        Refused: it is not a bundle, it has neither or both of what it can have, it exceeds a limit.
    """
    fields = Fields(document.parse(data, name, limit=MAX_ENVELOPE), name)
    has_envelope, has_signature = "dsseEnvelope" in fields, "messageSignature" in fields
    if has_envelope == has_signature:
        raise Refused(f"{name} does not have either dsseEnvelope or messageSignature")
    if has_envelope:
        return _envelope(fields.fields("dsseEnvelope"))
    message = fields.fields("messageSignature")
    digest = message.fields("messageDigest")
    if digest.text("algorithm") != "SHA2_256":
        raise digest.wrong("algorithm", "is not SHA2_256, which is all that is known")
    raw = _decoded(digest, "digest")
    if len(raw) != 32:
        raise digest.wrong("digest", "is not a SHA-256")
    return MessageSignature(Digest.of_bytes(raw), _decoded(message, "signature"))


def _envelope(fields: Fields) -> Envelope:
    kind = fields.text("payloadType")
    if kind != STATEMENT:
        raise fields.wrong("payloadType", f"is {quote(kind)}, not {STATEMENT}")
    items = fields.items("signatures")
    if len(items) > MAX_SIGNATURES:
        raise Refused(f"{fields.name} exceeds the limit of {MAX_SIGNATURES} signatures")
    signatures = tuple(
        _decoded(Fields(item, f"signature {number} of {fields.name}"), "sig")
        for number, item in enumerate(items, 1)
    )
    return Envelope(_decoded(fields, "payload"), kind, signatures)


def _decoded(fields: Fields, key: str) -> bytes:
    text = fields.text(key).translate(_URL_SAFE)  # either alphabet is allowed
    try:
        return binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise fields.wrong(key, "is not base64") from None
