"""Entries of a layer as blocks of columns: what tables of contents, and their drafts, consist of.

A block is read whole. Each field has its column, which is small once it is compressed and is read
at the speed of C: names are joined by NUL bytes, which no name has; numbers are little-endian
arrays, as narrow as their range allows. Content hashes, which do not compress, are a block of their
own, so that whoever does not want them need not read them.
"""

from __future__ import annotations

import sys
from array import array
from itertools import accumulate, chain, islice, repeat
from operator import add, mul, sub
from struct import Struct, error

from casstore.model.fileentry import (
    BLOCK_DEVICE,
    CHARACTER_DEVICE,
    DIRECTORY,
    FIFO,
    FILE,
    HARD_LINK,
    OPAQUE,
    SYMLINK,
    WHITEOUT,
    FileEntry,
)
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TypeVar

    T = TypeVar("T")

Device = tuple[int, int]
Xattrs = tuple[tuple[bytes, bytes], ...]
Extents = tuple[tuple[int, int], ...] | None

# Of files as they are being sorted (layercontents.py); no table has them.
REQUEST = "request"
MARK = "mark"

_KINDS = (
    *(FILE, DIRECTORY, SYMLINK, CHARACTER_DEVICE, BLOCK_DEVICE, FIFO, HARD_LINK, WHITEOUT, OPAQUE),
    *(REQUEST, MARK),
)
_CODES = {kind: code for code, kind in enumerate(_KINDS)}
_SHARED = 0x80
_DECODED_KINDS = [*_KINDS, *[""] * (_SHARED - len(_KINDS))] * 2
_DECODED_SHARED = [False] * _SHARED + [True] * _SHARED
_IS_FILE = bytes(code & ~_SHARED == _CODES[FILE] for code in range(256))

HASH = 32  # bytes
NOT_HASHED = bytes(HASH)
_OF_NOTHING = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
_NS = 1_000_000_000
_TAR_BLOCK = 512

_COUNT = Struct("<I")
_COLUMN = Struct("<Bq")  # width of a number in bytes; what is to be added to each
_WIDTHS = ((0, 0, ""), (1 << 8, 1, "B"), (1 << 16, 2, "H"), (1 << 32, 4, "I"), (1 << 64, 8, "Q"))
_CODE_OF = {width: code for _, width, code in _WIDTHS if width}
_DEVICE = Struct("<IQQ")
_RARE = Struct("<III")
_ITEM = Struct("<II")
_PIECE = Struct("<QQ")
_SWAPPED = sys.byteorder == "big"
# What no name in a table has: they come from a file that somebody else may have written.
_OUTSIDE = (b"\0..\0", b"\0../", b"/../", b"/..\0")

Malformed = (ValueError, error, IndexError, OverflowError)  # what a BlockReader raises


class Block(Value):
    """Some entries, as bytes."""

    columns: bytes
    hashes: bytes


def weight(entry: FileEntry) -> int:
    """About how many bytes the parts of an entry have that may be long."""
    size = len(entry[0]) + len(entry[7])  # name and target
    if entry.xattrs:
        size += sum(len(name) + len(value) for name, value in entry.xattrs)
    if entry.extents:
        size += 64 * len(entry.extents)
    return size


