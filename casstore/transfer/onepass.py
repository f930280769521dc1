"""The files of an image in the order of their names, though each layer is read once, as a stream.

A layer is a tar, and mostly a compressed one: its files can be had quickly in the order in which
they stand there. A tree is written in the order of names: only then is a directory complete when
the next one begins, which is when GNU tar gives it its mode and time, and only then does the output
not depend on how the image is cut into layers. The two orders agree where the layer's tar was
sorted, as builders make it. So the layers are read side by side, each by a cursor that goes forward
only. What a cursor passes that is wanted later, in a tar that is not sorted, it puts into a file
without a name, at the place that it has in the tar; that file has holes for all the rest.

The walk is done twice: before anything is written, what is wanted of each layer is noted, as two
numbers a file. The entries of a small image are kept from the first time for the second.
"""

from __future__ import annotations

import heapq
import os
from array import array
from itertools import chain, islice

from casstore.errors import Damaged
from casstore.files.durable import storage_error
from casstore.model.fileentry import DIRECTORY, FILE, FileEntry
from casstore.startup.typed import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from typing import IO

    from casstore.progress import Task

    Pieces = Iterable[bytes | memoryview]
    Walk = Iterable[tuple[int, FileEntry]]

FEW_ENTRIES = 1 << 15  # which take some 15 MB, and half a second walk less 50 ms
STREAMS = 3  # layers that are read side by side; each has threads and buffers of its own
_RUN = 1 << 16  # files that are sorted at a time
_READ = 1 << 20
_END = 1 << 63
_SMALL = 1 << 14  # bytes that are copied sooner than looked at through a view


class Layers(Protocol):
    """The contents of the layers of an image, whose numbers are those of the walk."""

    def pieces(self, layer: int) -> Generator[bytes, None, None]:
        """The tar of a layer, uncompressed, in pieces; verified when the last is asked for.

        Raises Damaged; StorageError: it cannot be read.
        """

    def open_content(self, layer: int, entry: FileEntry) -> IO[bytes]:
        """One file of a layer, for reading and seeking; it verifies what is read as a whole."""


class Sink(Protocol):
    """What files are written to: a tree, or a tar."""

    def add(self, entry: FileEntry, content: Pieces = ...) -> None:
        """Write an entry, with its content; of a sparse file that is what its extents hold."""

    def link(self, entry: FileEntry, target: bytes) -> None:
        """Write another name of the file `target`, which was written before."""


def stored_size(entry: FileEntry) -> int:
    """Bytes of an entry's content in its layer's tar; a hole has none."""
    if entry.kind != FILE:
        return 0
    if entry.extents is None:
        return entry.size
    return sum(length for _, length in entry.extents)


def write_files(
    walk: Callable[[], Walk],
    layers: Layers,
    sink: Sink,
    *,
    scratch: Callable[[], IO[bytes]],
    few: int = 0,
    task: Task | None = None,
) -> None:
    """Write what a walk gives to a sink.

    Of several names of one file the first is the file, and the others are links to it.

    Args:
        walk: begins a walk; it is called once or twice, and gives the same.
        scratch: a new file without a name.
        few: of a layer with at most so many files that are wanted, each is opened by itself.
        task: is told how many bytes of content there are, and have been written.

    Raises:
        Damaged: a layer is not what it should be; what was written is good for nothing.
        What the layers and the sink raise.
    """
    first_walk = iter(walk())
    kept = list(islice(first_walk, FEW_ENTRIES))
    contents = _Contents(chain(kept, first_walk), layers, scratch, few)
    if task is not None:
        task.total = contents.size
    shared, first = contents.shared, dict[tuple[int, int], bytes]()
    try:
        for layer, entry in kept if len(kept) < FEW_ENTRIES else walk():
            if entry.kind == DIRECTORY:
                sink.add(entry)
                continue
            key = layer, entry.inode
            if key in shared:
                target = first.setdefault(key, entry.name)
                if target is not entry.name:
                    sink.link(entry, target)
                    continue
            size = stored_size(entry)
            sink.add(entry, contents.of(layer, entry, size) if size else ())
            if task is not None:
                task.advance(size)
        contents.finish()
    finally:
        contents.close()


class _Contents:
    """What is wanted of the layers, and the cursors that get it.

    Attributes:
        shared: layer and inode of each file that has several names.
        size: bytes in all.
    """

    def __init__(
        self, walk: Walk, layers: Layers, scratch: Callable[[], IO[bytes]], few: int
    ) -> None:
        self._layers, self._scratch = layers, scratch
        self.shared = set[tuple[int, int]]()
        wanted = dict[int, _Wanted]()
        for layer, entry in walk:
            if entry.kind == DIRECTORY:
                continue
            if entry.shared:
                key = layer, entry.inode
                if key in self.shared:
                    continue
                self.shared.add(key)
            size = stored_size(entry)
            if size:
                if layer not in wanted:
                    wanted[layer] = _Wanted()
                wanted[layer].add(entry.offset, size)
        self.size = sum(one.size for one in wanted.values())
        self._wanted = {layer: one for layer, one in wanted.items() if len(one) > few}
        largest = sorted(self._wanted, key=lambda layer: -self._wanted[layer].size)
        self._streamed = set(largest[:STREAMS])
        self._cursors = dict[int, _Cursor]()

    def of(self, layer: int, entry: FileEntry, size: int) -> Pieces:
        """The content of a file, which must be read to its end."""
        if layer not in self._wanted:
            return self._read_alone(layer, entry)
        cursor = self._cursors.get(layer)
        if cursor is None:
            pieces = self._layers.pieces(layer)
            cursor = _Cursor(pieces, self._wanted[layer].in_order(), self._scratch)
            self._cursors[layer] = cursor
            if layer not in self._streamed:
                cursor.keep_all()
        return cursor.content(entry.offset, size)

    def _read_alone(self, layer: int, entry: FileEntry) -> Iterator[bytes]:
        try:
            with self._layers.open_content(layer, entry) as file:
                for start, length in entry.extents or ((0, entry.size),):
                    file.seek(start)
                    left = length
                    while left:
                        piece = file.read(min(_READ, left))
                        if not piece:
                            raise _too_short()
                        left -= len(piece)
                        yield piece
        except OSError as error:
            raise storage_error(error, f"cannot read layer {layer + 1}") from None

    def finish(self) -> None:
        """Read what is left of the layers, so that they are verified."""
        for cursor in self._cursors.values():
            cursor.finish()

    def close(self) -> None:
        for cursor in self._cursors.values():
            cursor.close()


