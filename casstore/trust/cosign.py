"""cosign's signatures: the artifact that holds them, and whether one of them is good.

The signatures of a manifest are the layers of one artifact, tagged `sha256-<hex>.sig` in the
repository of the image, or referring to the manifest by `subject`. Each layer is a payload; its
signature is an annotation of the layer's descriptor, in base64.

Sources: cosign's SIGNATURE_SPEC.md ("Storage"); the documents are written as go-containerregistry
writes them for cosign.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from casstore.errors import Refused, quote
from casstore.model import mediatype
from casstore.model.digest import Digest, sha256
from casstore.model.manifest import Entry, Manifest
from casstore.model.record import Descriptor
from casstore.model.value import Value
from casstore.trust import keys
from casstore.trust.identity import Identity, mismatch, parsed_claim
from casstore.trust.payload import SIMPLE_SIGNING, Claim, go_json, parse_payload

SIGNATURE = "dev.cosignproject.cosign/signature"  # annotation: base64
REFERRER_TYPE = "application/vnd.dev.cosign.artifact.sig.v1+json"
_NO_TIME = "0001-01-01T00:00:00Z"  # Go's zero time


class Documents(Value):
    """An artifact of signatures, ready to be stored: manifest, config."""

    manifest: bytes
    config: bytes


def signature_tag(digest: Digest) -> str:
    """The tag under which cosign keeps the signatures of a manifest."""
    return f"sha256-{digest.hex}.sig"


def layer_of(payload: bytes, signature: bytes) -> dict[str, Any]:
    """The descriptor of a payload and its signature."""
    return {
        "mediaType": SIMPLE_SIGNING,
        "size": len(payload),
        "digest": sha256(payload),
        "annotations": {SIGNATURE: _base64(signature)},
    }


def write_documents(
    layers: Sequence[Mapping[str, Any]],
    *,
    annotations: Mapping[str, str] | None = None,
    subject: Descriptor | None = None,
) -> Documents:
    """The documents of an artifact with these layers.

    Args:
        layers: descriptors, as `layer_of` makes them or as an older artifact has them.
        annotations: of the manifest, kept from an older artifact.
        subject: the manifest that is signed: makes an OCI 1.1 referrer.
    """
    config = go_json(
        {
            "architecture": "",
            "created": _NO_TIME,
            "history": [{"created": _NO_TIME} for _ in layers],
            "os": "",
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
            "config": {},
        }
    )
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": mediatype.OCI_MANIFEST,
        "config": {
            "mediaType": mediatype.OCI_CONFIG if subject is None else REFERRER_TYPE,
            "size": len(config),
            "digest": sha256(config),
        },
        "layers": list(layers),
    }
    if annotations:
        manifest["annotations"] = dict(annotations)
    if subject is not None:
        manifest["subject"] = {
            "mediaType": subject.media_type,
            "size": subject.size,
            "digest": subject.digest,
        }
    return Documents(go_json(manifest), config)


def payloads_of(manifest: Manifest) -> list[Entry]:
    """The layers of an artifact that are payloads of signatures."""
    return [entry for entry in manifest.layers if entry.descriptor.media_type == SIMPLE_SIGNING]


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
    if _base64(signature) != encoded:  # bits that no decoder looks at
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


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode("ascii")
