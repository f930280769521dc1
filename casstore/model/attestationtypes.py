"""Media types and predicate types of attestations and SBOMs, and the words for them.

Sources: BuildKit's attestation-storage.md; IANA's registrations of SPDX and CycloneDX; cosign's
`attach sbom` (text/spdx+json, syft); sigstore's bundle format; in-toto's predicates.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.manifest import Entry, Manifest

STATEMENT = "application/vnd.in-toto+json"
ENVELOPE = "application/vnd.dsse.envelope.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle"  # .v0.3+json; older: +json;version=0.2

SPDX = "https://spdx.dev/Document"
CYCLONEDX = "https://cyclonedx.org/bom"
SYFT = "https://syft.dev/bom"
SBOMS = (SPDX, CYCLONEDX, SYFT)
# What stands for a predicate type on a command line.
WORDS = {"spdx": SPDX, "cyclonedx": CYCLONEDX}

# Documents that are no statements, each with the predicate type that it would have in one.
PLAIN = {
    "application/spdx+json": SPDX,
    "text/spdx+json": SPDX,
    "text/spdx": SPDX,  # tag-value, not JSON
    "application/vnd.cyclonedx+json": CYCLONEDX,
    "application/vnd.cyclonedx+xml": CYCLONEDX,
    "application/vnd.syft+json": SYFT,
}

BOM = b"\xef\xbb\xbf"  # the byte order mark that some programs begin such a file with

# BuildKit's annotations of an index's entry that is the attestations of another entry.
REFERENCE_TYPE = "vnd.docker.reference.type"
REFERENCE_DIGEST = "vnd.docker.reference.digest"
ATTESTATION_MANIFEST = "attestation-manifest"


def document_type(entry: Entry, manifest: Manifest) -> str:
    """What a layer of an artifact is; empty where it is no attestation.

    `oras attach` says it of the artifact as a whole, where a file has no type of its own.
    """
    kinds = [entry.descriptor.media_type, manifest.artifact_type]
    if manifest.config is not None:
        kinds.append(manifest.config.descriptor.media_type)
    for kind in kinds:
        plain = kind.partition(";")[0].strip().lower()
        if plain in PLAIN or plain in (STATEMENT, ENVELOPE) or plain.startswith(BUNDLE):
            return plain
    return ""


def is_of_type(predicate_type: str, wanted: str) -> bool:
    """Whether a predicate type is the one that is meant, or a version of it.

    cosign and others write `https://cyclonedx.org/bom/v1.4` as well as it without a version.
    """
    meant = WORDS.get(wanted, wanted)
    return predicate_type == meant or predicate_type.startswith(meant.rstrip("/") + "/")


def is_sbom(predicate_type: str) -> bool:
    """Whether a predicate of this type is an SBOM."""
    return any(is_of_type(predicate_type, kind) for kind in SBOMS)
