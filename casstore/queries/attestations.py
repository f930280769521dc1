"""The attestations and SBOMs of an image that are in the store, and what they are worth.

They are looked for where others keep them: in manifests that BuildKit lists in the image's own
index; in artifacts whose `subject` is a manifest of the image (OCI 1.1); and in artifacts that a
tag attaches to it, as cosign's `sha256-<hex>.att` and `.sbom`.

Where a document is found proves nothing. A statement is of the image only if its subjects name one
of the image's manifests. Whoever can write to the store can write there: only a signature proves
who said it. A document that cannot be read is told with the others, and hides none of them.
"""

from __future__ import annotations

from casstore.errors import Refused
from casstore.model import mediatype
from casstore.model.attestationtypes import (
    ATTESTATION_MANIFEST,
    BOM,
    ENVELOPE,
    PLAIN,
    REFERENCE_DIGEST,
    REFERENCE_TYPE,
    STATEMENT,
    document_type,
)
from casstore.model.digest import Digest
from casstore.model.document import read as read_document
from casstore.model.dsse import (
    MAX_ENVELOPE,
    Envelope,
    MessageSignature,
    parse_bundle,
    parse_envelope,
)
from casstore.model.intoto import MAX_STATEMENT, parse_statement
from casstore.model.manifest import Index, Manifest, parse_document
from casstore.model.reference import subject_of
from casstore.model.shape import anything
from casstore.queries.platforms import choose_platform
from casstore.results.trust import Attestation
from casstore.rules.resolve import resolve
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from casstore.model.descriptor import Descriptor
    from casstore.model.manifest import Entry
    from casstore.model.platform import Platform
    from casstore.model.reference import Reference
    from casstore.ports.blobs import Blobs
    from casstore.ports.view import View
    from casstore.trust.keys import PublicKey

IN_INDEX, REFERRER, TAG = "index", "referrer", "tag"
MAX_ATTESTATIONS = 1000  # of one image
MAX_BYTES = 256 << 20  # of the documents of one image, all of which are in memory


class _Place(Value):
    """A manifest that may hold attestations."""

    found: str
    name: Reference | None
    attached: Digest
    top: Descriptor


class Scope(Value):
    """The manifests and indexes that are meant by an image."""

    meant: frozenset[Digest]
    is_all: bool  # whether all are meant
    all: tuple[Digest, ...]
    places: tuple[_Place, ...]  # in its index


def attestations_of(
    view: View,
    blobs: Blobs,
    argument: str,
    *,
    platform: Platform | None = None,
    key: PublicKey | None = None,
) -> list[Attestation]:
    """What there is for an image: from its index first, then from referrers, oldest first.

    Args:
        platform: only what is about the image for it; else about any manifest of IMAGE.
        key: verify signatures with it.

    Raises:
        NotFound: no such image, or it is not there for the platform.
        Refused: there is more than anybody should have to read.
        InvalidReference, Damaged.
    """
    with view.snapshot():  # an artifact may go between two looks
        scope = scope_of(view, blobs, argument, platform)
        return read_in(view, blobs, scope, key)


def scope_of(view: View, blobs: Blobs, argument: str, platform: Platform | None) -> Scope:
    """What an IMAGE argument means; with `platform` only the manifest for it.

    Raises:
        NotFound, InvalidReference, Damaged: as `attestations_of`.
    """
    found = resolve(view, argument)
    named = view.top_named(found.name.reference) if found.name is not None else None
    tops = [named] if named is not None else view.tops_of(found.image)
    documents: dict[Digest, None] = {}
    places: list[_Place] = []
    for top in tops:
        _look_into(view, blobs, top, documents, places)
    meant = frozenset(documents)
    if platform is not None:
        row = choose_platform(view, blobs, found.image, platform)
        if any(mediatype.is_index(top.media_type) for top in tops):
            meant = frozenset((row.manifest,))
    return Scope(meant, platform is None, tuple(documents), tuple(places))


def _look_into(
    view: View,
    blobs: Blobs,
    top: Descriptor,
    documents: dict[Digest, None],
    places: list[_Place],
) -> None:
    """Note an image's documents, and what BuildKit has put beside them."""
    if top.digest in documents:
        return
    documents[top.digest] = None
    if not mediatype.is_index(top.media_type):
        return
    here = {need.digest for need in view.needs_of(top.digest)}
    index = parse_document(blobs.read(top.digest), top)
    assert isinstance(index, Index)
    for entry in index.manifests:
        kind = entry.descriptor.media_type
        if entry.descriptor.digest not in here:
            continue
        if entry.annotations.get(REFERENCE_TYPE) == ATTESTATION_MANIFEST:
            about = _digest(entry.annotations.get(REFERENCE_DIGEST)) or top.digest
            if mediatype.is_manifest(kind):
                places.append(_Place(IN_INDEX, None, about, entry.descriptor))
        elif mediatype.is_manifest(kind) or mediatype.is_index(kind):
            _look_into(view, blobs, entry.descriptor, documents, places)


def _digest(text: str | None) -> Digest | None:
    try:
        return Digest.parse(text)
    except Refused:
        return None


def _attached(view: View, blobs: Blobs, document: Digest) -> Iterator[_Place]:
    """Manifests of the artifacts that refer to a document, by `subject` or by a tag."""
    for artifact in view.referrers_of(document):
        names = [one.name for one in view.references_of(artifact)]
        name = next((name for name in names if subject_of(name) == document), None)
        for top in view.tops_of(artifact):
            for manifest, has_subject in _manifests(view, blobs, top, document):
                if has_subject:
                    yield _Place(REFERRER, None, document, manifest)
                elif name is not None:
                    yield _Place(TAG, name, document, manifest)


