"""sign and verify, as the store sees them: which manifest is meant, and where its signatures are.

A signature is stored where cosign would push it: in the artifact `REPOSITORY:sha256-<hex>.sig`,
which grows with each signature; or as an OCI 1.1 referrer, an artifact without a name whose
`subject` is the manifest. verify looks in both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from casstore.change.admission import admit_arrivals
from casstore.errors import Refused
from casstore.flows.signatureunion import drop_unnamed
from casstore.model.descriptor import Descriptor
from casstore.model.document import read as read_document
from casstore.model.imagetree import read_tree
from casstore.model.keys import SIGN
from casstore.model.manifest import DOCUMENT, Manifest, parse_document, parse_manifest
from casstore.model.mediatype import OCI_MANIFEST, is_manifest
from casstore.model.record import Arrival
from casstore.model.reference import DEFAULT_DOMAIN, LEGACY_DEFAULT_DOMAIN, Reference
from casstore.model.signatures import layer_of, payloads_of, signature_tag, write_documents
from casstore.results.trust import Signed, Verified
from casstore.rules.resolve import resolve
from casstore.startup.value import Value
from casstore.transfer.stagedtree import StagedTree
from casstore.trust import keys
from casstore.trust.cosign import check_signature
from casstore.trust.identity import Identity, identity_of, matches_as_far_as_claimed
from casstore.trust.payload import MAX_PAYLOAD, write_payload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from casstore.change.commit import Change
    from casstore.model.digest import Digest
    from casstore.ports.ingest import Ingest
    from casstore.ports.view import View

TAG, REFERRER = "tag", "referrer"
KINDS = (TAG, REFERRER)


class Target(Value):
    """The manifest that an IMAGE argument means, and the name by which it is meant."""

    name: Reference
    top: Descriptor

    @property
    def shown(self) -> str:
        """How messages name it."""
        return f"{self.name.familiar} ({self.top.digest})"


def target_of(view: View, argument: str) -> Target:
    """The manifest to sign or to verify.

    Raises:
        NotFound, InvalidReference: as `resolve`.
        Refused: an ID of an image that is in no repository, in several, or has several manifests.
    """
    found = resolve(view, argument)
    if found.name is not None:
        name = found.name.reference
        top = view.top_named(name)
        assert top is not None
        return Target(name, top)
    attached = view.references_of(found.image)
    if not attached:
        raise Refused(f"image {found.image.short} has no name, so no repository for signatures")
    repositories = {one.name.repository for one in attached}
    manifests = {one.manifest for one in attached}
    if len(repositories) > 1 or len(manifests) > 1:
        what = "repositories" if len(repositories) > 1 else "manifests"
        raise Refused(
            f"image {found.image.short} is in several {what}: give the name that is meant"
        )
    top = next(t for t in view.tops_of(found.image) if t.digest in manifests)
    return Target(Reference(f"{repositories.pop()}@{top.digest}"), top)


def sign_images(
    change: Change,
    ingest: Ingest,
    images: Sequence[str],
    key: keys.PrivateKey,
    *,
    annotations: Mapping[str, str],
    kind: str,
) -> list[Signed]:
    """Sign each image in one change, which the caller commits; see `Store.sign`."""
    # Each on what the last one left: an artifact of signatures, signed itself, may have grown.
    return [
        _sign(
            change, ingest, target_of(change.index, image), key, annotations=annotations, kind=kind
        )
        for image in images
    ]


def _sign(
    change: Change,
    ingest: Ingest,
    target: Target,
    key: keys.PrivateKey,
    *,
    annotations: Mapping[str, str],
    kind: str,
) -> Signed:
    digest = target.top.digest
    payload = write_payload(signed_repository(target.name), digest, annotations)
    layer = layer_of(payload, keys.sign(key, payload))
    ingest.add(payload)
    if kind == REFERRER:
        documents = write_documents([layer], subject=target.top)
        name = None
    else:
        name = Reference(f"{target.name.repository}:{signature_tag(digest)}")
        older = _artifact(change.index, ingest.read, name)
        layers = [*older.get("layers", ()), layer]
        documents = write_documents(layers, annotations=older.get("annotations"))
    ingest.add(documents.config)
    manifest = ingest.add(documents.manifest)
    top = Descriptor(OCI_MANIFEST, manifest, len(documents.manifest))
    image = read_tree(top, StagedTree(ingest))
    arrival = Arrival(image, (name,) if name is not None else (), None)
    (admitted,) = admit_arrivals(change.index, [arrival], action=SIGN)
    drop_unnamed(change, [moved.old for moved in admitted.renamed])
    return Signed(target.name, digest, name, manifest)


def signed_repository(name: Reference) -> str:
    """The repository as cosign writes it into a payload: Docker Hub by its old name."""
    repository = name.repository
    if repository.startswith(DEFAULT_DOMAIN + "/"):
        return LEGACY_DEFAULT_DOMAIN + repository[len(DEFAULT_DOMAIN) :]
    return repository


def _artifact(view: View, read: Callable[[Digest], bytes], name: Reference) -> dict[str, Any]:
    """The manifest that a signature tag names now, as JSON; empty where there is none."""
    top = view.top_named(name)
    if top is None:
        return {}
    document: dict[str, Any] = {}
    if is_manifest(top.media_type):
        data = read(top.digest)
        manifest = parse_manifest(data, f"manifest {top.digest}", media_type=top.media_type)
        if len(payloads_of(manifest)) == len(manifest.layers):
            document = read_document(data, f"manifest {top.digest}", DOCUMENT)
    if not document:
        raise Refused(f"{name.familiar} is there, and is not an artifact of signatures")
    return document


def verify_image(
    view: View,
    read: Callable[[Digest], bytes],
    argument: str,
    key: keys.PublicKey,
    *,
    annotations: Mapping[str, str],
    identity: Identity | None,
) -> Verified:
    """The good signatures of an image; see `Store.verify`.

    Raises:
        Refused: there is none; the message says what is wrong with each.
    """
    target = target_of(view, argument)
    wanted = identity or identity_of(target.name)
    good, reasons = [], []
    for number, (payload, notes) in enumerate(signatures_of(view, read, target), 1):
        try:
            check_signature(
                payload,
                notes,
                key=key,
                digest=target.top.digest,
                identity=wanted,
                matches=matches_as_far_as_claimed,
                wanted=annotations,
            )
            good.append(payload)
        except Refused as refusal:
            reasons.append(f"signature {number} {refusal}")
    if not good:
        why = "; ".join(reasons) if reasons else "it has no signatures"
        raise Refused(f"{target.shown} is not verified: {why}")
    return Verified(target.name, target.top.digest, tuple(good))


def signatures_of(
    view: View, read: Callable[[Digest], bytes], target: Target
) -> Iterator[tuple[bytes, Mapping[str, str]]]:
    """Payload and annotations of each signature: those of the tag first, then of referrers."""
    name = Reference(f"{target.name.repository}:{signature_tag(target.top.digest)}")
    tagged = view.top_named(name)
    tops = [tagged] if tagged is not None and is_manifest(tagged.media_type) else []
    for top in [*tops, *_referrers(view, read, target.top.digest)]:
        manifest = parse_document(read(top.digest), top)
        assert isinstance(manifest, Manifest)
        for entry in payloads_of(manifest):
            if entry.descriptor.size <= MAX_PAYLOAD:
                yield read(entry.descriptor.digest), entry.annotations


def _referrers(view: View, read: Callable[[Digest], bytes], digest: Digest) -> Iterator[Descriptor]:
    """Artifacts whose `subject` is a manifest; not those that only a tag attaches to it."""
    for image in view.referrers_of(digest):
        for top in view.tops_of(image):
            if not is_manifest(top.media_type):
                continue
            manifest = parse_document(read(top.digest), top)
            assert isinstance(manifest, Manifest)
            if manifest.subject is not None and manifest.subject.descriptor.digest == digest:
                yield top
