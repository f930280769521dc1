"""What refers to a manifest in a registry: signatures, SBOMs, attestations.

Asked by the referrers API (distribution-spec 1.1); where a registry has none, by the tag
`sha256-<hex>` whose index lists them (the spec's "Referrers Tag Schema"), which a push keeps up to
date. cosign's tags `sha256-<hex>.sig`, `.att` and `.sbom` are looked for as well.
"""

from __future__ import annotations

import json

from casstore.errors import NotFound, Refused, RegistryError, quote
from casstore.model import mediatype
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest, sha256
from casstore.model.document import MAX_DOCUMENT
from casstore.model.manifest import Entry, Index, Manifest, parse_document, parse_index
from casstore.registry.answer import Answer
from casstore.registry.documents import decoded
from casstore.registry.http import ATTEMPTS
from casstore.registry.pages import pages
from casstore.registry.remote import Repository
from casstore.registry.send import put_manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COSIGN = ("sig", "att", "sbom")
MAX_REFERRERS = 1000  # of one manifest
# A registry without the API says 404; those of before it, or gateways before them, other things
# that mean that the address or the method is not known. All else is a failure.
_NO_API = frozenset((400, 404, 405, 406, 410, 501))


def fallback_tag(subject: Digest) -> str:
    """The tag that lists what refers to `subject`."""
    return f"sha256-{subject.hex}"


def referrers_of(repository: Repository, subject: Digest) -> list[Descriptor]:
    """Descriptors of the manifests that refer to `subject`, each once.

    Raises:
        Refused: the list is malformed or too long.
        RegistryError: the registry cannot be asked; that is not an empty list.
    """
    entries: list[Entry] = []
    is_known = True
    what = f"the list of referrers of {subject}"
    for number, answer in enumerate(pages(repository, f"referrers/{subject}", what)):
        if number == 0 and answer.status in _NO_API:
            answer.close()
            is_known = False
            break
        if answer.status != 200:
            with answer:
                raise _told(repository, answer, what)
        page = _page(answer, what)
        if page is None and number == 0:
            # A proxy, or a registry of before, sends a page for people to every address it does
            # not know, or all of them to a login.
            repository.registry.transport.notice(
                f"{repository.registry.domain} sends no list of what refers to {subject};"
                " looked for it by tags alone"
            )
            is_known = False
            break
        if page is None:
            raise RegistryError(f"{what} breaks off: a page is not an index")
        entries += parse_index(page, what, media_type=mediatype.OCI_INDEX).manifests
        if len(entries) > MAX_REFERRERS:
            raise Refused(f"{subject} has more than {MAX_REFERRERS} referrers")
    if not is_known:
        entries = _listed_by_tag(repository, subject)
    kept: dict[Digest, Descriptor] = {}
    for entry in entries:
        descriptor = entry.descriptor
        if mediatype.is_manifest(descriptor.media_type) or mediatype.is_index(
            descriptor.media_type
        ):
            kept[descriptor.digest] = descriptor
        else:
            repository.registry.transport.notice(
                f"{descriptor.digest}, which refers to {subject}, is of an unknown type"
                f" ({quote(descriptor.media_type)}) and was not fetched"
            )
    return list(kept.values())


def cosign_artifacts(
    repository: Repository, subject: Digest
) -> list[tuple[str, Descriptor, bytes]]:
    """What stands under cosign's tags for `subject`: tag, descriptor and document.

    Asked for by GET: some registries know no HEAD, and say so as if there were nothing.

    Raises:
        RegistryError: a tag cannot be asked for.
    """
    found = []
    for kind in COSIGN:
        tag = f"sha256-{subject.hex}.{kind}"
        try:
            found.append((tag, *repository.manifest(tag)))
        except NotFound:
            continue
    return found


def add_to_list(
    repository: Repository, subject: Digest, artifact: Descriptor, document: Manifest | Index
) -> None:
    """Let the tag that lists the referrers of `subject` list an artifact too.

    Two who do this at once may overwrite each other: it is looked at again, and done again.

    Raises:
        Refused: the tag names something else.
        RegistryError: the list cannot be read or written, or others write it all the time.
    """
    entry = listing_entry(artifact, document)
    tag = fallback_tag(subject)
    for _ in range(ATTEMPTS):
        index: dict[str, Any] = {
            "schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": [],
        }  # fmt: skip
        try:
            top, data = repository.manifest(tag)
        except NotFound:
            pass
        else:
            if top.digest != subject:
                if not mediatype.is_index(top.media_type):
                    raise Refused(f"{repository.shown(tag)} is there, and lists no referrers")
                parse_document(data, top)
                index = json.loads(data)
        listed = index.get("manifests") or []
        if any(one.get("digest") == artifact.digest for one in listed):
            return
        index["manifests"] = [*listed, entry]
        data = json.dumps(index, separators=(",", ":"), ensure_ascii=False).encode()
        media_type = str(index.get("mediaType") or mediatype.OCI_INDEX)
        put_manifest(repository, Descriptor(media_type, sha256(data), len(data)), data, tag)
    raise RegistryError(f"others write {repository.shown(tag)} at the same time: try again")


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
    if top.digest == subject:
        return []  # GitLab's answer to this tag; the subject's own children do not refer to it
    document = parse_document(data, top)
    return list(document.manifests) if isinstance(document, Index) else []


def _page(answer: Answer, what: str) -> bytes | None:
    """A page of a list of referrers; None where it is not an index at all."""
    data = decoded(answer, answer.document(MAX_DOCUMENT, what), MAX_DOCUMENT, what)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or "manifests" not in value:
        return None
    if value["manifests"] is None:
        value["manifests"] = []
    return json.dumps({"schemaVersion": 2, **value}).encode()


def _told(repository: Repository, answer: Answer, what: str) -> RegistryError:
    refusal = repository.refusal(answer, what)
    return refusal if isinstance(refusal, RegistryError) else RegistryError(str(refusal))
