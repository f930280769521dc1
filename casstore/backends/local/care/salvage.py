"""Images from blobs alone, when index.json is lost, and casstore.db is lost or of no use.

Blobs have no names, so neither do the images; but every document that is a manifest or an index,
and that no other document lists, is the top of an image. Only `fsck --rebuild` does this: nobody
shall mistake a guess for the store.
"""

from __future__ import annotations

from casstore.backends.local.care.listed import layout_of
from casstore.errors import CasstoreError
from casstore.files import durable
from casstore.model import document, mediatype
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest
from casstore.model.document import MAX_DOCUMENT, Fields
from casstore.model.manifest import DOCUMENT, Index, parse_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.backends.local.directory import LocalStore


def write_salvaged_index(disk: LocalStore) -> str:
    """Write an index.json of all images that the blobs make; the lock is held.

    Returns:
        A line for the user.
    """
    tops: dict[Digest, Descriptor] = {}
    listed: set[Digest] = set()
    for _, digest, size, _, _ in disk.blobs.walk():
        if digest is None or size > MAX_DOCUMENT:
            continue
        try:
            data = disk.blobs.read(digest)
            top = top_of(digest, data)
            if top is None:
                continue
            parsed = parse_document(data, top)
        except CasstoreError:
            continue
        tops[digest] = top
        if isinstance(parsed, Index):
            listed.update(entry.descriptor.digest for entry in parsed.manifests)
    images = [
        {"mediaType": top.media_type, "digest": digest, "size": top.size}
        for digest, top in sorted(tops.items())
        if digest not in listed
    ]
    with durable.replace_file(disk.layout.path, f"{disk.ingest}/index.json") as new:
        new.file.write(layout_of(images))
    return f"index.json was lost: {len(images)} images without names were found among the blobs"


def top_of(digest: Digest, data: bytes) -> Descriptor | None:
    """A descriptor for the bytes of a manifest or an index; None for anything else."""
    if data.lstrip()[:1] != b"{":
        return None
    name = f"blob {digest}"
    fields = Fields(document.read(data, name, DOCUMENT), name)
    kind = fields.text("mediaType")
    if not kind:
        shown = (("manifests", mediatype.OCI_INDEX), ("layers", mediatype.OCI_MANIFEST))
        kind = next((kind for key, kind in shown if key in fields), "")
    if not (mediatype.is_manifest(kind) or mediatype.is_index(kind)):
        return None
    return Descriptor(kind, digest, len(data))
