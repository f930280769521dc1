"""The entries of a layer's tar, in the order in which it has them, while it streams by.

All that the world writes is read: POSIX ustar and pax, GNU's long names, large numbers and sparse
files, v7. As in Go's reader, which Docker uses, links, devices and directories have no content, a
global pax header says nothing, and the tar ends with a block of zeros or between two entries. What
is no tar is refused: a table of contents that ends where nonsense begins would be half of one.

Content is not kept, only hashed in passing, by a second thread (`ContentHashes`).
"""

from __future__ import annotations

from struct import Struct

from casstore.errors import Refused, quote
from casstore.model.fileentry import (
    BLOCK_DEVICE,
    CHARACTER_DEVICE,
    DIRECTORY,
    FIFO,
    FILE,
    HARD_LINK,
    SYMLINK,
    FileEntry,
)
from casstore.transfer import sparsemap
from casstore.transfer.contenthashes import HOLE, UNHASHED
from casstore.transfer.hashedpieces import HashedPieces
from casstore.transfer.layertar import BLOCK, FREE_RECORDS, MAX_EXTENDED, RECORDS_EACH
from casstore.transfer.tarstream import is_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import NoReturn

    from casstore.model.digest import Digest
    from casstore.transfer.contenthashes import ContentHashes
    from casstore.transfer.sparsemap import Piece

MAX_PATH = 4096  # bytes of a name, or of what a link leads to; Linux takes no longer one

_HEADER = Struct("100s8s8s8s12s12s8xc100s8s64x8s8s155s12x")
_ZEROS = bytes(BLOCK)
_NS = 1_000_000_000
_INT64 = 1 << 63
_KNOWN_NUMBERS = 4096  # fields of headers whose value is remembered

_USTAR = b"ustar\0"
_STAR = b"tar\0"  # at the end of a header of star, whose prefix is shorter
_KINDS = {
    b"1": HARD_LINK,
    b"2": SYMLINK,
    b"3": CHARACTER_DEVICE,
    b"4": BLOCK_DEVICE,
    b"5": DIRECTORY,
    b"6": FIFO,
    b"D": DIRECTORY,  # GNU tar's, with a list of its names as content
}
_WITHOUT_CONTENT = frozenset((b"1", b"2", b"3", b"4", b"5", b"6"))
_AHEAD = frozenset((b"x", b"X", b"L", b"K", b"g", b"V"))  # no entries; V: the name of a volume
_SPARSE = b"S"
_XATTR = b"SCHILY.xattr."
_PIECES = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")  # again and again, in version 0.0


