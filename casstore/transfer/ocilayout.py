"""OCI layouts in, as directory or archive: every blob kept byte for byte.

Each descriptor in `index.json` becomes an arrival: a manifest, or an index with all that it
holds (archivedtree.py). What is listed and is no image at all is kept as it is.

Names: see layoutnames.py. A `manifest.json` beside `index.json`: see hybrid.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from casstore.errors import Refused, quote
from casstore.model import document
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest
from casstore.model.document import MAX_DOCUMENT, MAX_INDEX_JSON, Fields
from casstore.model.imagetree import is_document
from casstore.model.manifest import INDEX_JSON, OCI_LAYOUT, parse_index_json
from casstore.model.record import Arrival
from casstore.model.shape import Keys
from casstore.transfer import hybrid
from casstore.transfer.archivedtree import is_in, stage_trees
from casstore.transfer.dockerarchive import MANIFEST_JSON, read_items, read_manifest_json
from casstore.transfer.layoutnames import arrivals_of

if TYPE_CHECKING:
    from casstore.transfer.archive import Archive
    from casstore.transfer.formats import Loading

LAYOUT_VERSION = "1.0.0"
LAYOUT_FILE = Keys({}, "imageLayoutVersion")


def read(archive: Archive, loading: Loading) -> list[Arrival]:
    """Stage all that `index.json` lists; see `formats.Reader`.

    Raises:
        Refused: anything wrong with it.
    """
    if not archive.has(OCI_LAYOUT):
        raise Refused(f"{quote(archive.label)} has an {INDEX_JSON} but no {OCI_LAYOUT} file")
    if not archive.has(INDEX_JSON):
        raise Refused(f"{quote(archive.label)} has an {OCI_LAYOUT} file but no {INDEX_JSON}")
    check_layout_version(archive)
    intake = loading.intake
    index = parse_index_json(archive.read(INDEX_JSON, MAX_INDEX_JSON))
    items = read_manifest_json(archive) if archive.has(MANIFEST_JSON) else []
    if items and hybrid.says_it_all(archive, index, items, blob_name):
        return read_items(archive, items, intake, loading.compression, any_os=True)
    tops = [
        top
        for top in dict.fromkeys(entry.descriptor for entry in index.manifests)
        if is_document(top) or _has_other(top, archive, loading)
    ]
    records = stage_trees(tops, archive, loading, lambda blob: blob_name(blob.digest))
    arrivals = arrivals_of(index.manifests, records, archive.stem, loading.notices)
    return hybrid.merged(archive, arrivals, items, intake, loading.compression)


def check_layout_version(archive: Archive) -> None:
    """Refuse a layout of another version than 1.0.0."""
    data = archive.read(OCI_LAYOUT, MAX_DOCUMENT)
    fields = Fields(document.read(data, OCI_LAYOUT, LAYOUT_FILE), OCI_LAYOUT)
    version = fields.text("imageLayoutVersion")
    if version != LAYOUT_VERSION:
        raise Refused(
            f"{OCI_LAYOUT} has the version {quote(version)}, only {LAYOUT_VERSION} is known"
        )


def blob_name(digest: Digest) -> str:
    """Where a layout has the blob."""
    return f"blobs/sha256/{digest.hex}"


def _has_other(top: Descriptor, archive: Archive, loading: Loading) -> bool:
    """Whether what is no image is here; a notice says what is not."""
    if is_in(archive, blob_name(top.digest)) or loading.intake.has(top.digest) is not None:
        return True
    loading.notices.append(
        f"{INDEX_JSON} lists {top.digest} of the type {quote(top.media_type)}, which is no "
        "image and not here"
    )
    return False
