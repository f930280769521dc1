"""The payload that cosign signs: which image, under which identity, with which annotations.

    {"critical":{"identity":{"docker-reference":"registry.example.org/app"},
                 "image":{"docker-manifest-digest":"sha256:…"},
                 "type":"cosign container image signature"},"optional":{"key":"value"}}

Written as Go's encoding/json writes it, so that the same claim has the same bytes whoever signs:
keys in this order, those of `optional` sorted, no spaces, `<`, `>` and `&` escaped.

Sources: cosign's SIGNATURE_SPEC.md ("Simple Signing"); containers-signature(5).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from casstore.errors import Refused
from casstore.model import document
from casstore.model.digest import Digest
from casstore.model.document import Fields
from casstore.model.signatures import go_json
from casstore.startup.value import Value

COSIGN_TYPE = "cosign container image signature"
GPG_TYPE = "atomic container signature"
MAX_PAYLOAD = 128 << 10  # of one claim; real ones have some hundred bytes


class Claim(Value):
    """What a payload says."""

    reference: str  # as it stands there: anything at all
    digest: Digest  # of the manifest
    optional: dict[str, Any]


def write_payload(reference: str, digest: Digest, annotations: Mapping[str, str]) -> bytes:
    """The payload for a manifest."""
    value = {
        "critical": {
            "identity": {"docker-reference": reference},
            "image": {"docker-manifest-digest": digest},
            "type": COSIGN_TYPE,
        },
        "optional": dict(sorted(annotations.items())) or None,
    }
    return go_json(value)


def parse_payload(data: bytes) -> Claim:
    """What a payload says; its form is checked as strictly as podman and skopeo do.

    Raises:
        Refused: it is no payload of a cosign signature. The text goes on from "its payload".
    """
    try:
        return _parsed(Fields(document.parse(data, "payload", limit=MAX_PAYLOAD), "payload"))
    except Refused as refusal:
        raise Refused(f"its {refusal}") from None


def _parsed(fields: Fields) -> Claim:
    _only(fields, "critical", "optional")
    critical = fields.fields("critical")
    _only(critical, "identity", "image", "type")
    kind = critical.text("type")
    if kind == GPG_TYPE:
        raise Refused("payload is that of a GPG signature, which is not supported")
    if kind != COSIGN_TYPE:
        raise critical.wrong("type", f"is not {COSIGN_TYPE!r}")
    identity, image = critical.fields("identity"), critical.fields("image")
    _only(identity, "docker-reference")
    _only(image, "docker-manifest-digest")
    return Claim(
        identity.text("docker-reference"),
        Digest.parse(image.values.get("docker-manifest-digest")),
        fields.mapping("optional"),
    )


def _only(fields: Fields, *known: str) -> None:
    for key in fields.values:
        if key not in known:
            raise fields.wrong(key, "is not known")
    for key in known:
        if key not in fields and key != "optional":
            raise fields.wrong(key, "is missing")