class _Wanted:
    """Where in a tar the wanted files are: offsets and sizes."""

    def __init__(self) -> None:
        self._offsets, self._sizes = array("Q"), array("Q")
        self._last = -1
        self._is_sorted = True
        self.size = 0

    def __len__(self) -> int:
        return len(self._offsets)

    def add(self, offset: int, size: int) -> None:
        self._is_sorted = self._is_sorted and offset > self._last
        self._last = offset
        self._offsets.append(offset)
        self._sizes.append(size)
        self.size += size

    def in_order(self) -> Iterator[tuple[int, int]]:
        """Offset and size of each, as they follow each other in the tar; a file may come twice."""
        if self._is_sorted:
            return zip(self._offsets, self._sizes, strict=True)
        return heapq.merge(*(self._sorted_run(at) for at in range(0, len(self), _RUN)))

    def _sorted_run(self, start: int) -> Iterator[tuple[int, int]]:
        stop = min(start + _RUN, len(self))
        run = sorted(zip(self._offsets[start:stop], self._sizes[start:stop], strict=True))
        self._offsets[start:stop] = array("Q", (offset for offset, _ in run))
        self._sizes[start:stop] = array("Q", (size for _, size in run))
        del run
        return ((self._offsets[at], self._sizes[at]) for at in range(start, stop))


class _Cursor:
    """One layer, read forward; what is passed and wanted is kept."""

    def __init__(
        self,
        pieces: Generator[bytes, None, None],
        wanted: Iterator[tuple[int, int]],
        scratch: Callable[[], IO[bytes]],
    ) -> None:
        self._pieces, self._wanted, self._scratch = pieces, wanted, scratch
        self._kept: IO[bytes] | None = None
        self._piece: bytes = b""
        self._start = 0  # of the piece, in the tar
        self._at = 0  # in the tar: all before has been given or passed
        self._next = next(wanted, (_END, 0))

    def content(self, offset: int, size: int) -> Pieces:
        """The bytes of a file, which are asked for once."""
        if offset < self._at:
            return self._read_kept(offset, size)
        self._pass_to(offset)
        begin = offset - self._start
        if begin + size > len(self._piece):
            return self._read_on(size)
        self._at += size
        return (_cut(self._piece, begin, size),)

    def keep_all(self) -> None:
        """Read to the end, and keep what is wanted."""
        self._pass_to(_END)
        self.finish()

    def finish(self) -> None:
        """Read to the end, where the layer is verified."""
        self._piece = b""
        for _ in self._pieces:
            pass

    def close(self) -> None:
        self._pieces.close()
        if self._kept is not None:
            self._kept.close()

    def _pass_to(self, offset: int) -> None:
        while self._next[0] < offset:
            start, size = self._next
            self._next = next(self._wanted, (_END, 0))
            if start >= self._at:
                self._skip_to(start)
                self._keep(size)
        if offset != _END:
            self._skip_to(offset)

    def _keep(self, size: int) -> None:
        if self._kept is None:
            self._kept = self._scratch()
        descriptor, at = self._kept.fileno(), self._at
        for piece in self._read_on(size):
            view = memoryview(piece)
            while view:
                count = os.pwrite(descriptor, view, at)
                view, at = view[count:], at + count

    def _read_kept(self, offset: int, size: int) -> Iterator[bytes]:
        assert self._kept is not None
        descriptor = self._kept.fileno()
        while size:
            piece = os.pread(descriptor, min(size, _READ), offset)
            if not piece:
                raise _too_short()
            offset, size = offset + len(piece), size - len(piece)
            yield piece

    def _read_on(self, size: int) -> Iterator[bytes | memoryview]:
        while size:
            begin = self._at - self._start
            left = len(self._piece) - begin
            if left <= 0:
                self._advance()
                continue
            count = min(left, size)
            self._at += count
            size -= count
            yield _cut(self._piece, begin, count)

    def _skip_to(self, offset: int) -> None:
        while self._start + len(self._piece) <= offset:
            self._advance()
        self._at = offset

    def _advance(self) -> None:
        self._start += len(self._piece)
        piece = next(self._pieces, None)
        if piece is None:
            raise _too_short()
        self._piece = piece


def _cut(piece: bytes, begin: int, count: int) -> bytes | memoryview:
    if count < _SMALL or count == len(piece):
        return piece[begin : begin + count]
    return memoryview(piece)[begin : begin + count]


def _too_short() -> Damaged:
    return Damaged("a layer ends before a file in it does")