def encode(entries: Sequence[FileEntry]) -> Block:
    """At least one entry. A sparse file's pieces, and its content, begin on a block of the tar."""
    fields = zip(*entries, strict=True)
    names, kinds, modes, uids, gids, times, sizes, targets = islice(fields, 8)
    devices, xattrs, hashes, offsets, extents, orders, inodes, shared = fields
    codes = map(_CODES.__getitem__, kinds)
    flags = bytes(map(add, codes, map(mul, shared, repeat(_SHARED))))
    seconds = [time // _NS for time in times]
    places = [offset // _TAR_BLOCK for offset in offsets]
    parts = [
        _COUNT.pack(len(names)),
        flags,
        _texts(names),
        _texts(targets) if any(targets) else _COUNT.pack(0),
        _numbers(modes),
        _numbers(uids),
        _numbers(gids),
        _numbers(seconds),
        _numbers([time - second * _NS for time, second in zip(times, seconds, strict=True)]),
        _numbers(sizes),
        _numbers(_jumps(places, sizes, flags)),
        _numbers(list(map(sub, orders, chain((0,), orders)))),
        _numbers(list(map(sub, orders, inodes))),
        _devices(devices),
        _rare(xattrs, extents),
    ]
    digests = [digest or NOT_HASHED for digest, size in zip(hashes, sizes, strict=True) if size]
    return Block(b"".join(parts), b"".join(digests))


class BlockReader:
    """A block: all of its entries, or some of them for much less."""

    def __init__(self, columns: bytes, hashes: bytes | None = None) -> None:
        """Without `hashes`, entries have none.

        Raises:
            Malformed: they are of another form.
        """
        self._data, self._hashes = columns, hashes
        (count,) = _COUNT.unpack_from(columns)
        at = _COUNT.size + count
        self._flags = columns[_COUNT.size : at]
        joined, at = _text_at(columns, at)
        around = b"\0%b\0" % joined
        if b"\0/" in around or (b".." in around and any(bad in around for bad in _OUTSIDE)):
            raise ValueError("a name leads out of the root")
        self.names = joined.split(b"\0")
        targets, at = _text_at(columns, at)
        self._targets = targets.split(b"\0") if targets else None
        self._numbers = []
        for _ in range(9):
            numbers = _Numbers(columns, at, count)
            self._numbers.append(numbers)
            at = numbers.end
        self._rare_from = at
        lengths = {len(self.names), len(self._flags), len(self._targets or self.names)}
        if lengths != {count}:
            raise ValueError("a block of another length")

    def entries(self) -> list[FileEntry]:
        """All of them. Raises Malformed."""
        flags, count = self._flags, len(self.names)
        modes, uids, gids, seconds, fractions, sizes, jumps, steps, earlier = self._numbers
        size = list(sizes.all())
        order = list(accumulate(steps.all()))
        times = map(mul, seconds.all(), repeat(_NS))
        devices, xattrs, extents = self._rare()
        rows = zip(
            self.names,
            map(_DECODED_KINDS.__getitem__, flags),
            modes.all(),
            uids.all(),
            gids.all(),
            times if fractions.is_nothing else map(add, times, fractions.all()),
            size,
            self._targets or repeat(b"", count),
            devices,
            xattrs,
            repeat(b"", count) if self._hashes is None else _hashes(flags, size, self._hashes),
            _offsets(jumps.all(), size, flags),
            extents,
            order,
            order if earlier.is_nothing else map(sub, order, earlier.all()),
            map(_DECODED_SHARED.__getitem__, flags),
            strict=True,
        )
        return list(map(FileEntry._make, rows))

    def entry(self, number: int) -> FileEntry:
        """One of them. Raises Malformed."""
        modes, uids, gids, seconds, fractions, sizes, jumps, steps, earlier = self._numbers
        before = list(sizes.first(number + 1))
        size = before.pop()
        flag = self._flags[number]
        order = sum(steps.first(number + 1))
        digest, offset = b"", 0
        if _IS_FILE[flag]:
            offset = (sum(jumps.first(number + 1)) + sum(_blocks(before))) * _TAR_BLOCK
            if self._hashes is not None:
                place = HASH * (len(before) - before.count(0)) if size else 0
                digest = self._hashes[place : place + HASH] if size else _OF_NOTHING
        devices, xattrs, extents = self._rare()
        return FileEntry(
            self.names[number], _DECODED_KINDS[flag], modes.at(number), uids.at(number),
            gids.at(number), seconds.at(number) * _NS + fractions.at(number), size,
            self._targets[number] if self._targets else b"", _nth(devices, number),
            _nth(xattrs, number), digest if digest != NOT_HASHED else b"", offset,
            _nth(extents, number),
            order, order - earlier.at(number), _DECODED_SHARED[flag],
        )  # fmt: skip

    def _rare(self) -> tuple[Iterable[Device], Iterable[Xattrs], Iterable[Extents]]:
        count = len(self.names)
        devices, at = _devices_at(self._data, self._rare_from, count)
        xattrs, extents, at = _rare_at(self._data, at, count)
        if at != len(self._data):
            raise ValueError("a block of another length")
        return devices, xattrs, extents


def decode(columns: bytes, hashes: bytes) -> list[FileEntry]:
    """The entries of a block that this process has made."""
    return BlockReader(columns, hashes).entries()


# Texts


def _texts(texts: Iterable[bytes]) -> bytes:
    joined = b"\0".join(texts)
    return _COUNT.pack(len(joined)) + joined


def _text_at(data: bytes, at: int) -> tuple[bytes, int]:
    (length,) = _COUNT.unpack_from(data, at)
    at += _COUNT.size
    return data[at : at + length], at + length


# Numbers


def _numbers(values: Sequence[int]) -> bytes:
    low, high = min(values), max(values)
    width, code = _width(high - low)
    if width and low > 0 and width == _width(high)[0]:
        low = 0  # there is nothing to be added then
    head = _COLUMN.pack(width, low)
    if not width:
        return head
    numbers = array(code, values if not low else [value - low for value in values])
    if _SWAPPED:
        numbers.byteswap()
    return head + numbers.tobytes()


def _nth(items: Iterable[T], number: int) -> T:
    return next(islice(items, number, None))


def _width(span: int) -> tuple[int, str]:
    return next((width, code) for most, width, code in _WIDTHS if span < max(most, 1))


class _Numbers:
    """A column of numbers."""

    def __init__(self, data: bytes, at: int, count: int) -> None:
        self._data, self._count = data, count
        self._width: int
        self._low: int
        self._width, self._low = _COLUMN.unpack_from(data, at)
        self._from = at + _COLUMN.size
        self.end = self._from + self._width * count
        if self._width and self._width not in _CODE_OF:
            raise ValueError("numbers of another width")

    @property
    def is_nothing(self) -> bool:
        """Whether all of them are 0."""
        return not (self._width or self._low)

    def at(self, number: int) -> int:
        place = self._from + number * self._width
        raw = self._data[place : place + self._width]
        return self._low + int.from_bytes(raw, "little")

    def all(self) -> Iterable[int]:
        return self.first(self._count)

    def first(self, count: int) -> Iterable[int]:
        if not self._width:
            return repeat(self._low, count)
        numbers = array(_CODE_OF[self._width])
        numbers.frombytes(self._data[self._from : self._from + self._width * count])
        if _SWAPPED:
            numbers.byteswap()
        return map(self._low.__add__, numbers) if self._low else numbers


def _blocks(sizes: Iterable[int]) -> list[int]:
    return [(size + _TAR_BLOCK - 1) // _TAR_BLOCK + 1 for size in sizes]


def _jumps(places: Sequence[int], sizes: Sequence[int], flags: bytes) -> list[int]:
    """How far each content is from where it would be if it came right behind the one before."""
    jumps, expected = [], 0
    for place, size, is_file in zip(places, _blocks(sizes), flags.translate(_IS_FILE), strict=True):
        jumps.append(place - expected if is_file else 0)
        expected = (place if is_file else expected) + size
    return jumps


def _offsets(jumps: Iterable[int], sizes: Sequence[int], flags: bytes) -> Iterable[int]:
    expected = accumulate(map(add, jumps, chain((0,), _blocks(sizes))))
    return map(mul, map(mul, expected, flags.translate(_IS_FILE)), repeat(_TAR_BLOCK))


def _hashes(flags: bytes, sizes: Iterable[int], hashes: bytes) -> list[bytes]:
    each = (hashes[at : at + HASH] for at in range(0, len(hashes), HASH))
    found = [
        (next(each) if size else _OF_NOTHING) if is_file else b""
        for is_file, size in zip(flags.translate(_IS_FILE), sizes, strict=True)
    ]
    if NOT_HASHED in found:
        found = [b"" if digest == NOT_HASHED else digest for digest in found]
    return found


# What few entries have


def _devices(devices: Sequence[tuple[int, int]]) -> bytes:
    found = [(at, *device) for at, device in enumerate(devices) if device != (0, 0)]
    return _COUNT.pack(len(found)) + b"".join(_DEVICE.pack(*one) for one in found)


def _devices_at(data: bytes, at: int, count: int) -> tuple[Iterable[tuple[int, int]], int]:
    (number,) = _COUNT.unpack_from(data, at)
    at += _COUNT.size
    if not number:
        return repeat((0, 0), count), at
    devices = [(0, 0)] * count
    end = at + number * _DEVICE.size
    for place, major, minor in _DEVICE.iter_unpack(data[at:end]):
        devices[place] = (major, minor)
    return devices, end


def _rare(xattrs: Sequence[Xattrs], extents: Sequence[Extents]) -> bytes:
    parts, number = [b""], 0
    for at, (pairs, pieces) in enumerate(zip(xattrs, extents, strict=True)):
        if not pairs and pieces is None:
            continue
        number += 1
        known = 0 if pieces is None else len(pieces) + 1
        parts.append(_RARE.pack(at, len(pairs), known))
        for name, value in pairs:
            parts += (_ITEM.pack(len(name), len(value)), name, value)
        parts += [_PIECE.pack(*piece) for piece in pieces or ()]
    parts[0] = _COUNT.pack(number)
    return b"".join(parts)


def _rare_at(data: bytes, at: int, count: int) -> tuple[Iterable[Xattrs], Iterable[Extents], int]:
    (number,) = _COUNT.unpack_from(data, at)
    at += _COUNT.size
    if not number:
        return repeat((), count), repeat(None, count), at
    xattrs: list[Xattrs] = [()] * count
    extents: list[Extents] = [None] * count
    for _ in range(number):
        place, pairs, known = _RARE.unpack_from(data, at)
        at += _RARE.size
        found = []
        for _ in range(pairs):
            name, value = _ITEM.unpack_from(data, at)
            at += _ITEM.size
            found.append((data[at : at + name], data[at + name : at + name + value]))
            at += name + value
        xattrs[place] = tuple(found)
        if known:
            end = at + (known - 1) * _PIECE.size
            extents[place] = tuple(_PIECE.iter_unpack(data[at:end]))
            at = end
    return xattrs, extents, at
