"""Files written as a tar: the same files give the same bytes.

The form is POSIX's pax: a plain ustar header where that can say it, and before it a record of each
attribute where it cannot: a long name, times in nanoseconds, large numbers, extended attributes
(`SCHILY.xattr.`, as Docker, GNU tar and libarchive have them). Names of UTF-8 beyond ASCII stand in
a record too, whose encoding is settled; names that are not UTF-8 are written as they are, and where
they need a record it has `hdrcharset=BINARY`, as POSIX says. Holes of sparse files are kept, in the
form of GNU tar called 1.0, which Go, libarchive and Python read. Nothing tells of this machine, of
today, or of names of users.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from zlib import adler32

from casstore.errors import Refused, quote
from casstore.model.fileentry import (
    BLOCK_DEVICE,
    CHARACTER_DEVICE,
    DIRECTORY,
    FIFO,
    FILE,
    ROOT,
    SYMLINK,
    FileEntry,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import IO

BLOCK = 512

# name; mode and owners; size and time; sum; kind; target; magic, version and no names of owners;
# device; prefix
_HEADER = Struct("100s24s24s8sc100s72s16s155s12x")
_NAME, _PREFIX = 100, 155
_SUM, _AFTER_SUM = 148, 156  # where that field begins and ends
_USTAR = b"ustar\x0000"
_BLANK = b"        "  # what stands for the sum while it is made
_SIZES = b"%011o\0%011o\0"  # size and time
_NO_DEVICE = b"0000000\0" * 2
_HALF = BLOCK // 2
_REMEMBERED = 4096  # modes with owners, and devices
_ZEROS = bytes(BLOCK)
_PLAIN, _LINK, _EXTENDED = b"0", b"1", b"x"
_TYPES = {
    FILE: _PLAIN, SYMLINK: b"2", CHARACTER_DEVICE: b"3", BLOCK_DEVICE: b"4",
    DIRECTORY: b"5", FIFO: b"6",
}  # fmt: skip
_MOST_NUMBER = 0o7777777  # in a field of eight bytes
_MOST_SIZE = 0o77777777777  # in one of twelve
_SECOND = 10**9
# Bytes from which on a piece is written by itself, and of small ones together: each write lets
# the threads that decompress and hash take over.
_LARGE = 1 << 16
_TOGETHER = 1 << 18


class TarWriter:
    """Writes a tar forward; `finish` ends it. Raises OSError as `out` does, and Refused."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._held: list[bytes | memoryview] = []  # small pieces, which are written together
        self._holding = 0

    def add(self, entry: FileEntry, content: Iterable[bytes | memoryview] = ()) -> None:
        """Write one entry. `content` is that of a file; of a sparse one, of its pieces together."""
        if entry.name == ROOT and not entry.order:
            return  # no layer says what the root is like
        if entry.extents is not None:
            self._add_sparse(entry, entry.extents, content)
            return
        self._header(entry, _TYPES[entry.kind], entry.target, entry.size)
        for piece in content:
            self._write(piece)
        self._pad(entry.size)

    def link(self, entry: FileEntry, target: bytes) -> None:
        """Write another name of the file `target`, which stands before it."""
        self._header(entry, _LINK, target, 0)

    def finish(self) -> None:
        """The end of the tar."""
        self._write(bytes(2 * BLOCK))
        self._flush()

    def _write(self, data: bytes | memoryview) -> None:
        if len(data) >= _LARGE:
            self._flush()
            self._out.write(data)
            return
        self._held.append(data)
        self._holding += len(data)
        if self._holding >= _TOGETHER:
            self._flush()

    def _flush(self) -> None:
        if self._held:
            held, self._held, self._holding = self._held, [], 0
            self._out.write(b"".join(held))

    def _pad(self, size: int) -> None:
        if rest := -size % BLOCK:
            self._write(_ZEROS[:rest])

    def _add_sparse(
        self,
        entry: FileEntry,
        extents: tuple[tuple[int, int], ...],
        content: Iterable[bytes | memoryview],
    ) -> None:
        """GNU tar, "PAX Format, Version 1.0": before the pieces a list of where they belong."""
        places = list(extents)
        if sum(places[-1] if places else (0, 0)) < entry.size:
            places.append((entry.size, 0))  # which says that it ends in a hole
        numbers = [len(places), *(number for place in places for number in place)]
        table = b"".join(b"%d\n" % number for number in numbers)
        table += bytes(-len(table) % BLOCK)
        stored = sum(length for _, length in places)
        records = [
            (b"GNU.sparse.major", b"1"),
            (b"GNU.sparse.minor", b"0"),
            (b"GNU.sparse.name", entry.name),
            (b"GNU.sparse.realsize", b"%d" % entry.size),
        ]
        self._header(entry, _PLAIN, b"", len(table) + stored, records)
        self._write(table)
        for piece in content:
            self._write(piece)
        self._pad(stored)

    def _header(
        self,
        entry: FileEntry,
        kind: bytes,
        target: bytes,
        size: int,
        sparse: list[tuple[bytes, bytes]] | None = None,
    ) -> None:
        records: list[tuple[bytes, bytes]] = []
        name = entry.name or b"."
        if kind == b"5":
            name += b"/"
        is_ascii = name.isascii() and target.isascii()
        split = _split(name)
        if sparse:
            # readers that do not know of sparse files give it a name of its own
            records += sparse
            if not _is_utf8(name):
                records.insert(0, (b"hdrcharset", b"BINARY"))
            split = b"", b"GNUSparseFile.0/" + _base(name)
        elif split is None or len(target) > _NAME or not is_ascii:
            records += _names(name, target, fits=split is not None and len(target) <= _NAME)
        prefix, short = split if split is not None else (b"", _base(name))
        uid, gid = entry.uid, entry.gid
        if not 0 <= uid <= _MOST_NUMBER:
            records.append((b"uid", b"%d" % uid))
            uid = 0
        if not 0 <= gid <= _MOST_NUMBER:
            records.append((b"gid", b"%d" % gid))
            gid = 0
        seconds, fraction = divmod(entry.mtime, _SECOND)
        if fraction or not 0 <= seconds <= _MOST_SIZE:
            records.append((b"mtime", _time(entry.mtime)))
            seconds = max(0, min(seconds, _MOST_SIZE))
        if size > _MOST_SIZE:
            records.append((b"size", b"%d" % size))
            size = 0
        if entry.xattrs:
            records += [
                (b"SCHILY.xattr." + attribute.replace(b"=", b"%3D"), value)
                for attribute, value in entry.xattrs
            ]
        device = _NO_DEVICE
        if entry.device != (0, 0):
            major, minor = entry.device
            if max(major, minor) > _MOST_NUMBER:
                raise Refused(f"{quote(entry.path)}: there is no device {major}:{minor}")
            device = _numbers(major, minor)
        if records:
            self._extended(records, name)
        self._block(
            short, _numbers(entry.mode & 0o7777, uid, gid), _SIZES % (size, seconds), _BLANK,
            kind, target[:_NAME], _USTAR, device, prefix,
        )  # fmt: skip

    def _extended(self, records: list[tuple[bytes, bytes]], name: bytes) -> None:
        data = b"".join(_record(key, value) for key, value in records)
        self._block(
            b"PaxHeaders/" + _base(name), _numbers(0o644, 0, 0), _SIZES % (len(data), 0), _BLANK,
            _EXTENDED, b"", _USTAR, _NO_DEVICE, b"",
        )  # fmt: skip
        self._write(data)
        self._pad(len(data))

    def _block(self, *fields: bytes) -> None:
        block = _HEADER.pack(*fields)
        # The low half of Adler-32 is 1 + the sum of all bytes, as long as that is below 65521:
        # which it is of 256 bytes.
        total = (adler32(block[:_HALF]) & 0xFFFF) + (adler32(block[_HALF:]) & 0xFFFF) - 2
        self._write(b"%b%06o\0 %b" % (block[:_SUM], total, block[_AFTER_SUM:]))


