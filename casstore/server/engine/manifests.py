"""`Descriptor` and `Manifests`: what an image is made of, as dockerd says it since 1.47."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from casstore.model import mediatype
from casstore.model.descriptor import INDEX, MANIFEST
from casstore.model.imageconfig import parse_config
from casstore.model.manifest import Index, Manifest, parse_document
from casstore.model.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Iterator

    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.model.manifest import Entry
    from casstore.ports.blobs import Blobs
    from casstore.ports.view import View
    from casstore.store import Store

# What BuildKit writes beside an attestation in an index.
_TYPE = "vnd.docker.reference.type"
_SUBJECT = "vnd.docker.reference.digest"


def descriptor(of: Descriptor) -> dict[str, Any]:
    """A descriptor as the OCI image-spec writes it."""
    return {"mediaType": of.media_type, "digest": of.digest, "size": of.size}


def summaries(store: Store, image: Digest) -> list[dict[str, Any]]:
    """What an index lists, a summary each; of any other image itself."""
    view, blobs = store.session.view(), store.session.backend.blobs
    top = view.tops_of(image)[0]
    if not mediatype.is_index(top.media_type):
        stored = view.stored_image(image)
        own = Platform(stored.os, stored.architecture, stored.variant)
        return [_image(view, top, own)]
    return [_entry(view, blobs, entry) for entry in _entries(view, blobs, top)]


def _entries(view: View, blobs: Blobs, top: Descriptor) -> Iterator[Entry]:
    document = parse_document(blobs.read(top.digest), top)
    assert isinstance(document, Index)
    for entry in document.manifests:
        below = entry.descriptor
        if mediatype.is_index(below.media_type) and view.blob_state(below.digest) is not None:
            yield from _entries(view, blobs, below)
        else:
            yield entry


def _entry(view: View, blobs: Blobs, entry: Entry) -> dict[str, Any]:
    own = entry.descriptor
    is_here = view.blob_state(own.digest) is not None
    subject = entry.annotations.get(_SUBJECT, "")
    if subject and entry.annotations.get(_TYPE) == "attestation-manifest":
        return _summary(view, own, "attestation", here=is_here) | {
            "AttestationData": {"For": subject}
        }
    platform = entry.platform
    if platform is None and is_here:
        platform = _platform(blobs, own)
    if platform is None:
        return _summary(view, own, "unknown", here=is_here)
    return _image(view, own, platform, here=is_here)


def _image(view: View, own: Descriptor, platform: Platform, *, here: bool = True) -> dict[str, Any]:
    shape = {"architecture": platform.architecture, "os": platform.os}
    if platform.variant:
        shape["variant"] = platform.variant
    summary = _summary(view, own, "image", here=here)
    summary["Descriptor"]["platform"] = shape
    # There is no second, unpacked form of an image here.
    data = {"Platform": shape, "Containers": [], "Size": {"Unpacked": 0}}
    return summary | {"ImageData": data}


def _summary(view: View, own: Descriptor, kind: str, *, here: bool) -> dict[str, Any]:
    stored = sum(_sizes(view, own.digest).values()) if here else 0
    return {
        "ID": own.digest,
        "Descriptor": descriptor(own),
        "Available": here,
        "Size": {"Content": stored, "Total": stored},
        "Kind": kind,
    }


def _sizes(view: View, document: Digest) -> dict[Digest, int]:
    """Bytes as stored of a document and of all that it needs."""
    sizes = {document: view.blob_size(document) or 0}
    for need in view.needs_of(document):
        sizes[need.digest] = need.size
        if need.kind in (INDEX, MANIFEST):
            sizes |= _sizes(view, need.digest)
    return sizes


def _platform(blobs: Blobs, own: Descriptor) -> Platform | None:
    """What the config of a manifest says; None where it has none."""
    if not mediatype.is_manifest(own.media_type):
        return None
    document = parse_document(blobs.read(own.digest), own)
    if not isinstance(document, Manifest) or not document.is_image or document.config is None:
        return None
    config = document.config.descriptor.digest
    found = parse_config(blobs.read(config), config)
    return Platform(found.os, found.architecture, found.variant)
