"""What refers to a manifest in a registry: signatures, SBOMs, attestations.

Asked by the referrers API (distribution-spec 1.1); where a registry has none, by the tag
`sha256-<hex>` whose index lists them (the spec's "Referrers Tag Schema"), which a push keeps up to
date. cosign's tags `sha256-<hex>.sig`, `.att` and `.sbom` are looked for as well.
"""

from __future__ import annotations

import json

from casstore.errors import NotFound, Refused
from casstore.model import mediatype
from casstore.model.digest import Digest, sha256
from casstore.model.manifest import Entry, Index, Manifest, parse_document, parse_index
from casstore.model.record import Descriptor
from casstore.registry.remote import Repository, pages
from casstore.registry.send import put_manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COSIGN = ("sig", "att", "sbom")
MAX_REFERRERS = 1000  # of one manifest


def fallback_tag(subject: Digest) -> str:
    """The tag that lists what refers to `subject`."""
    return f"sha256-{subject.hex}"


def referrers_of(repository: Repository, subject: Digest) -> list[Descriptor]:
    """Descriptors of the manifests that refer to `subject`, each once.

    Raises:
        Refused: the list is malformed or too long.
        RegistryError: the registry cannot be asked.
    """
    entries: list[Entry] = []
    is_known = False
    for page in pages(repository, f"referrers/{subject}"):
        is_known = True
        entries += _entries(page)
        if len(entries) > MAX_REFERRERS:
            raise Refused(f"{subject} has more than {MAX_REFERRERS} referrers")
    if not is_known:
        entries += _listed_by_tag(repository, subject)
    kept = {
        entry.descriptor.digest: entry.descriptor
        for entry in entries
        if mediatype.is_manifest(entry.descriptor.media_type)
        or mediatype.is_index(entry.descriptor.media_type)
    }
    return list(kept.values())


def cosign_tags(repository: Repository, subject: Digest) -> list[str]:
    """Those of cosign's tags for `subject` that the repository has."""
    found = []
    for kind in COSIGN:
        tag = f"sha256-{subject.hex}.{kind}"
        answer = repository.request("HEAD", f"manifests/{tag}", headers=repository.accept)
        answer.close()
        if answer.status == 200:
            found.append(tag)
    return found


def add_to_list(
    repository: Repository, subject: Digest, artifact: Descriptor, document: Manifest | Index
) -> None:
    """Let the tag that lists the referrers of `subject` list an artifact too."""
    entry = listing_entry(artifact, document)
    index: dict[str, Any] = {
        "schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": [],
    }  # fmt: skip
    try:
        top, data = repository.manifest(fallback_tag(subject))
        if mediatype.is_index(top.media_type):
            parse_document(data, top)
            index = json.loads(data)
    except NotFound:
        pass
    listed = index.get("manifests") or []
    if any(one.get("digest") == artifact.digest for one in listed):
        return
    index["manifests"] = [*listed, entry]
    data = json.dumps(index, separators=(",", ":"), ensure_ascii=False).encode()
    descriptor = Descriptor(str(index["mediaType"]), sha256(data), len(data))
    put_manifest(repository, descriptor, data, fallback_tag(subject))


def listing_entry(artifact: Descriptor, document: Manifest | Index) -> dict[str, Any]:
    """An artifact as a list of referrers has it (distribution-spec, "Listing Referrers")."""
    entry: dict[str, Any] = {
        "mediaType": artifact.media_type,
        "digest": artifact.digest,
        "size": artifact.size,
    }
    kind = document.artifact_type
    if not kind and isinstance(document, Manifest) and document.config is not None:
        kind = document.config.descriptor.media_type
    if kind:
        entry["artifactType"] = kind
    if document.annotations:
        entry["annotations"] = document.annotations
    return entry


def _listed_by_tag(repository: Repository, subject: Digest) -> list[Entry]:
    try:
        top, data = repository.manifest(fallback_tag(subject))
    except NotFound:
        return []
    document = parse_document(data, top)
    return list(document.manifests) if isinstance(document, Index) else []


def _entries(page: dict[str, object]) -> list[Entry]:
    data = json.dumps(page).encode()
    return list(parse_index(data, "list of referrers", media_type=mediatype.OCI_INDEX).manifests)
