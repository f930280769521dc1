"""unpack: the files of an image in a directory, safely, and whole or marked as a part."""

from __future__ import annotations

import os

from casstore.errors import Refused, UsageError, quote
from casstore.files.attributes import AS_ROOT, AS_USER, Rights
from casstore.files.partialtree import MARKER, PartialTree
from casstore.files.treewriter import TreeWriter, WrittenFiles
from casstore.flows.filesout import scratch_in, write_image
from casstore.model.fileentry import ROOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from casstore.flows.imagetree import ImageTree
    from casstore.model.fileentry import FileEntry
    from casstore.progress import Progress

_STAGED = MARKER + b"-file"  # in place, where a lock keeps others from it
UNPACKING = "Unpacking"  # the task of a progress


def rights_for(*, rootless: bool, keep_setid: bool) -> Rights:
    """What this process keeps of an image's files."""
    if os.geteuid() == 0 and not rootless:
        return AS_ROOT
    return AS_USER._replace(setid=keep_setid, owner_notes=rootless)


def unpack_tree(
    tree: ImageTree,
    directory: str,
    rights: Rights,
    *,
    force: bool = False,
    top: bytes = ROOT,
    few: int = 0,
    progress: Progress | None = None,
    doing: str = UNPACKING,
) -> WrittenFiles:
    """Write the image, or a directory of it, to a directory that is new or empty.

    Args:
        rights: what is kept of the files.
        force: write to a directory that has files, over those of the same names.
        top: the directory of the image; `few` as for `write_image`.
        doing: the task that is told how far it is.

    Raises:
        UsageError: no directory is given.
        NotFound: the directory above is not there.
        Refused: there is something, and no `force`; or a name or number is none that can be.
        Damaged: a layer is wrong.
        StorageError.
    """
    if not directory:
        raise UsageError("a directory is needed")
    what = f"image {tree.image or tree.layers[0].digest}"
    if top != ROOT:
        what += f" {top!r}"
    task = progress.task(doing) if progress is not None else None
    with (
        PartialTree(directory, what, force=force) as place,
        TreeWriter(
            place.descriptor, rights, over=_STAGED if place.in_place else None, where=directory
        ) as writer,
    ):
        scratch = scratch_in(f"/proc/self/fd/{place.descriptor}")
        sink = _Unmarked(writer, directory) if place.in_place else writer
        write_image(tree, sink, scratch=scratch, top=top, few=few, task=task)
        place.prepare()
        written = writer.finish()
        if task is not None:
            task.finish()
        return written


class _Unmarked:
    """A tree writer that leaves the mark of an incomplete directory alone."""

    def __init__(self, writer: TreeWriter, directory: str) -> None:
        self._writer, self._directory = writer, directory

    def add(self, entry: FileEntry, content: Iterable[bytes | memoryview] = ()) -> None:
        self._check(entry)
        self._writer.add(entry, content)

    def link(self, entry: FileEntry, target: bytes) -> None:
        self._check(entry)
        self._writer.link(entry, target)

    def _check(self, entry: FileEntry) -> None:
        if entry.name.rpartition(b"/")[2] in (MARKER, _STAGED):
            raise Refused(
                f"the image has {quote(entry.path)}, a name for what is not complete:"
                f" {quote(self._directory)} must be new or empty"
            )
