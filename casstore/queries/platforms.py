"""What an index holds: its manifests, each with its platform, and the one for a platform."""

from __future__ import annotations

from casstore.errors import NotFound
from casstore.model import mediatype
from casstore.model.descriptor import LAYER
from casstore.model.manifest import Index, Manifest, choose, parse_document
from casstore.model.platform import Platform, normal, runs, shown
from casstore.results.images import PlatformRow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.model.manifest import Entry
    from casstore.ports.blobs import Blobs
    from casstore.ports.view import View


def platforms_of(view: View, blobs: Blobs, image: Digest) -> list[PlatformRow]:
    """The images in an index, in its order; nothing for an image that is no index."""
    rows = []
    for entry in _entries(view, blobs, view.tops_of(image)[0]):
        config = _config(blobs, entry.descriptor)
        if config is not None and entry.platform is not None:
            size = _file_bytes(view, entry.descriptor.digest)
            name = shown(entry.platform)
            kind, digest, _ = entry.descriptor
            rows.append(PlatformRow(name, config, digest, kind, size))
    return rows


def choose_platform(view: View, blobs: Blobs, image: Digest, platform: Platform) -> PlatformRow:
    """The image for a platform: one in the index, or the image itself if it is for that.

    Raises:
        NotFound: there is none.
    """
    top = view.tops_of(image)[0]
    entries = _entries(view, blobs, top)
    chosen = choose(entries, platform) if entries else None
    config = _config(blobs, chosen.descriptor) if chosen is not None else None
    if chosen is not None and config is not None:
        name = shown(chosen.platform or platform)
        size = _file_bytes(view, chosen.descriptor.digest)
        return PlatformRow(
            name, config, chosen.descriptor.digest, chosen.descriptor.media_type, size
        )
    stored = view.stored_image(image)
    own = Platform(stored.os, stored.architecture, stored.variant)
    if entries or normal(own) not in runs(platform):
        raise NotFound(f"the image is not there for the platform {shown(platform)}")
    size = _file_bytes(view, top.digest)
    return PlatformRow(shown(own), image, top.digest, top.media_type, size)


def _entries(view: View, blobs: Blobs, top: Descriptor) -> list[Entry]:
    """What an index lists and the store has, through indexes within it."""
    if not mediatype.is_index(top.media_type):
        return []
    document = parse_document(blobs.read(top.digest), top)
    assert isinstance(document, Index)
    here = {need.digest for need in view.needs_of(top.digest)}
    found: list[Entry] = []
    for entry in document.manifests:
        if entry.descriptor.digest in here:
            below = _entries(view, blobs, entry.descriptor)
            found += below or [entry]
    return found


def _config(blobs: Blobs, descriptor: Descriptor) -> Digest | None:
    """The image ID of a manifest; None for what is no image (an attestation, say)."""
    if not mediatype.is_manifest(descriptor.media_type):
        return None
    document = parse_document(blobs.read(descriptor.digest), descriptor)
    if not isinstance(document, Manifest) or not document.is_image or document.config is None:
        return None
    return document.config.descriptor.digest


def _file_bytes(view: View, manifest: Digest) -> int:
    return sum(need.file_bytes for need in view.needs_of(manifest) if need.kind == LAYER)
