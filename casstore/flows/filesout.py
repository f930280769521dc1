"""Files of a stored image on their way out: from its layers to a tree or a tar."""

from __future__ import annotations

import tempfile

from casstore.files.durable import storage_error
from casstore.model.fileentry import ROOT, below
from casstore.transfer.onepass import write_files
from casstore.transfer.openlayer import open_framed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from typing import IO, BinaryIO

    from casstore.flows.imagetree import ImageTree
    from casstore.model.fileentry import FileEntry
    from casstore.progress import Task
    from casstore.transfer.onepass import Sink

FEW = 16  # files of a layer that are sooner found one by one than by reading all of it


def write_image(
    tree: ImageTree,
    sink: Sink,
    *,
    scratch: Callable[[], IO[bytes]],
    top: bytes = ROOT,
    renamed: bytes = ROOT,
    few: int = 0,
    task: Task | None = None,
) -> None:
    """Write a file or directory of an image to a sink.

    Args:
        top: which, with all that is below it.
        renamed: the name that `top` has in what is written.

    See `write_files` for the others, and for what is raised.
    """
    write_files(
        lambda: _renamed(tree, top, renamed),
        _Layers(tree),
        sink,
        scratch=scratch,
        few=few,
        task=task,
    )


def scratch_in(directory: str | None) -> Callable[[], IO[bytes]]:
    """Makes files without a name, in a directory or where such files usually are."""
    return lambda: tempfile.TemporaryFile(dir=directory)


def _renamed(tree: ImageTree, top: bytes, name: bytes) -> Iterator[tuple[int, FileEntry]]:
    walk = tree.merged.walk(top)
    if top == name:
        yield from walk
        return
    cut = len(top) + 1 if top else 0
    for layer, entry in walk:
        new = name if entry.name == top else below(name, entry.name[cut:])
        yield layer, entry._replace(name=new)


class _Layers:
    def __init__(self, tree: ImageTree) -> None:
        self._tree = tree

    def pieces(self, layer: int) -> Generator[bytes, None, None]:
        record = self._tree.layers[layer]
        try:
            with open_framed(self._tree.blob(layer), record) as reader:
                yield from reader.pieces()
        except OSError as error:
            raise storage_error(error, f"cannot read blob {record.digest}") from None

    def open_content(self, layer: int, entry: FileEntry) -> BinaryIO:
        from casstore.rules.merge import Found

        return self._tree.open(Found(layer, entry))