class TarEntries:
    """Iterate over it once. What belongs to the tar, and not to a file, does not come."""

    def __init__(self, pieces: Iterator[bytes], layer: Digest, hashes: ContentHashes) -> None:
        """Read a tar.

        Args:
            pieces: its bytes; none of them is empty.
            layer: the blob, for messages.
            hashes: is given the content of every file that has any.
        """
        self._bytes = HashedPieces(pieces, hashes)
        self._layer = layer
        self._numbers: dict[bytes, int] = {}
        self._left = FREE_RECORDS
        self._begun = 0  # offset of the header being read
        # What extended headers say of the entry that follows them.
        self._name: bytes | None = None
        self._link: bytes | None = None
        self._pax: dict[bytes, bytes] = {}

    def __iter__(self) -> Iterator[FileEntry]:
        """The entries, as the tar has them: their names normalised, nothing resolved.

        `order` counts them; a file has no `sha256`.

        Raises:
            Refused: what is not a tar, or past a limit.
        """
        order = 0
        unpack, read = _HEADER.unpack, self._bytes.read
        while True:
            self._begun = self._bytes.offset
            block = read(BLOCK)
            if not is_header(block):
                if not block or block == _ZEROS:
                    break
                self._refuse_header(block)
            fields = unpack(block)
            flag = fields[6]
            size = self._number(fields[4])
            self._left += RECORDS_EACH
            if size < 0:
                self._refuse("a negative size")
            if flag in _AHEAD:
                if flag in b"xX":
                    self._pax = self._records(self._extended(size))
                elif flag == b"L":
                    self._name = self._extended(size)
                elif flag == b"K":
                    self._link = self._extended(size)
                else:
                    self._pass(size)
                    self._bytes.skip(-size % BLOCK)
                continue
            order += 1
            if flag == b"M":
                self._refuse("the rest of a file that began in another archive")
            entry, stored = self._entry(block, fields, size, order)
            self._name = self._link = None
            self._pax = {}
            if stored:
                if entry.kind != FILE:
                    self._pass(stored)
                elif entry.extents is None:
                    self._hash(stored)
                else:
                    self._hash_sparse(entry)
                self._bytes.skip(
                    -stored % BLOCK
                )  # Go does without these, too, at the end of the tar
            elif entry.size:
                self._hash_sparse(entry)
            yield entry
        self._bytes.drain()

    def _entry(
        self, block: bytes, fields: tuple[bytes, ...], size: int, order: int
    ) -> tuple[FileEntry, int]:
        """An entry, and how many bytes of content the tar has of it."""
        raw, mode, uid, gid, _, mtime, flag, linked, magic, major, minor, prefix = fields
        number, pax = self._number, self._pax
        name, link = self._name, self._link
        if name is None:
            name = raw
            if magic[:6] == _USTAR and prefix[0]:
                if block[508:] == _STAR:
                    prefix = prefix[:131]
                name = prefix.partition(b"\0")[0] + b"/" + raw.partition(b"\0")[0]
        if link is None:
            link = linked
        owner, group = number(uid), number(gid)
        time = number(mtime) * _NS
        xattrs: tuple[tuple[bytes, bytes], ...] = ()
        sparse = False
        if pax:
            name = pax.get(b"path") or name
            link = pax.get(b"linkpath") or link
            if b"size" in pax:
                size = self._decimal(pax[b"size"])
            if b"uid" in pax:
                owner = self._decimal(pax[b"uid"])
            if b"gid" in pax:
                group = self._decimal(pax[b"gid"])
            if b"mtime" in pax:
                time = self._time(pax[b"mtime"])
            sparse = b"GNU.sparse.major" in pax or b"GNU.sparse.size" in pax
            xattrs = tuple(
                sorted((key[13:], value) for key, value in pax.items() if key.startswith(_XATTR))
            )
        kind = _KINDS.get(flag, FILE)
        if flag == b"\0" and name.partition(b"\0")[0].endswith(b"/"):
            kind = DIRECTORY  # before ustar there was no flag for it
        stored = 0 if flag in _WITHOUT_CONTENT else size
        if min(size, owner, group) < 0 or not -_INT64 <= time < _INT64:
            self._refuse("a number that is out of range")
        device = (0, 0)
        extents = None
        target = b""
        offset = 0
        if kind == FILE:
            if flag == _SPARSE:
                size, extents = self._old_gnu_map(block, stored)
            elif sparse:
                name = pax.get(b"GNU.sparse.name") or name
                size, stored, extents = self._pax_map(pax, stored)
            offset = self._bytes.offset
        else:
            size = 0
            if kind in (SYMLINK, HARD_LINK):
                target = self._text(link)
                if kind == HARD_LINK:
                    target = normalised(target)
            elif kind in (CHARACTER_DEVICE, BLOCK_DEVICE):
                device = number(major), number(minor)
        entry = FileEntry._make(
            (
                *(normalised(self._text(name)), kind, number(mode) & 0o7777, owner, group, time),
                *(size, target, device, xattrs, b"", offset, extents, order, order, False),
            )
        )
        return entry, stored

    # Numbers and texts

    def _number(self, field: bytes) -> int:
        """A field of a header: octal digits, or base 256 where the first bit is set."""
        value = self._numbers.get(field)
        if value is None:
            if field[0] & 0x80:
                bits = 8 * len(field) - 1
                value = int.from_bytes(field, "big") & ((1 << bits) - 1)
                if field[0] & 0x40:
                    value -= 1 << bits
            else:
                digits = field.strip(b" \0").partition(b"\0")[0]
                if digits.strip(b"01234567"):
                    self._refuse(f"the number {_shown(digits)}, which is not octal")
                value = int(digits or b"0", 8)
            if not -_INT64 <= value < _INT64:
                self._refuse("a number that is out of range")
            if len(self._numbers) < _KNOWN_NUMBERS:
                self._numbers[field] = value
        return value

    def _decimal(self, text: bytes) -> int:
        if not (text.isdigit() and len(text) < 20 and int(text) < _INT64):
            self._refuse(f"the number {_shown(text)}, which is not decimal, or out of range")
        return int(text)

    def _time(self, text: bytes) -> int:
        """Nanoseconds of a decimal fraction of seconds, which may be negative."""
        whole, _, fraction = text.partition(b".")
        digits = whole[1:] if whole[:1] == b"-" else whole
        if not digits.isdigit() or len(digits) > 18 or (fraction and not fraction.isdigit()):
            self._refuse(f"the time {_shown(text)}")
        value = int(digits) * _NS + int(fraction[:9].ljust(9, b"0"))
        return -value if whole[:1] == b"-" else value

    def _text(self, text: bytes) -> bytes:
        text = text.partition(b"\0")[0]
        if len(text) > MAX_PATH:
            self._refuse(f"a name that exceeds the limit of {MAX_PATH} bytes")
        return text

    # Extended headers

    def _extended(self, size: int) -> bytes:
        if not 0 <= size <= MAX_EXTENDED:
            self._refuse(f"an extended header that exceeds the limit of {MAX_EXTENDED} bytes")
        data = self._bytes.read(_padded(size))
        if len(data) < size:
            self._refuse_cut()
        return data[:size]

    def _records(self, data: bytes) -> dict[bytes, bytes]:
        """The records of a pax header; pieces of a sparse file are joined into a map of 0.1."""
        records: dict[bytes, bytes] = {}
        pieces: list[bytes] = []
        at = 0
        while at < len(data):
            self._left -= 1
            blank = data.find(b" ", at, at + 20)
            digits = data[at:blank] if blank > 0 else b""
            length = int(digits) if digits.isdigit() else 0
            end = at + length
            equals = data.find(b"=", blank, end)
            if equals < 0 or end > len(data) or data[end - 1] != 0x0A:
                self._refuse("a malformed pax record")
            if self._left < 0:
                self._refuse("more pax records than the limit allows")
            key, value = data[blank + 1 : equals], data[equals + 1 : end - 1]
            if key in _PIECES:
                pieces.append(value)
            elif value:
                records[key] = value
            else:
                records.pop(key, None)  # what the header says counts; no attribute, with Go too
            at = end
        if pieces:
            records[b"GNU.sparse.map"] = b",".join(pieces)
        return records

    # Sparse files

    def _old_gnu_map(self, block: bytes, stored: int) -> tuple[int, tuple[Piece, ...]]:
        size = self._number(block[483:495])
        fields, more = [block[386:482]], block[482]
        while more:
            block = self._bytes.read(BLOCK)
            if len(block) < BLOCK:
                self._refuse_cut()
            fields.append(block[:504])
            more = block[504] if len(fields) < sparsemap.BLOCKS else 0
        pieces = sparsemap.old_gnu_map(b"".join(fields), self._number)
        return size, self._checked(pieces, size, stored)

    def _pax_map(self, pax: dict[bytes, bytes], stored: int) -> tuple[int, int, tuple[Piece, ...]]:
        """Size of a file, bytes of it that the tar has, and where these belong."""
        size = self._decimal(pax.get(b"GNU.sparse.realsize", pax.get(b"GNU.sparse.size", b"")))
        if pax.get(b"GNU.sparse.major", b"0") == b"0":
            text = pax.get(b"GNU.sparse.map")
            pieces = sparsemap.pax_map(text.split(b",") if text else [])
        else:
            most = min(stored, MAX_EXTENDED)
            pieces, taken = sparsemap.map_in_content(lambda: self._bytes.read(BLOCK), most)
            stored -= taken
        return size, stored, self._checked(pieces, size, stored)

    def _checked(self, pieces: Sequence[Piece] | None, size: int, stored: int) -> tuple[Piece, ...]:
        checked = None if pieces is None else sparsemap.checked(pieces, size, stored)
        if checked is None:
            self._refuse("a sparse file whose map does not fit its content")
        return checked

    # Content

    def flush(self) -> None:
        """Have all content hashed that has come so far."""
        self._bytes.flush()

    def _pass(self, size: int) -> None:
        """Pass so many bytes, which have to be there."""
        if not self._bytes.skip(size):
            self._refuse_cut()

    def _hash(self, size: int, *, ends: bool = True) -> None:
        if not self._bytes.hash(size, ends=ends):
            self._refuse_cut()

    def _hash_sparse(self, entry: FileEntry) -> None:
        pieces = entry.extents or ()
        stored = sum(length for _, length in pieces)
        if not self._bytes.takes_hole(entry.size - stored):
            self._pass(stored)
            self._bytes.hash_other((UNHASHED, 0, True))
            return
        at = 0
        for place, length in pieces:
            self._bytes.hash_other((HOLE, place - at, False))
            self._hash(length, ends=False)
            at = place + length
        self._bytes.hash_other((HOLE, entry.size - at, True))

    # Refusals

    def _refuse(self, what: str) -> NoReturn:
        raise Refused(f"layer {self._layer} has {what}, at byte {self._begun}")

    def _refuse_cut(self) -> NoReturn:
        raise Refused(f"layer {self._layer} is truncated in the tar entry at byte {self._begun}")

    def _refuse_header(self, block: bytes) -> NoReturn:
        if len(block) < BLOCK:
            self._refuse_cut()
        if not self._begun:
            raise Refused(f"layer {self._layer} is not a tar archive")
        raise Refused(f"layer {self._layer} has no tar header at byte {self._begun}")


def normalised(name: bytes) -> bytes:
    """A name from the root, without slashes around it, `.`, `..` and what is doubled."""
    if name[:2] == b"./":
        name = name[2:]
    name = name.strip(b"/")
    if name[:1] != b"." and b"/." not in name and b"//" not in name:
        return name
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts)


def _padded(size: int) -> int:
    return size + -size % BLOCK


def _shown(text: bytes) -> str:
    return quote(text.decode("utf-8", "backslashreplace"))
