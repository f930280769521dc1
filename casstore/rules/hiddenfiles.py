"""How much of what each layer brings is still seen in the image.

A layer above can replace a file or delete it, but the layer that brought it keeps its bytes. A file
counts once, however many names it has, and in the layer that has its content: a hard link to a file
of a lower layer brings nothing. A file is hidden only if none of its names is left, those that
layers above link to it included.
"""

from __future__ import annotations

from heapq import merge
from itertools import repeat

from casstore.model.fileentry import FILE, sort_key
from casstore.rules.merge import MergedTree
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from casstore.model.fileentry import FileEntry
    from casstore.ports.contents import Contents

# What is known of a file, as bits.
_BROUGHT = 1
_VISIBLE = 2
_OVERWRITTEN = 4  # something stands under one of its names

_PAGE = 12  # bits of an inode that choose a byte of a page


class LayerFiles(Value):
    """The regular files of a layer, and those that the image does not show."""

    files: int
    size: int  # bytes of their content
    overwritten_files: int  # hidden, while the image has something else under one of their names
    overwritten: int  # bytes
    deleted_files: int  # hidden, and the image has nothing under their names
    deleted: int  # bytes


def files_of_layers(layers: Sequence[Contents]) -> list[LayerFiles]:
    """What each layer of an image brings, bottom first, as `layers` are.

    One walk through the image goes beside one through all that its layers say; both are sorted.
    What is kept of a file is a byte.

    Raises: as `MergedTree.walk`.
    """
    counts = [_Count() for _ in layers]
    image = MergedTree(layers).walk()
    found = next(image, None)
    rows = merge(
        *(zip(repeat(number), layer.entries()) for number, layer in enumerate(layers)),
        key=_row_key,
    )
    for layer, entry in rows:
        if entry.kind != FILE:
            continue
        key = sort_key(entry.name)
        while found is not None and sort_key(found.entry.name) < key:
            _see(counts, *found)
            found = next(image, None)
        counts[layer].note(entry, _BROUGHT)
        if found is not None and found.entry.name == entry.name:
            counts[layer].note(entry, _OVERWRITTEN)  # or it is what is seen, which prevails
    while found is not None:
        _see(counts, *found)
        found = next(image, None)
    return [count.result() for count in counts]


def _see(counts: Sequence[_Count], layer: int, entry: FileEntry) -> None:
    if entry.kind == FILE:
        counts[layer].note(entry, _VISIBLE)


def _row_key(row: tuple[int, FileEntry]) -> bytes:
    return sort_key(row[1].name)


class _Count:
    """Counts the files of one layer, each once."""

    __slots__ = ("_pages", "brought", "overwritten", "visible")

    def __init__(self) -> None:
        self.brought = self.visible = self.overwritten = (0, 0)  # files, bytes
        self._pages: dict[int, bytearray] = {}  # a byte for each inode

    def note(self, entry: FileEntry, what: int) -> None:
        """Note something of the file that an entry is a name of, in any order."""
        page = self._pages.get(entry.inode >> _PAGE)
        if page is None:
            page = self._pages[entry.inode >> _PAGE] = bytearray(1 << _PAGE)
        place = entry.inode & ((1 << _PAGE) - 1)
        known = page[place]
        if known & what:
            return
        page[place] = known | what
        if what == _BROUGHT:
            self.brought = _plus(self.brought, entry.size)
        elif what == _VISIBLE:
            self.visible = _plus(self.visible, entry.size)
            if known & _OVERWRITTEN:
                files, size = self.overwritten
                self.overwritten = files - 1, size - entry.size
        elif not known & _VISIBLE:
            self.overwritten = _plus(self.overwritten, entry.size)

    def result(self) -> LayerFiles:
        """The counts, once all has been noted."""
        (files, size), (seen, seen_size) = self.brought, self.visible
        gone, gone_size = self.overwritten
        return LayerFiles(
            files, size, gone, gone_size, files - seen - gone, size - seen_size - gone_size
        )


def _plus(count: tuple[int, int], size: int) -> tuple[int, int]:
    return count[0] + 1, count[1] + size