def _manifests(
    view: View, blobs: Blobs, top: Descriptor, document: Digest
) -> Iterator[tuple[Descriptor, bool]]:
    """A manifest, or those in an index, each with whether its subject is `document`.

    An index stands under the tag `sha256-<hex>` where a registry has no list of referrers.
    """
    if not (mediatype.is_manifest(top.media_type) or mediatype.is_index(top.media_type)):
        return
    parsed = parse_document(blobs.read(top.digest), top)
    if isinstance(parsed, Manifest):
        yield top, parsed.subject is not None and parsed.subject.descriptor.digest == document
        return
    here = {need.digest for need in view.needs_of(top.digest)}
    for entry in parsed.manifests:
        if entry.descriptor.digest in here and mediatype.is_manifest(entry.descriptor.media_type):
            yield from _manifests(view, blobs, entry.descriptor, document)


def read_in(view: View, blobs: Blobs, scope: Scope, key: PublicKey | None) -> list[Attestation]:
    """What is attached to what is meant, or says that it is about it.

    Raises:
        Refused, Damaged: as `attestations_of`.
    """
    places = list(scope.places)
    for document in scope.all:
        places += _attached(view, blobs, document)
    found: list[Attestation] = []
    count = size = 0
    for place in dict.fromkeys(places):
        manifest = parse_document(blobs.read(place.top.digest), place.top)
        assert isinstance(manifest, Manifest)
        for entry in manifest.layers:
            kind = document_type(entry, manifest)
            if not kind or entry.descriptor.media_type == mediatype.OCI_EMPTY:
                continue
            one = _attestation(blobs, _Document(place, entry, kind), scope.meant, key)
            about = {place.attached, *one.subjects}
            if scope.is_all or not scope.meant.isdisjoint(about):
                found.append(one)
                size += len(one.statement)
            count += 1
            if count > MAX_ATTESTATIONS or size > MAX_BYTES:
                raise Refused(
                    f"there are more than {MAX_ATTESTATIONS} attestations, "
                    f"or more than {MAX_BYTES} bytes of them"
                )
    return found


class _Document(Value):
    """A document, and of what type it is."""

    place: _Place
    entry: Entry
    kind: str


class _Content(Value):
    """What is in a document."""

    predicate_type: str = ""
    subjects: tuple[Digest, ...] = ()
    statement: bytes = b""
    signed_bytes: bytes = b""
    signatures: tuple[bytes, ...] = ()


def _attestation(
    blobs: Blobs, document: _Document, meant: frozenset[Digest], key: PublicKey | None
) -> Attestation:
    place, entry, kind = document
    _, digest, size = entry.descriptor
    content, problem = _Content(), ""
    try:
        content = _content(blobs, document, meant)
    except Refused as refusal:
        problem = str(refusal)
    if kind in PLAIN or (kind == STATEMENT and place.found == IN_INDEX and not content.subjects):
        # A plain document names nothing; nor does BuildKit, where an image is built without a name.
        # A signed statement must name the image: it could be moved to any other.
        of_image = place.attached in meant
    else:
        of_image = not meant.isdisjoint(content.subjects)
    verified = None
    if key is not None:
        verified = of_image and _is_signed(key, content.signed_bytes, content.signatures)
    return Attestation(
        place.found,
        place.name,
        place.attached,
        place.top.digest,
        digest,
        size,
        kind,
        content.predicate_type,
        content.subjects,
        of_image and not problem,
        bool(content.signatures),
        verified,
        problem,
        content.statement,
    )


def _content(blobs: Blobs, document: _Document, meant: frozenset[Digest]) -> _Content:
    place, entry, kind = document
    digest = entry.descriptor.digest
    name = f"attestation {digest}"
    limit = MAX_STATEMENT if kind in PLAIN or kind == STATEMENT else MAX_ENVELOPE
    if entry.descriptor.size > limit:
        raise Refused(f"{name} exceeds the limit of {limit} bytes")
    data = blobs.read(digest, limit)
    if kind in PLAIN:
        if kind.endswith("+json"):  # some programs begin it with a byte order mark
            read_document(data.removeprefix(BOM), name, anything, limit=limit)
        return _Content(PLAIN[kind], (), data)
    if kind == STATEMENT:
        statement = parse_statement(data, name)
        return _Content(statement.predicate_type, statement.subjects, data)
    signed = parse_envelope(data, name) if kind == ENVELOPE else parse_bundle(data, name)
    if isinstance(signed, MessageSignature):
        # over the artifact's own bytes, which are those of the manifest that it is attached to
        is_own = signed.digest == place.attached and place.attached in meant
        own = blobs.read(place.attached) if is_own else b""
        return _Content("", (signed.digest,), b"", own, (signed.signature,))
    return _of_envelope(signed, name)


def _of_envelope(envelope: Envelope, name: str) -> _Content:
    statement = parse_statement(envelope.payload, f"statement in {name}")
    return _Content(
        statement.predicate_type,
        statement.subjects,
        envelope.payload,
        envelope.signed_bytes,
        envelope.signatures,
    )


def _is_signed(key: PublicKey, data: bytes, signatures: Sequence[bytes]) -> bool:
    from casstore.trust import keys  # needs a package of its own

    return bool(data) and any(keys.is_signed(key, data, one) for one in signatures)
