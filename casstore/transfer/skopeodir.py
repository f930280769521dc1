"""skopeo's `dir:` in: one image in a directory of files, none of which says its name.

`manifest.json` is the manifest, or the index, byte for byte. Manifests that an index lists are
`<hex>.manifest.json`, all other blobs are called by the hex digits of their digests alone, and
`version` says that it is such a directory. The image comes in without a name.

Signatures are not taken, and a notice says which stay behind: `signature-1`, `<hex>.signature-1`
and so on are GPG's simple signing, which casstore does not check, or cosign's signatures in a form
that only containers/image knows, with no repository to keep them in.
Source: containers/image, directory/directory_transport.go and directory_src.go.
"""

from __future__ import annotations

from casstore.errors import Refused, quote
from casstore.model import document, mediatype
from casstore.model.descriptor import INDEX, MANIFEST, Descriptor
from casstore.model.digest import sha256
from casstore.model.document import MAX_DOCUMENT, Fields
from casstore.model.manifest import DOCUMENT, unknown_type
from casstore.model.record import Arrival
from casstore.model.treechecks import is_document
from casstore.transfer.archivedtree import stage_trees
from casstore.transfer.layerlist import layers_of_trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from casstore.model.record import ImageRecord
    from casstore.transfer.archive import Archive
    from casstore.transfer.formats import Listed, Loading

MANIFEST_JSON = "manifest.json"
VERSION = "version"
# 1.2 is written where a digest is not a sha256, and refused for that digest's sake.
VERSIONS = ("Directory Transport Version: 1.1", "Directory Transport Version: 1.2")
MAX_VERSION = 1024  # bytes
MAX_TOLD = 3  # signatures that a notice names


def read(archive: Archive, loading: Loading) -> list[Arrival]:
    """Stage the image; see `formats.Reader`.

    Raises:
        Refused: anything wrong with it.
    """
    top, name_of = _tree(archive)
    image = stage_trees([top], archive, loading, name_of)[top]
    left = list(_signatures(archive, image))
    if left:
        more = ", …" if len(left) > MAX_TOLD else ""
        loading.notices.append(
            f"signatures that are files of {quote(archive.label)} do not come in: "
            f"{', '.join(left[:MAX_TOLD])}{more}"
        )
    return [Arrival(image, (), None)]


def layers(archive: Archive) -> Listed:
    """The layers of the image; see `formats.Reader`."""
    top, name_of = _tree(archive)
    return layers_of_trees([top], archive, name_of)


def _tree(archive: Archive) -> tuple[Descriptor, Callable[[Descriptor], str]]:
    """The manifest or index, and what the files of blobs are called."""
    _check_version(archive)
    data = archive.read(MANIFEST_JSON, MAX_DOCUMENT)
    top = Descriptor(_media_type(data), sha256(data), len(data))
    if not is_document(top):
        raise unknown_type(top)

    def name_of(blob: Descriptor) -> str:
        if blob == top:
            return MANIFEST_JSON
        listed = f"{blob.digest.hex}.{MANIFEST_JSON}"
        # An artifact can have a manifest for a layer, which is a blob like any other.
        return listed if is_document(blob) and archive.has(listed) else blob.digest.hex

    return top, name_of


def _check_version(archive: Archive) -> None:
    """Refuse a version that casstore does not know: names of files differ between versions."""
    text = archive.read(VERSION, MAX_VERSION).decode("ascii", "replace").strip()
    if text not in VERSIONS:
        raise Refused(
            f"{VERSION} of {quote(archive.label)} is {quote(text)}, only "
            f"{' and '.join(map(quote, VERSIONS))} are known"
        )


def _media_type(data: bytes) -> str:
    """What a manifest says it is, or what it must be, for no descriptor leads to it.

    Source: containers/image, manifest.GuessMIMEType.
    """
    fields = Fields(document.read(data, MANIFEST_JSON, DOCUMENT), MANIFEST_JSON)
    if "mediaType" in fields:
        return fields.text("mediaType")
    if fields.values.get("schemaVersion") == 1:
        return mediatype.DOCKER_SCHEMA1
    if "manifests" in fields:
        return mediatype.OCI_INDEX
    if "config" in fields and fields.fields("config").text("mediaType") == mediatype.DOCKER_CONFIG:
        return mediatype.DOCKER_MANIFEST
    return mediatype.OCI_MANIFEST


def _signatures(archive: Archive, image: ImageRecord) -> Iterator[str]:
    """Files of signatures of the image, and of those in it; a few more than are told of."""
    manifests = [blob.digest for blob in image.blobs if blob.kind in (INDEX, MANIFEST)]
    for digest in manifests:
        whose = "" if digest == image.top.digest else f"{digest.hex}."
        for number in range(1, MAX_TOLD + 2):
            if not archive.has(f"{whose}signature-{number}"):
                break
            yield f"{whose}signature-{number}"
