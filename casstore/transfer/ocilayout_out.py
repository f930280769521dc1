"""Images as an OCI image layout, in a tar or in a directory: every blob byte for byte.

Names stand in `index.json` as other tools write them: `org.opencontainers.image.ref.name` (the
familiar form) and containerd's `io.containerd.image.name` (the full one). A recorded parent is an
annotation of ours. The same images in the same order give the same bytes.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, Any

from casstore.errors import Damaged, Refused, quote
from casstore.model import mediatype
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest
from casstore.model.imagetree import is_document
from casstore.model.keys import CONTAINERD_NAME, PARENT, REF_NAME
from casstore.model.manifest import Manifest, parse_document
from casstore.ports.blobs import StoredBlobs
from casstore.transfer.saved import SavedImage
from casstore.transfer.tarout import Member, stream_tar, verified

if TYPE_CHECKING:
    from casstore.progress import Task


OCI_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
BLOBS = "blobs/sha256"
LAST = "oci-layout"  # it says that a directory is a layout

_FICLONE = 0x40049409  # linux/fs.h


def write_oci_archive(out: IO[bytes], images: Sequence[SavedImage], blobs: StoredBlobs) -> None:
    """Write a tar of a layout.

    Raises:
        Damaged: a blob is missing or is not its digest; `out` is then good for nothing.
    """
    stream_tar(out, oci_members(images, blobs), blobs)


def oci_members(images: Sequence[SavedImage], blobs: StoredBlobs) -> list[Member]:
    """What is in the tar of a layout, in order.

    Raises:
        Damaged: a document is missing or is not its digest.
    """
    return [
        Member("oci-layout", OCI_LAYOUT),
        Member("index.json", index_json(images)),
        Member("blobs/"),
        Member(BLOBS + "/"),
        *(Member(f"{BLOBS}/{x.digest.hex}", blob=x) for x in _tree(images, blobs)),
    ]


def write_oci_directory(
    path: str,
    images: Sequence[SavedImage],
    blobs: StoredBlobs,
    *,
    link: Callable[[str, str], bool] | None = None,
    task: Task | None = None,
) -> None:
    """Write a layout directory at `path`, which must not be there yet, or be empty.

    Nothing is flushed to the disk. On an error what was written is removed again.

    Args:
        path: the directory.
        images: what to write.
        blobs: where the blobs are.
        link: `link(blob, target)` gives a stored blob a second name; False where it cannot.
            Blobs are copied then (by reflink, where the file system can).
        task: counts the bytes of blobs that are there.

    Raises:
        Refused: there is something at `path`.
        Damaged: a blob is missing or is not its digest.
    """
    tree = _tree(images, blobs)
    made: list[Callable[[], None]] = []
    try:
        _make_empty_directory(path, made)
        directory = path
        for part in BLOBS.split("/"):
            directory = os.path.join(directory, part)
            os.mkdir(directory)
            made.append(_remover(os.rmdir, directory))
        for descriptor in tree:
            target = os.path.join(directory, descriptor.digest.hex)
            made.append(_remover(os.unlink, target))
            _place(descriptor, target, blobs, link)
            if task is not None:
                task.advance(descriptor.size)
        for name, data in (("index.json", index_json(images)), ("oci-layout", OCI_LAYOUT)):
            target = os.path.join(path, name)
            made.append(_remover(os.unlink, target))
            with open(target, "xb") as file:
                file.write(data)
    except BaseException:
        for undo in reversed(made):
            with contextlib.suppress(OSError):
                undo()
        raise


def _remover(remove: Callable[[str], None], path: str) -> Callable[[], None]:
    return lambda: remove(path)


def _make_empty_directory(path: str, made: list[Callable[[], None]]) -> None:
    try:
        os.mkdir(path)
    except FileExistsError:
        if not os.path.isdir(path) or os.listdir(path):
            raise Refused(f"{quote(path)} is there already and is no empty directory") from None
    else:
        made.append(_remover(os.rmdir, path))


def _place(
    descriptor: Descriptor,
    target: str,
    blobs: StoredBlobs,
    link: Callable[[str, str], bool] | None,
) -> None:
    source = blobs.path(descriptor.digest)
    if source is not None and link is not None:
        try:
            if os.lstat(source).st_size != descriptor.size:
                raise Damaged(f"blob {descriptor.digest} does not have {descriptor.size} bytes")
        except FileNotFoundError:
            raise Damaged(f"blob {descriptor.digest} is missing") from None
        if link(source, target):
            return
    with open(target, "xb", buffering=0) as file:
        if not _reflink(file, blobs, descriptor.digest):
            file.writelines(verified(descriptor, blobs))


def _reflink(target: IO[bytes], blobs: StoredBlobs, digest: Digest) -> bool:
    with blobs.open(digest) as source:
        try:
            fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
        except (OSError, ValueError):  # another file system; no file at all
            return False
    return True


def _tree(images: Sequence[SavedImage], blobs: StoredBlobs) -> list[Descriptor]:
    """Every blob under `images` once: documents first, in the order of a walk, then the rest.

    Children of an index that the store does not have are left out, as they were when it came.
    """
    documents: dict[Digest, Descriptor] = {}
    leaves: dict[Digest, Descriptor] = {}
    ahead = [image.top for image in reversed(images) if is_document(image.top)]
    for image in images:
        if not is_document(image.top):  # something that is no image, kept as it came
            leaves[image.top.digest] = image.top
    while ahead:
        descriptor = ahead.pop()
        if descriptor.digest in documents:
            continue
        documents[descriptor.digest] = descriptor
        document = parse_document(blobs.read(descriptor.digest), descriptor)
        if isinstance(document, Manifest):
            entries = [document.config] if document.config is not None else []
            for entry in (*entries, *document.layers):
                leaves[entry.descriptor.digest] = entry.descriptor
            continue
        for entry in reversed(document.manifests):
            child = entry.descriptor
            if not blobs.has(child.digest):
                continue
            if mediatype.is_index(child.media_type) or mediatype.is_manifest(child.media_type):
                ahead.append(child)
            else:
                leaves[child.digest] = child
    return [*documents.values(), *(x for x in leaves.values() if x.digest not in documents)]


def index_json(images: Sequence[SavedImage]) -> bytes:
    """The list of the images of a layout."""
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
    return json.dumps(index, separators=(",", ":"), ensure_ascii=False).encode()
