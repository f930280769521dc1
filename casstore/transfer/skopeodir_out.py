"""An image as skopeo's `dir:`: every blob byte for byte, as a file of its own; see skopeodir.py.

There is no place in it for names, for a second image, or for what refers to the image: cosign's
signatures stay where they are. The same image gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from casstore.errors import Unsupported
from casstore.model.treechecks import is_document
from casstore.ports.blobs import StoredBlobs
from casstore.progress import Task
from casstore.transfer.directoryfiles import DirectoryFiles
from casstore.transfer.formats import THIN_JSON
from casstore.transfer.saved import SavedImage
from casstore.transfer.savedtree import blobs_under
from casstore.transfer.thin import Thin

VERSION = b"Directory Transport Version: 1.1\n"
LAST = "manifest.json"  # skopeo takes a directory that has it for an image


def write(
    path: str,
    images: Sequence[SavedImage],
    blobs: StoredBlobs,
    thin: Thin | None = None,
    *,
    link: Callable[[str, str], bool] | None = None,
    task: Task | None = None,
) -> None:
    """Write the one image to a directory at `path`, which must not be there yet, or be empty.

    See `formats.FolderWriter`, and `DirectoryFiles` for `link` and `task`.

    Raises:
        Refused: there is something at `path`.
        Unsupported: there are several images, or it is neither a manifest nor an index.
        Damaged: a blob is missing or is not its digest.
    """
    top = _the_only(images).top
    tree = blobs_under(images, blobs, thin)
    with DirectoryFiles(path, blobs, link=link, task=task) as out:
        out.file("version", VERSION)
        if thin is not None:
            out.file(THIN_JSON, thin.encoded())
        for blob in tree:
            # Manifests are edited by hand in such a directory: they share no file with the store.
            if is_document(blob) and blob != top:
                out.blob(f"{blob.digest.hex}.{LAST}", blob, own=True)
            elif blob != top:
                out.blob(blob.digest.hex, blob)
        out.blob(LAST, top, own=True)


def _the_only(images: Sequence[SavedImage]) -> SavedImage:
    if len(images) != 1:
        raise Unsupported(
            f"cannot save {len(images)} images as dir: it holds one; name it by its tag or ID, or "
            "use --format oci-dir"
        )
    if not is_document(images[0].top):
        raise Unsupported(
            f"cannot save {images[0].image_id.hex} as dir: it is neither a manifest nor an index; "
            "use --format oci-dir"
        )
    return images[0]
