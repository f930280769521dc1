"""Images with attestations and SBOMs, as BuildKit, oras and cosign attach them."""

from __future__ import annotations

import base64
import json
from typing import Any

from casstore.model.digest import Digest
from casstore.trust.keys import PrivateKey, sign
from tests.transfer.building import Layout

EMPTY = "application/vnd.oci.empty.v1+json"
IN_TOTO = "application/vnd.in-toto+json"
ENVELOPE = "application/vnd.dsse.envelope.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SPDX = "https://spdx.dev/Document"
CYCLONEDX = "https://cyclonedx.org/bom"
SIGNATURE = "dev.cosignproject.cosign/signature"  # empty for an attestation
PROVENANCE = "https://slsa.dev/provenance/v0.2"


def statement(
    *subjects: str,
    kind: str = SPDX,
    predicate: str = '{"spdxVersion": "SPDX-2.3"}',
    version: str = "v0.1",
) -> bytes:
    """A statement whose predicate is written exactly so."""
    named = [
        {"name": f"pkg:docker/app@1?platform=linux%2Famd64#{at}", "digest": {"sha256": one[7:]}}
        for at, one in enumerate(subjects)
    ]
    return (
        f'{{"_type": "https://in-toto.io/Statement/{version}", "subject": {json.dumps(named)}, '
        f'"predicateType": {json.dumps(kind)}, "predicate": {predicate}}}'
    ).encode()


def pae(payload: bytes) -> bytes:
    """What is signed, spelled out as DSSE's protocol.md has it."""
    return b"DSSEv1 28 application/vnd.in-toto+json " + str(len(payload)).encode() + b" " + payload


def envelope(payload: bytes, *keys: PrivateKey) -> dict[str, Any]:
    return {
        "payloadType": IN_TOTO,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [
            {"keyid": "", "sig": base64.b64encode(sign(key, pae(payload))).decode()} for key in keys
        ],
    }


class Attested:
    """A layout with one image `app:1`; attestations are attached to it."""

    def __init__(self) -> None:
        self.layout = Layout()
        self.top = self.layout.image("x")
        self.image = Digest(self.top["digest"])
        self.children: list[dict[str, Any]] = []

    def buildkit(
        self,
        *statements: tuple[bytes, str],
        about: dict[str, Any] | None = None,
        media_type: str = IN_TOTO,
    ) -> None:
        """A manifest of attestations in the image's index; each with its predicate type."""
        about = about or self.top
        layers = [
            self.layout.blob(data, media_type, annotations={"in-toto.io/predicate-type": kind})
            for data, kind in statements
        ]
        digests = [layer["digest"] for layer in layers]
        config = {
            "architecture": "unknown", "os": "unknown", "config": {},
            "rootfs": {"type": "layers", "diff_ids": digests},
        }  # fmt: skip
        manifest = self.layout.manifest(
            self.layout.json_blob(config, "application/vnd.oci.image.config.v1+json"), layers
        )
        self.children.append(
            {
                **manifest,
                "annotations": {
                    "vnd.docker.reference.digest": about["digest"],
                    "vnd.docker.reference.type": "attestation-manifest",
                },
                "platform": {"architecture": "unknown", "os": "unknown"},
            }
        )

    def referrer(
        self,
        data: bytes,
        media_type: str,
        *,
        artifact_type: str = "",
        about: dict[str, Any] | None = None,
    ) -> Digest:
        """An artifact of one document whose subject is the image."""
        manifest = self.layout.manifest(
            self.layout.blob(b"{}", EMPTY),
            [self.layout.blob(data, media_type)],
            artifactType=artifact_type or media_type,
            subject=about or self.top,
        )
        return self.layout.publish(manifest)

    def cosign(self, *documents: bytes, suffix: str = ".att", media_type: str = ENVELOPE) -> None:
        """The artifact that cosign tags; each document is one layer."""
        layers = [
            self.layout.blob(one, media_type, annotations={SIGNATURE: ""}) for one in documents
        ]
        config = {
            "architecture": "", "os": "", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
        }  # fmt: skip
        manifest = self.layout.manifest(
            self.layout.json_blob(config, "application/vnd.oci.image.config.v1+json"), layers
        )
        self.layout.publish(manifest, f"app:sha256-{self.image.hex}{suffix}")

    def finished(self) -> Layout:
        """The layout, with the image under its name."""
        if self.children:
            own = {**self.top, "platform": {"architecture": "amd64", "os": "linux"}}
            self.layout.publish(self.layout.index(own, *self.children), "app:1")
        else:
            self.layout.publish(self.top, "app:1")
        return self.layout
