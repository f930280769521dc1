"""The table of contents of one layer, as a file; casstore/backends/local/FORMAT.md specifies it.

Blocks of entries, sorted, each compressed by itself, so that one name is found by reading one of
them; then what belongs to the layer's blob, not to its files; then an index of the blocks; and at
the end a trailer of fixed size. Whatever is read is held against its check sum: nobody flushes a
table, so a power cut may have damaged it anywhere.
"""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from struct import Struct
from zlib import compress, crc32, decompressobj
from zlib import error as zlib_error

from casstore.errors import StorageError
from casstore.model.fileentry import HARD_LINK, FileEntry, sort_key
from casstore.startup.value import Value
from casstore.transfer.entryblocks import BlockReader, Malformed, encode, weight

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import IO, Self, TypeVar

    from casstore.model.digest import Digest

    T = TypeVar("T")

VERSION = 1
MAX_ENTRIES = 1024  # of a block; those of one name are in one block
MAX_WEIGHT = 256 << 10  # bytes of names and the like, with which a block is full
MAX_RAW = 64 << 20  # bytes of a block, or of the index, uncompressed; no writer comes near
_KEPT = 2  # blocks that are kept in memory; an image may have a hundred layers

_HEAD = b"casstore contents\n"
_MAGIC = b"CASSTOC\n"
# version; layer; entries; offset, length and check sum of the index; offset and length of what
# belongs to the blob; check sum of these; magic
_TRAILER = Struct("<I32sQQIIQQ")
_END = Struct("<I8s")
# offset, length, check sum, bytes uncompressed; length and check sum of the hashes; entries, hard
# links among them; length of the first key
_ROW = Struct("<QIIIIIIII")

_UNREADABLE = (*Malformed, zlib_error, OSError, EOFError)


class Unusable(StorageError):
    """This is no table of that layer, in this version, or it is damaged: to be made again."""


class _Row(Value):
    """Where a block is, and what is in it."""

    offset: int
    length: int
    check: int
    raw: int  # bytes uncompressed
    hashes: int  # bytes; they come right behind the block
    hashes_check: int
    entries: int
    hard_links: int
    key: bytes  # of its first entry


def write_table(
    out: IO[bytes],
    layer: Digest,
    entries: Iterable[FileEntry],
    attachment: Callable[[], Iterable[bytes]] = tuple,
) -> None:
    """Write a table to an empty file.

    Args:
        out: where it goes.
        layer: the blob's digest.
        entries: as `Contents` has them, sorted.
        attachment: gives what else is to be kept with the layer; asked when all entries are there.
    """
    out.write(_HEAD)
    at, count = len(_HEAD), 0
    rows = []
    for some in _in_blocks(entries):
        columns, hashes = encode(some)
        packed = compress(columns)
        out.write(packed)
        out.write(hashes)
        links = sum(entry.kind == HARD_LINK for entry in some)
        row = _ROW.pack(
            *(at, len(packed), crc32(packed), len(columns), len(hashes), crc32(hashes)),
            *(len(some), links, len(key := sort_key(some[0].name))),
        )
        rows.append(row + key)
        at += len(packed) + len(hashes)
        count += len(some)
    attached = at
    for piece in attachment():
        out.write(piece)
        at += len(piece)
    index = compress(b"".join(rows))
    out.write(index)
    trailer = _TRAILER.pack(
        *(VERSION, layer.raw, count, at, len(index), crc32(index)), *(attached, at - attached)
    )
    out.write(trailer + _END.pack(crc32(trailer), _MAGIC))


def _in_blocks(entries: Iterable[FileEntry]) -> Iterator[list[FileEntry]]:
    block: list[FileEntry] = []
    size = 0
    for entry in entries:
        full = len(block) >= MAX_ENTRIES or size >= MAX_WEIGHT
        if full and entry.name != block[-1].name:
            yield block
            block, size = [], 0
        block.append(entry)
        size += weight(entry)
    if block:
        yield block


