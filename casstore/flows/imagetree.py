"""The files of a stored image: its layers' tables of contents, put together, and what is in each.

The table of a layer is kept with the store. Where there is none, it is made now, by one pass over
the layer, and kept for the next look; where it cannot be kept (a store that this user only reads, a
full disk), it lasts as long as the tree.
"""

from __future__ import annotations

import tempfile
from functools import partial

from casstore.errors import StorageError
from casstore.files.durable import storage_error
from casstore.model.state import PROMISED
from casstore.results.files import ImageFile
from casstore.rules.hiddenfiles import files_of_layers
from casstore.rules.merge import NO_LAYER, MergedTree
from casstore.transfer.contentstable import ContentsTable, Unusable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO, BinaryIO, Self

    from casstore.flows.imagestack import Stack
    from casstore.flows.save import Settle
    from casstore.model.fileentry import FileEntry
    from casstore.model.kept import LayerRecord
    from casstore.ports.backend import Backend
    from casstore.progress import Progress, Task
    from casstore.rules.hiddenfiles import LayerFiles
    from casstore.rules.merge import Found
    from casstore.transfer.layerseek import LayerReader

READING = "Reading"  # the task of a progress


class ImageTree:
    """The files of a stack of layers. Close it, or use `with`."""

    def __init__(
        self, backend: Backend, stack: Stack, settle: Settle, progress: Progress | None = None
    ) -> None:
        """Open the tables of all layers; read the layers that have none.

        With `progress`, what is read is counted, as a task `Reading` of uncompressed bytes.

        Raises:
            Unsupported: a layer is encrypted.
            Refused: a layer is not a tar, or describes what cannot be.
            Damaged: a layer is not what its digests say.
            StorageError.
        """
        self._backend = backend
        self._readers: dict[int, LayerReader] = {}
        self._tables: list[ContentsTable] = []
        promised = [layer for layer in stack.layers if layer.state == PROMISED]
        settled = settle(promised, progress) if promised else {}
        self.image = stack.image
        self.layers = tuple(settled.get(layer.digest, layer) for layer in stack.layers)
        self.merged = MergedTree(self._tables)
        try:
            self._open_tables(progress)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open; readers of files that were opened stay usable."""
        while self._readers:
            self._readers.popitem()[1].close()
        while self._tables:
            self._tables.pop().close()

    def walk(self, top: bytes, *, depth: int | None = None) -> Iterator[ImageFile]:
        """As `MergedTree.walk`."""
        layers = self.layers
        for layer, entry in self.merged.walk(top, depth=depth):
            yield ImageFile(entry, layers[layer].digest if layer != NO_LAYER else None)

    def file(self, found: Found) -> ImageFile:
        """What is told of a file."""
        layer, entry = found
        return ImageFile(entry, self.layers[layer].digest if layer != NO_LAYER else None)

    def contents(self, layer: int) -> Iterator[FileEntry]:
        """What one layer describes by itself, markers and all."""
        return self._tables[layer].entries()

    def files_of_layers(self) -> list[LayerFiles]:
        """What each layer brings, bottom first. Raises as `walk`."""
        return files_of_layers(self._tables)

    def blob(self, layer: int) -> IO[bytes]:
        """The blob of a layer as it is stored. Raises Damaged, StorageError."""
        return self._backend.blobs.open(self.layers[layer].digest)

    def open(self, found: Found) -> BinaryIO:
        """The content of a regular file, for reading and seeking.

        Raises:
            Damaged: now or by a read: the blob is not there, or not what its digests say.
            StorageError.
        """
        reader = self._readers.get(found.layer)
        if reader is None:
            from casstore.transfer.layerseek import LayerReader
            from casstore.transfer.restartpoints import Points

            record, table = self.layers[found.layer], self._tables[found.layer]
            blob = self._backend.blobs.open(record.digest)
            reader = LayerReader(blob, record, Points.of(table))
            self._readers[found.layer] = reader
        return reader.open(found.entry)

    def _open_tables(self, progress: Progress | None) -> None:
        kept = [self._kept_table(layer) for layer in self.layers]
        missing = {
            layer.digest: layer.diff_size
            for layer, table in zip(self.layers, kept, strict=True)
            if table is None
        }
        task = None
        if progress is not None and missing:
            task = progress.task(READING, sum(missing.values()))
        for layer, table in zip(self.layers, kept, strict=True):
            # the same layer may stand twice in an image
            self._tables.append(table or self._kept_table(layer) or self._made_table(layer, task))
        if task is not None:
            task.finish()

    def _kept_table(self, layer: LayerRecord) -> ContentsTable | None:
        file = self._backend.contents.open(layer.digest)
        if file is None:
            return None
        again = partial(self._scanned, layer, None)
        try:
            return ContentsTable(file, layer.digest, hashes=True, again=again)
        except Unusable:
            return None

    def _made_table(self, layer: LayerRecord, task: Task | None) -> ContentsTable:
        again = partial(self._scanned, layer, None)
        file = self._scanned(layer, task)
        try:
            return ContentsTable(file, layer.digest, hashes=True, again=again)
        except Unusable:  # though it has just been written
            raise StorageError(f"cannot read the table of layer {layer.digest}") from None

    def _scanned(self, layer: LayerRecord, task: Task | None) -> IO[bytes]:
        """The table of a layer, made by reading it; kept, if the store takes it."""
        contents = self._backend.contents
        draft = contents.draft()
        if draft is not None:
            try:
                self._scan(layer, draft, task)
                contents.keep(draft, layer.digest)
                kept = contents.open(layer.digest)
            except OSError:  # the store's disk is full, say
                kept = None
            finally:
                draft.close()
            if kept is not None:
                return kept
        file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever asked for it closes it
        try:
            self._scan(layer, file, task)
        except OSError as error:
            file.close()
            raise storage_error(error, "cannot write a temporary file") from None
        except BaseException:
            file.close()
            raise
        return file

    def _scan(self, layer: LayerRecord, out: IO[bytes], task: Task | None) -> None:
        from casstore.transfer.layercontents import scan_layer
        from casstore.transfer.openlayer import open_framed
        from casstore.transfer.restartpoints import PointsMaker

        points = PointsMaker(layer.diff_size)
        blob = self._backend.blobs.open(layer.digest)
        with open_framed(blob, layer, points=points) as reader:
            pieces = reader.pieces() if task is None else _counted(reader.pieces(), task)
            scan_layer(pieces, layer.digest, out, tempfile.TemporaryFile, points.attachment)


def _counted(pieces: Iterator[bytes], task: Task) -> Iterator[bytes]:
    for piece in pieces:
        task.advance(len(piece))
        yield piece
