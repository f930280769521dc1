"""OCI layouts in, as directory or archive: every blob kept byte for byte.

Each descriptor in `index.json` becomes an arrival: a manifest, or an index with all that it
holds (archivedtree.py). What is listed and is no image at all is kept as it is.

Names: see layoutnames.py. A `manifest.json` beside `index.json`: see hybrid.py.
"""

from __future__ import annotations

from casstore.errors import Refused, quote
from casstore.model.descriptor import Descriptor
from casstore.model.document import MAX_INDEX_JSON
from casstore.model.manifest import INDEX_JSON, OCI_LAYOUT, parse_index_json
from casstore.model.record import Arrival
from casstore.model.treechecks import is_document
from casstore.transfer import dockerarchive, hybrid
from casstore.transfer.archivedtree import is_in, stage_trees
from casstore.transfer.dockerarchive import MANIFEST_JSON, read_items, read_manifest_json
from casstore.transfer.layerlist import layers_of_trees
from casstore.transfer.layoutlist import blob_name, check_layout_version
from casstore.transfer.layoutnames import arrivals_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.transfer.archive import Archive
    from casstore.transfer.formats import Listed, Loading


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
    if items and hybrid.says_it_all(archive, index, items, loading.thin):
        return read_items(archive, items, intake, loading.compression, any_os=True)
    tops = [
        top
        for top in dict.fromkeys(entry.descriptor for entry in index.manifests)
        if is_document(top) or _has_other(top, archive, loading)
    ]
    records = stage_trees(tops, archive, loading, lambda blob: blob_name(blob.digest))
    arrivals = arrivals_of(index.manifests, records, archive.stem, loading.notices)
    return hybrid.merged(archive, arrivals, items, intake, loading.compression)


def layers(archive: Archive) -> Listed:
    """The layers of all that is listed; see `formats.Reader`."""
    index = parse_index_json(archive.read(INDEX_JSON, MAX_INDEX_JSON))
    tops = [entry.descriptor for entry in index.manifests if is_document(entry.descriptor)]
    listed = layers_of_trees(tops, archive, lambda blob: blob_name(blob.digest))
    if archive.has(MANIFEST_JSON):
        listed.diff_ids.update(dockerarchive.layers(archive).diff_ids)
    return listed


def _has_other(top: Descriptor, archive: Archive, loading: Loading) -> bool:
    """Whether what is no image is here; a notice says what is not."""
    if is_in(archive, blob_name(top.digest)) or loading.intake.has(top.digest) is not None:
        return True
    loading.notices.append(
        f"{INDEX_JSON} lists {top.digest} of the type {quote(top.media_type)}, which is no "
        "image and not here"
    )
    return False