class ContentsTable:
    """A `Contents` in a file, which it closes. One thread uses it at a time."""

    def __init__(
        self,
        file: IO[bytes],
        layer: Digest,
        *,
        hashes: bool = False,
        again: Callable[[], IO[bytes]] | None = None,
    ) -> None:
        """Open a table.

        Args:
            file: the table; it is closed if it is unusable.
            layer: the blob that it has to be of.
            hashes: whether entries are to have the hashes of their content.
            again: makes the table again, which is the same to the byte, where a block of it turns
                out to be damaged.

        Raises:
            Unusable: this is no good table of the layer.
        """
        self._file, self._layer, self._hashes, self._again = file, layer, hashes, again
        self._kept: dict[int, BlockReader] = {}
        self._last: tuple[int, list[FileEntry]] = (-1, [])  # a block that was decoded, whole
        self._hard_links: list[FileEntry] | None = None
        self._open()

    def _open(self) -> None:
        try:
            self._read_index()
        except _UNREADABLE as error:
            self.close()
            raise self._unusable(error) from None

    def _read_index(self) -> None:
        size = self._file.seek(0, os.SEEK_END)
        tail = _TRAILER.size + _END.size
        trailer = self._read(size - tail, tail) if size >= tail + len(_HEAD) else b""
        check, magic = _END.unpack_from(trailer, _TRAILER.size) if trailer else (0, b"")
        if magic != _MAGIC or check != crc32(trailer[: _TRAILER.size]):
            raise ValueError("no table, or a part of one")
        version, layer, self.count, at, length, check, attached, attachment = _TRAILER.unpack(
            trailer[: _TRAILER.size]
        )
        if version != VERSION or layer != self._layer.raw or at + length + tail != size:
            raise ValueError("a table of another layer or version")
        self._attached, self.attachment_size = attached, attachment
        if self._read(0, len(_HEAD)) != _HEAD:
            raise ValueError("it does not begin as a table")
        index = _unpacked(self._checked(at, length, check), MAX_RAW)
        self._rows, place = list[_Row](), 0
        while place < len(index):
            *numbers, key = _ROW.unpack_from(index, place)
            place += _ROW.size
            self._rows.append(_Row._make((*numbers, index[place : place + key])))
            place += key
        self._keys = [row.key for row in self._rows]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What is in it

    def entries(self, start: bytes = b"") -> Iterator[FileEntry]:
        key = sort_key(start)
        first = max(bisect_right(self._keys, key) - 1, 0)
        for number in range(first, len(self._rows)):
            entries = self._entries(number)
            if number == first and start:
                entries = entries[bisect_left(entries, key, key=_key_of) :]
            yield from entries

    def at(self, name: bytes) -> Sequence[FileEntry]:
        key = sort_key(name)
        number = bisect_right(self._keys, key) - 1
        if number < 0:
            return ()

        def found(block: BlockReader) -> Sequence[FileEntry]:
            first = bisect_left(block.names, key, key=sort_key)
            some = range(first, min(first + 3, len(block.names)))
            return [block.entry(place) for place in some if block.names[place] == name]

        return self._use(number, found)

    @property
    def hard_links(self) -> Sequence[FileEntry]:
        if self._hard_links is None:
            self._hard_links = [
                entry
                for number, row in enumerate(self._rows)
                if row.hard_links
                for entry in self._entries(number)
                if entry.kind == HARD_LINK
            ]
        return self._hard_links

    def attachment(self, offset: int, size: int) -> bytes:
        """A part of what was attached; whoever attached it checks it.

        Raises:
            Unusable: it cannot be read.
        """
        try:
            return self._read(self._attached + offset, min(size, self.attachment_size - offset))
        except OSError as error:
            raise self._unusable(error) from None

    def verify(self) -> None:
        """Read all of it, but for what is attached.

        Raises:
            Unusable: something in it is damaged.
        """
        for row in self._rows:
            try:
                self._read_block(row, hashes=True).entries()
            except _UNREADABLE as error:
                raise self._unusable(error) from None

    # Blocks

    def _entries(self, number: int) -> list[FileEntry]:
        last, entries = self._last
        if number != last:
            entries = self._use(number, BlockReader.entries)
            self._last = number, entries
        return entries

    def _use(self, number: int, use: Callable[[BlockReader], T]) -> T:
        try:
            return use(self._block(number))
        except Malformed as error:
            return use(self._remade(number, error))

    def _block(self, number: int) -> BlockReader:
        block = self._kept.get(number)
        if block is None:
            try:
                block = self._read_block(self._rows[number], hashes=self._hashes)
            except _UNREADABLE as error:
                block = self._remade(number, error)
            while len(self._kept) >= _KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[number] = block
        return block

    def _remade(self, number: int, error: Exception) -> BlockReader:
        """A block that could not be read, of the table made again."""
        if self._again is None:
            raise self._unusable(error) from None
        self._file.close()
        self._file = self._again()
        self._open()
        try:
            return self._read_block(self._rows[number], hashes=self._hashes)
        except _UNREADABLE as again:
            raise self._unusable(again) from None

    def _unusable(self, reason: Exception) -> Unusable:
        return Unusable(f"cannot read the table of contents of layer {self._layer}: {reason}")

    def _read_block(self, row: _Row, *, hashes: bool) -> BlockReader:
        size = row.length + (row.hashes if hashes else 0)
        data = self._read(row.offset, size)
        packed = data[: row.length]
        digests = data[row.length :] if hashes else None
        bad = len(data) != size or crc32(packed) != row.check
        if bad or (digests is not None and crc32(digests) != row.hashes_check):
            raise ValueError("a block has another check sum")
        block = BlockReader(_unpacked(packed, row.raw), digests)
        if len(block.names) != row.entries:
            raise ValueError("a block of another length")
        return block

    def _checked(self, offset: int, length: int, check: int) -> bytes:
        data = self._read(offset, length)
        if crc32(data) != check:
            raise ValueError("the index has another check sum")
        return data

    def _read(self, offset: int, size: int) -> bytes:
        self._file.seek(offset)
        data = self._file.read(size)
        while 0 < len(data) < size and (more := self._file.read(size - len(data))):
            data += more
        return data


def _key_of(entry: FileEntry) -> bytes:
    return entry.name.replace(b"/", b"\0")


def _unpacked(packed: bytes, most: int) -> bytes:
    """What was compressed; at most so many bytes."""
    inflater = decompressobj()
    data = inflater.decompress(packed, min(most, MAX_RAW) + 1)
    if len(data) > most or not inflater.eof:
        raise ValueError("a block of another length")
    return data