@lru_cache(_REMEMBERED)
def _numbers(*numbers: int) -> bytes:
    """Fields of eight bytes, one after the other."""
    return b"".join(b"%07o\0" % number for number in numbers)


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """Prefix and name of a ustar header; None where the name is too long for them."""
    if len(name) <= _NAME:
        return b"", name
    if len(name) > _PREFIX + 1 + _NAME:
        return None
    # the first slash from which on the rest is short enough, but one that ends the name
    at = name.find(b"/", len(name) - _NAME - 1, len(name) - 1)
    return (name[:at], name[at + 1 :]) if 0 < at <= _PREFIX else None


def _names(name: bytes, target: bytes, *, fits: bool) -> list[tuple[bytes, bytes]]:
    """The records of names that are too long for the header, or that are not ASCII."""
    records = []
    if not (_is_utf8(name) and _is_utf8(target)):
        if fits:
            return []  # as they are: nobody knows their encoding
        records.append((b"hdrcharset", b"BINARY"))
    records.append((b"path", name))
    if target:
        records.append((b"linkpath", target))
    return records


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _base(name: bytes) -> bytes:
    """What the header says where the name stands in a record."""
    return name.rstrip(b"/").rpartition(b"/")[2][:80]


def _record(key: bytes, value: bytes) -> bytes:
    """`length key=value`, where the length counts itself."""
    rest = b" %b=%b\n" % (key, value)
    length = len(rest) + 1
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d%b" % (length, rest)


def _time(mtime: int) -> bytes:
    """Seconds, with as many places after the point as are needed."""
    sign = b"-" if mtime < 0 else b""
    seconds, fraction = divmod(abs(mtime), _SECOND)
    return b"%b%d%b" % (sign, seconds, (b".%09d" % fraction).rstrip(b"0").rstrip(b"."))
