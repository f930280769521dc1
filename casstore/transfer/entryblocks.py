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
_CODE_OF = {width: code for _, width, code in _WIDTHS}
_DEVICE = Struct("<IQQ")
_RARE = Struct("<III")
_ITEM = Struct("<II")
_PIECE = Struct("<QQ")
_SWAPPED = sys.byteorder == "big"
# What no name in a table has: they come from a file that somebody else may have written.
_OUTSIDE = (b"\0/", b"\0..\0", b"\0../", b"/../", b"/..\0")

Malformed = (ValueError, error, IndexError, OverflowError)  # what `decode` raises


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


def decode(columns: bytes, hashes: bytes | None = None) -> list[FileEntry]:
    """The entries of a block, without the hashes of their content unless these are given.

    Raises:
        Malformed: they are of another form.
    """
    (count,) = _COUNT.unpack_from(columns)
    at = _COUNT.size + count
    flags = columns[_COUNT.size : at]
    joined, at = _text_at(columns, at)
    around = b"\0%b\0" % joined
    if any(bad in around for bad in _OUTSIDE):
        raise ValueError("a name leads out of the root")
    names = joined.split(b"\0")
    joined, at = _text_at(columns, at)
    targets: Iterable[bytes] = joined.split(b"\0") if joined else repeat(b"", count)
    modes, at = _numbers_at(columns, at, count)
    uids, at = _numbers_at(columns, at, count)
    gids, at = _numbers_at(columns, at, count)
    seconds, at = _numbers_at(columns, at, count)
    fractions, at = _numbers_at(columns, at, count)
    sizes, at = _numbers_at(columns, at, count)
    jumps, at = _numbers_at(columns, at, count)
    steps, at = _numbers_at(columns, at, count)
    earlier, at = _numbers_at(columns, at, count)
    sizes = list(sizes)
    orders = list(accumulate(steps))
    devices, at = _devices_at(columns, at, count)
    xattrs, extents, at = _rare_at(columns, at, count)
    if at != len(columns) or not len(names) == len(flags) == count:
        raise ValueError("a block of another length")
    rows = zip(
        names,
        map(_DECODED_KINDS.__getitem__, flags),
        modes,
        uids,
        gids,
        map(add, map(mul, seconds, repeat(_NS)), fractions),
        sizes,
        targets,
        devices,
        xattrs,
        repeat(b"", count) if hashes is None else _hashes(flags, sizes, hashes),
        _offsets(jumps, sizes, flags),
        extents,
        orders,
        map(sub, orders, earlier),
        map(_DECODED_SHARED.__getitem__, flags),
        strict=True,
    )
    return list(map(FileEntry._make, rows))


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
    low = min(values)
    span = max(values) - low
    width, code = next((width, code) for most, width, code in _WIDTHS if span < max(most, 1))
    head = _COLUMN.pack(width, low)
    if not width:
        return head
    numbers = array(code, values if not low else [value - low for value in values])
    if _SWAPPED:
        numbers.byteswap()
    return head + numbers.tobytes()


def _numbers_at(data: bytes, at: int, count: int) -> tuple[Iterable[int], int]:
    width, low = _COLUMN.unpack_from(data, at)
    at += _COLUMN.size
    if not width:
        return repeat(low, count), at
    numbers = array(_CODE_OF[width]) if width in _CODE_OF else array("B")
    end = at + width * count
    numbers.frombytes(data[at:end])
    if _SWAPPED:
        numbers.byteswap()
    return (map(low.__add__, numbers) if low else numbers), end


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


Xattrs = tuple[tuple[bytes, bytes], ...]
Extents = tuple[tuple[int, int], ...] | None


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
