"""Deltas made and applied, in slices: memory does not grow with the layers.

A base has to be read in any order, so its tar is written down in a scratch file first. Most of the
memory goes to a slice with its prefix, which libzstd's bindings copy: some 150 MiB.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import IO

from casstore.errors import Refused
from casstore.model.digest import Digest
from casstore.model.kept import LayerRecord
from casstore.transfer.deltaformat import PREFIX, SLICE, Head, Slice, read_head, read_slice
from casstore.transfer.fullreads import read_into
from casstore.transfer.similarity import GRAIN, BaseIndex, Range
from casstore.transfer.zstdprefix import decompress_behind, prefix_compressor


class BaseTar:
    """The tar of a base, in a file of its own."""

    def __init__(self, record: LayerRecord, layer: IO[bytes], scratch: IO[bytes]) -> None:
        """Write the tar down, which `layer` verifies; `scratch` is closed with this."""
        self.record = record
        self._file = scratch
        buffer = memoryview(bytearray(GRAIN))
        while count := read_into(layer, buffer):
            scratch.write(buffer[:count])
        scratch.flush()

    def close(self) -> None:
        """Let the file go."""
        self._file.close()

    def pieces(self) -> Iterator[memoryview]:
        """All of it, in pieces of whole blocks."""
        for offset in range(0, self.record.diff_size, GRAIN):
            yield memoryview(self.read([(offset, min(GRAIN, self.record.diff_size - offset))]))

    def read(self, ranges: list[Range] | tuple[Range, ...]) -> bytearray:
        """These ranges, one behind the other."""
        data = bytearray(sum(length for _, length in ranges))
        view, at = memoryview(data), 0
        for offset, length in ranges:
            self._file.seek(offset)
            if read_into(self._file, view[at : at + length]) < length:
                raise Refused("the base is shorter than it should be")
            at += length
        return data


class DeltaMaker:
    """Makes deltas of layers from one base."""

    def __init__(self, base: BaseTar) -> None:
        """Read the base. Raises Unsupported where there is no library that can compress so."""
        self._compress = prefix_compressor()
        self._base = base
        self._index = BaseIndex(base.record.diff_size)
        for number, piece in enumerate(base.pieces()):
            self._index.add(number * GRAIN, piece)

    def write(self, record: LayerRecord, layer: IO[bytes], out: IO[bytes]) -> Iterator[int]:
        """Write the delta of a layer, slice by slice; yields the bytes of each as it is done."""
        base = self._base.record
        out.write(Head(base.diff_id, base.diff_size, record.diff_id, record.diff_size).encoded())
        self._index.begin()
        buffer = memoryview(bytearray(min(SLICE, record.diff_size)))
        at = 0
        while at < record.diff_size:
            count = read_into(layer, buffer[: record.diff_size - at])
            data = buffer[:count]
            ranges = self._index.ranges(at, data, PREFIX)
            frame = self._compress(data, self._base.read(ranges))
            one = Slice(count, tuple(ranges), frame)
            out.write(one.encoded())
            out.write(frame)
            at += count
            yield count
        layer.read(1)  # a layer is verified where it ends


class Patched(io.RawIOBase):
    """The tar of a layer, from a delta and its base. Whoever reads it holds it to its diff ID."""

    def __init__(self, delta: IO[bytes], base: BaseTar) -> None:
        """Read a delta, which has been held to its digest, from its beginning.

        Raises:
            Refused: here or by a read: it is not in its form, or not from this base.
        """
        self._delta, self._base = delta, base
        self._head = read_head(delta)
        if (self._head.base, self._head.base_size) != (base.record.diff_id, base.record.diff_size):
            raise Refused("it is from another base")
        self._left = self._head.size
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # as RawIOBase has it
        if not self._ready and self._left:
            self._ready = memoryview(b"")  # the last slice goes before the next one comes
            one = read_slice(self._delta, self._head, self._left)
            prefix = self._base.read(one.ranges)
            self._ready = memoryview(decompress_behind(prefix, one.frame, one.size))
            self._left -= one.size
        count = min(len(self._ready), len(buffer))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def close(self) -> None:
        if not self.closed:
            self._delta.close()
        super().close()


def digest_of(file: IO[bytes]) -> Digest:
    """The digest of what is left of a file."""
    content = hashlib.sha256()
    while data := file.read(GRAIN):
        content.update(data)
    return Digest.of_bytes(content.digest())
