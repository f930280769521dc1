"""The artifact that holds the signatures of a manifest, as cosign writes it; and two made one.

The signatures of a manifest are the layers of one artifact, tagged `sha256-<hex>.sig` in the
repository of the image, or referring to the manifest by `subject`. Each layer is a payload; its
signature is an annotation of the layer's descriptor, in base64. Attestations are kept alike.

Sources: cosign's SIGNATURE_SPEC.md ("Storage"); the documents are written as go-containerregistry
writes them for cosign.
"""

from __future__ import annotations

import binascii

from casstore.errors import Refused
from casstore.model import mediatype
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest, sha256
from casstore.model.manifest import Entry, Manifest, parse_manifest
from casstore.model.reference import Reference, subject_of
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

SIGNATURE = "dev.cosignproject.cosign/signature"  # annotation: base64
REFERRER_TYPE = "application/vnd.dev.cosign.artifact.sig.v1+json"
SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
ENVELOPE = "application/vnd.dsse.envelope.v1+json"  # an attestation
GROWING = (".sig", ".att")
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
        "annotations": {SIGNATURE: base64_of(signature)},
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


def grows(name: Reference) -> bool:
    """Whether a tag is one whose artifact gets longer with each signature or attestation."""
    return subject_of(name) is not None and f"{name.tag}".endswith(GROWING)


def united(one: bytes, other: bytes) -> Documents | None:
    """One artifact with the signatures of two, so that nobody's go when both have the same tag.

    Args:
        one, other: manifests; those of `one` come first.

    Returns:
        The documents to store. Where one manifest has all that the other has, it is that one, and
        there is no config to store. None where one of them is not an artifact that grows.
    """
    first, second = _growing(one), _growing(other)
    if first is None or second is None:
        return None
    here, there = first["layers"], second["layers"]
    missing = [layer for layer in there if layer not in here]
    if not missing:
        return Documents(one, b"")
    if all(layer in there for layer in here):
        return Documents(other, b"")
    notes = {**(second.get("annotations") or {}), **(first.get("annotations") or {})}
    return write_documents([*here, *missing], annotations=notes)


def _growing(data: bytes) -> dict[str, Any] | None:
    try:
        manifest = parse_manifest(data, "signatures", media_type=mediatype.OCI_MANIFEST)
    except Refused:
        return None
    kinds = {entry.descriptor.media_type for entry in manifest.layers}
    if manifest.subject is not None or not kinds <= {SIMPLE_SIGNING, ENVELOPE}:
        return None
    import json

    document: dict[str, Any] = json.loads(data)
    return document


def payloads_of(manifest: Manifest) -> list[Entry]:
    """The layers of an artifact that are payloads of signatures."""
    return [entry for entry in manifest.layers if entry.descriptor.media_type == SIMPLE_SIGNING]


def base64_of(data: bytes) -> str:
    """Bytes in base64, on one line."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def go_json(value: object) -> bytes:
    """JSON as Go's json.Marshal writes it, for what is ordered already."""
    import json

    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode()
