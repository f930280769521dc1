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
    from collections.abc import Callable

    from casstore.ports.ingest import Intake
    from casstore.transfer.archive import Archive
    from casstore.transfer.compress import Compression

LAYOUT_VERSION = "1.0.0"
LAYOUT_FILE = Keys({}, "imageLayoutVersion")


def read_layout(
    archive: Archive,
    intake: Intake,
    notices: list[str],
    *,
    compression: Compression,
    link: bool = False,
    pulse: Callable[[], None] | None = None,
) -> list[Arrival]:
    """Stage all that `index.json` lists.

    Args:
        archive: the layout.
        intake: where blobs are staged.
        notices: gets a line for each thing that is in the layout and does not come in.
        compression: for what a hybrid's `manifest.json` lists.
        link: take blobs of a directory by hard link or reflink where that is possible.
        pulse: called in this thread some times a second while it waits for others.

    Raises:
        Refused: anything wrong with it.
    """
    check_layout_version(archive)
    index = parse_index_json(archive.read(INDEX_JSON, MAX_INDEX_JSON))
    items = read_manifest_json(archive) if archive.has(MANIFEST_JSON) else []
    if items and hybrid.says_it_all(archive, index, items, blob_name):
        return read_items(archive, items, intake, compression, any_os=True)
    tops = [
        top
        for top in dict.fromkeys(entry.descriptor for entry in index.manifests)
        if is_document(top) or _has_other(top, archive, intake, notices)
    ]
    records = stage_trees(
        tops, archive, intake, notices,
        name_of=lambda blob: blob_name(blob.digest), link=link, pulse=pulse,
    )  # fmt: skip
    arrivals = arrivals_of(index.manifests, records, archive.stem, notices)
    return hybrid.merged(archive, arrivals, items, intake, compression)


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


def _has_other(top: Descriptor, archive: Archive, intake: Intake, notices: list[str]) -> bool:
    """Whether what is no image is here; a notice says what is not."""
    if is_in(archive, blob_name(top.digest)) or intake.has(top.digest) is not None:
        return True
    notices.append(
        f"{INDEX_JSON} lists {top.digest} of the type {quote(top.media_type)}, which is no "
        "image and not here"
    )
    return False
