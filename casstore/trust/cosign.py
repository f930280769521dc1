"""Whether one of cosign's signatures is good (model/signatures.py has where they are kept)."""

from __future__ import annotations

import binascii
from collections.abc import Callable, Mapping

from casstore.errors import Refused, quote
from casstore.model.digest import Digest
from casstore.model.signatures import SIGNATURE, base64_of
from casstore.trust import keys
from casstore.trust.identity import Identity, mismatch, parsed_claim
from casstore.trust.payload import Claim, parse_payload


def check_signature(
    payload: bytes,
    annotations: Mapping[str, str],
    *,
    key: keys.PublicKey,
    digest: Digest,
    identity: Identity,
    matches: Callable[[Identity, Identity], bool],
    wanted: Mapping[str, str],
) -> Claim:
    """What a signature claims, once all of it is known to be good.

    The signature comes first: nothing of a payload is believed, or shown, before it.

    Args:
        payload: the bytes of the layer.
        annotations: of its descriptor.
        key: that must have made it.
        digest: of the manifest at hand.
        identity: of the image at hand.
        matches: the rule by which the claimed identity fits (trust/identity.py).
        wanted: annotations that the payload must have.

    Raises:
        Refused: the first thing that is wrong, as a clause that goes on from "signature N".
    """
    encoded = annotations.get(SIGNATURE)
    if encoded is None:
        raise Refused(f"has no annotation {SIGNATURE}")
    try:
        signature = binascii.a2b_base64(encoded.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise Refused("is not base64") from None
    if base64_of(signature) != encoded:  # bits that no decoder looks at
        raise Refused("is not base64")
    if not keys.is_signed(key, payload, signature):
        raise Refused("was not made by this key, or its payload was changed")
    claim = parse_payload(payload)
    if claim.digest != digest:
        raise Refused(f"is of another manifest: {claim.digest}")
    claimed = parsed_claim(claim.reference)
    if claimed is None or not matches(identity, claimed):
        raise Refused(f"has another identity: {mismatch(identity, claim.reference)}")
    for name, value in wanted.items():
        got = claim.optional.get(name)
        if got != value:
            has = f"is {quote(got)}" if name in claim.optional else "is missing"
            raise Refused(f"does not say {quote(f'{name}={value}')}: {quote(name)} {has}")
    return claim
