"""Archives with both lists of images: `index.json` of OCI, and `manifest.json` of Docker.

Docker 25 and later, BuildKit and Bazel write them. The two lists need not agree: Docker has left
images out of index.json, and names out of manifest.json. All that either lists comes in, with the
names of both.
"""

from __future__ import annotations

from casstore.errors import InvalidReference
from casstore.model import mediatype
from casstore.model.digest import sha256
from casstore.model.document import MAX_DOCUMENT
from casstore.model.manifest import Manifest, parse_document
from casstore.model.record import Arrival
from casstore.transfer.dockerarchive import read_items
from casstore.transfer.layerstream import HEAD_SIZE, NONE, compression_of
from casstore.transfer.layoutlist import blob_name
from casstore.transfer.layoutnames import names_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from casstore.model.digest import Digest
    from casstore.model.manifest import Entry, Index
    from casstore.model.reference import Reference
    from casstore.ports.ingest import Intake
    from casstore.transfer.archive import Archive
    from casstore.transfer.compress import Compression
    from casstore.transfer.dockerarchive import Item
    from casstore.transfer.thin import Thin


def says_it_all(
    archive: Archive, index: Index, items: Sequence[Item], thin: Thin | None = None
) -> bool:
    """Whether `manifest.json` says all that the index says, of layers that are plain tars.

    Docker with its graph drivers writes such ones; read as docker archives their layers are
    compressed. A layer that is left out by its diff ID is a plain tar, too.
    """
    left_out = thin.digests if thin is not None else ()
    configs = {_promised(item.config) for item in items}
    names = {name for item in items for name in item.names}
    for entry in index.manifests:
        if not mediatype.is_manifest(entry.descriptor.media_type):
            return False
        if not names.issuperset(_names(entry)):
            return False
        name = blob_name(entry.descriptor.digest)
        if not archive.has(name):
            return False
        manifest = parse_document(archive.read(name, MAX_DOCUMENT), entry.descriptor)
        if not isinstance(manifest, Manifest) or manifest.config is None:
            return False
        if manifest.config.descriptor.digest not in configs:
            return False
    paths = {path for item in items for path in item.layers}
    return bool(paths) and all(
        _promised(path) in left_out or _is_plain(archive, path) for path in paths
    )


def merged(
    archive: Archive,
    arrivals: Sequence[Arrival],
    items: Sequence[Item],
    intake: Intake,
    compression: Compression,
) -> list[Arrival]:
    """What the index brings, with the images, names and parents that `manifest.json` adds."""
    result = list(arrivals)
    rest: list[Item] = []
    given = {name for arrival in arrivals for name in arrival.names}
    for item in items:
        image_id = sha256(archive.read(item.config, MAX_DOCUMENT))
        place = _holder(result, image_id)
        if place is None:
            rest.append(item)
            continue
        arrival = result[place]
        new = tuple(name for name in dict.fromkeys(item.names) if name not in given)
        given.update(new)
        parent = item.parent if arrival.image.id == image_id else None
        result[place] = Arrival(arrival.image, arrival.names + new, arrival.parent or parent)
    here = {arrival.image.id for arrival in result}
    more = read_items(archive, rest, intake, compression, any_os=True, others=here)
    return result + [
        Arrival(one.image, tuple(name for name in one.names if name not in given), one.parent)
        for one in more
    ]


def _names(entry: Entry) -> tuple[Reference, ...]:
    try:
        return names_of(entry.annotations, entry.descriptor.digest, None)
    except InvalidReference:
        return ()


def _promised(path: str) -> str:
    """The digest that a path of a hybrid promises: `blobs/sha256/<hex>`."""
    return "sha256:" + path.rpartition("/")[2].removesuffix(".json")


def _is_plain(archive: Archive, path: str) -> bool:
    if not archive.has(path):
        return False
    with archive.open(path) as file:
        return compression_of(file.read(HEAD_SIZE)) == NONE


def _holder(arrivals: Iterable[Arrival], image_id: Digest) -> int | None:
    """Which arrival is the image, or else the first that has it among its platforms."""
    within: int | None = None
    for place, arrival in enumerate(arrivals):
        if arrival.image.id == image_id:
            return place
        if within is None and any(blob.digest == image_id for blob in arrival.image.blobs):
            within = place
    return within
