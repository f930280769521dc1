"""Images as an OCI image layout, in a tar or in a directory: every blob byte for byte.

Names stand in `index.json` as other tools write them: `org.opencontainers.image.ref.name` (the
familiar form) and containerd's `io.containerd.image.name` (the full one). A recorded parent is an
annotation of ours. The same images in the same order give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from casstore.model import mediatype
from casstore.model.digest import sha256
from casstore.model.keys import CONTAINERD_NAME, PARENT, REF_NAME, THIN
from casstore.model.manifest import INDEX_JSON, OCI_LAYOUT
from casstore.ports.blobs import StoredBlobs
from casstore.transfer.directoryfiles import DirectoryFiles
from casstore.transfer.formats import THIN_JSON
from casstore.transfer.layoutlist import BLOBS, LAYOUT
from casstore.transfer.saved import SavedImage
from casstore.transfer.savedtree import blobs_under
from casstore.transfer.tarout import Member
from casstore.transfer.thin import Thin

if TYPE_CHECKING:
    from casstore.progress import Task


LAST = OCI_LAYOUT  # it says that a directory is a layout


def members(
    images: Sequence[SavedImage], blobs: StoredBlobs, thin: Thin | None = None
) -> list[Member]:
    """What is in the tar of a layout, in order.

    Raises:
        Damaged: a document is missing or is not its digest.
    """
    return [
        Member(OCI_LAYOUT, LAYOUT),
        Member(INDEX_JSON, index_json(images, thin)),
        *((Member(THIN_JSON, thin.encoded()),) if thin is not None else ()),
        Member("blobs/"),
        Member(BLOBS + "/"),
        *(Member(f"{BLOBS}/{x.digest.hex}", blob=x) for x in blobs_under(images, blobs, thin)),
    ]


def write(
    path: str,
    images: Sequence[SavedImage],
    blobs: StoredBlobs,
    thin: Thin | None = None,
    *,
    link: Callable[[str, str], bool] | None = None,
    task: Task | None = None,
) -> None:
    """Write a layout directory at `path`, which must not be there yet, or be empty.

    See `formats.FolderWriter`, and `DirectoryFiles` for `link` and `task`.

    Raises:
        Refused: there is something at `path`.
        Damaged: a blob is missing or is not its digest.
    """
    tree = blobs_under(images, blobs, thin)
    with DirectoryFiles(path, blobs, link=link, task=task) as out:
        out.directory("blobs")
        out.directory(BLOBS)
        for blob in tree:
            out.blob(f"{BLOBS}/{blob.digest.hex}", blob)
        if thin is not None:
            out.file(THIN_JSON, thin.encoded())
        out.file(INDEX_JSON, index_json(images, thin))
        out.file(OCI_LAYOUT, LAYOUT)


def index_json(images: Sequence[SavedImage], thin: Thin | None = None) -> bytes:
    """The list of the images of a layout, which says whether it is thin."""
    entries: list[dict[str, Any]] = []
    for image in images:
        for name in image.names or (None,):
            annotations: dict[str, str] = {}
            if name is not None:
                annotations[CONTAINERD_NAME] = name
            if image.parent is not None:
                annotations[PARENT] = image.parent
            if name is not None or image.ref:
                annotations[REF_NAME] = name.familiar if name is not None else image.ref
            entry: dict[str, Any] = {
                "mediaType": image.top.media_type,
                "digest": image.top.digest,
                "size": image.top.size,
            }
            if annotations:
                entry["annotations"] = annotations
            entries.append(entry)
    index = {"schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": entries}
    if thin is not None:
        index["annotations"] = {THIN: sha256(thin.encoded())}
    return json.dumps(index, separators=(",", ":"), ensure_ascii=False).encode()
