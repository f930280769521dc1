"""How many bytes of files a layer holds: Docker's SIZE, counted as the layer streams by.

The scanner walks the 512-byte headers of an uncompressed tar by hand and jumps over the data, so
that it costs little beside the hash of the same bytes. It is never a judge: a layer is stored as
it is, and content that is no tar (or stops being one) gives what was counted until then. Only
`import`, whose input a person names, asks whether it was one (`is_whole`).

Counted as Docker's overlay2 finds them in the unpacked layer: regular files with their pax or
base-256 size, sparse files with their expanded size, a symbolic link with the length of its target;
hard links, directories and devices nothing, so a hard-linked file counts once.
"""

from __future__ import annotations

from struct import Struct
from zlib import adler32

BLOCK = 512
MAX_EXTENDED = 1 << 20  # a longer pax header is skipped unread: Go stops there too
# Records of pax headers that are read; a layer of nothing else would take minutes for each GiB.
FREE_RECORDS = 100_000
RECORDS_EACH = 16  # more, for each header of the tar

_REGULAR = bytes((0, ord("0"), ord("7")))
_SPARSE = ord("S")
_PAX = ord("x")
_LONG_NAME = ord("L")
_LONG_LINK = ord("K")
_SYMLINK = ord("2")
_LINK_PATH = b"linkpath"
_NO_DATA = b"123456"  # links, devices, directories, fifos: data never follows, whatever the size
_ZEROS = bytes(BLOCK)
_FILE, _DIRECTORY, _NEWLINE = ord("0"), ord("5"), ord("\n")
_MOST_DIGITS = 20
_NOT_COUNTED = (b"mtime=", b"path=", b"atime=", b"ctime=")
_FIELDS = Struct("124x 12s 12x 8s B").unpack_from  # size, check sum, kind
_FILLED = b"\0 "  # what stands around digits
# The low half of adler32 is 1 + the sum of the bytes, mod 65521: a check sum at C speed. A header's
# own is of the block with eight spaces in its place.
_MODULUS = 65521
_SUMS_OWN = 1 - 8 * 0x20

# What the scanner is in the middle of. After the end, and after nonsense, it only watches.
_HEADER, _RECORDS, _LINK, _SPARSE_MAP, _END, _LOST = range(6)


class LayerScanner:
    """Feed it the bytes of a layer tar in any pieces; `file_bytes` is the sum so far."""

    __slots__ = (
        *("_held", "_left", "_link", "_need", "_pax", "_pending", "_skip", "_state"),
        "file_bytes",
    )

    def __init__(self) -> None:
        self.file_bytes = 0
        self._state = _HEADER
        self._skip = 0  # bytes to jump over before the next header
        self._held = b""  # an incomplete header or extended header
        self._need = BLOCK
        self._pending = 0  # data bytes of an extended header, or that follow a sparse map
        self._link = b""  # GNU tar's long target for the next link
        self._pax: dict[bytes, bytes] = {}  # records for the next file
        self._left = FREE_RECORDS

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Count what begins in `data`, the next bytes of the layer. Never raises for content."""
        view = memoryview(data)
        at, end = 0, len(view)
        while self._state < _END:
            if self._skip:
                step = min(self._skip, end - at)
                self._skip -= step
                at += step
                if self._skip:
                    return
            if self._held:
                missing = self._need - len(self._held)
                self._held += view[at : at + missing]
                at += missing
                if at > end:
                    return
                block, self._held = self._held, b""
            elif at + self._need <= end:
                if self._state == _HEADER:
                    at = self._usual(view, at, end)
                    if at + BLOCK > end:
                        continue
                block = bytes(view[at : at + self._need])
                at += self._need
            else:
                self._held = bytes(view[at:])
                return
            if self._state == _HEADER:
                self._header(block)
            elif self._state == _RECORDS:
                self._records(block)
            elif self._state == _LINK:
                self._long_link(block)
            else:
                self._sparse_map(block)

    @property
    def is_whole(self) -> bool:
        """Whether all that was fed was a tar, from its first header to its end."""
        return self._state == _END or (self._state == _HEADER and not self._held and not self._skip)

    @property
    def is_lost(self) -> bool:
        """Whether what was fed has stopped being a tar; nothing that follows can mend it."""
        return self._state == _LOST

    @property
    def is_past_end(self) -> bool:
        """Whether the end of the tar was reached."""
        return self._state == _END

    def _usual(self, view: memoryview, at: int, end: int) -> int:
        """Pass over files, directories, and pax headers that tell nothing which counts.

        Most headers are of such; whatever else comes is left to `_header`. Nothing is called for
        each, so that they take two thirds of the time.

        Returns:
            Where something else begins, or what does not lie whole in `view`.
        """
        if self._pax or self._link:
            return at
        files, headers, last = 0, 0, end - BLOCK
        while at <= last:
            field, written, kind = _FIELDS(view, at)
            try:
                size = int(field.strip(_FILLED), 8)
                stored = int(written.strip(_FILLED), 8)
            except ValueError:
                break
            wanted = (stored + sum(written) + _SUMS_OWN) % _MODULUS
            if adler32(view[at : at + BLOCK]) & 0xFFFF != wanted or size < 0 or stored < 0:
                break
            data = at + BLOCK
            if kind == _FILE:
                files += size
                at = data + (size + BLOCK - 1) // BLOCK * BLOCK
            elif kind == _PAX:
                at = data + (size + BLOCK - 1) // BLOCK * BLOCK
                if at > end or not _tells_nothing(bytes(view[data : data + size])):
                    at = data - BLOCK
                    break
                self._left -= 1
            elif kind == _DIRECTORY:
                at = data
            else:
                break
            headers += 1
        self.file_bytes += files
        self._left += headers * RECORDS_EACH
        self._skip = max(at - end, 0)
        return min(at, end)

    def _header(self, block: bytes) -> None:
        written = block[148:156]
        stored = _octal(written)
        wanted = (stored + sum(written) + _SUMS_OWN) % _MODULUS
        if stored < 0 or adler32(block) & 0xFFFF != wanted:
            # Two blocks of zeros end a tar; one is enough for Docker.
            self._state = _END if block == _ZEROS else _LOST
            return
        size = _number(block[124:136])
        if size < 0:
            self._state = _LOST
            return
        kind = block[156]
        self._left += RECORDS_EACH
        if kind == _PAX:
            self._begin_records(size)
        elif kind == _LONG_LINK and 0 < size <= MAX_EXTENDED:
            self._state, self._need, self._pending = _LINK, _padded(size), size
        elif kind in (_LONG_NAME, _LONG_LINK) or kind in b"g":
            self._skip = _padded(size)
        elif kind in _NO_DATA:
            if kind == _SYMLINK:
                target = self._pax.get(_LINK_PATH) or self._link or block[157:257]
                self.file_bytes += len(target.partition(b"\0")[0])
            self._pax, self._link = {}, b""
        else:
            self._file(block, kind, size)

    def _file(self, block: bytes, kind: int, size: int) -> None:
        pax, self._pax, self._link = self._pax, {}, b""
        real = size
        if pax:
            size = _decimal(pax.get(b"size"), size)
            real = _pax_sparse_size(pax, size)
        if size < 0 or real < 0:
            self._state = _LOST
            return
        if kind == _SPARSE:
            self.file_bytes += max(_number(block[483:495]), 0)
            if block[482]:
                self._state, self._pending = _SPARSE_MAP, _padded(size)
                return
        elif kind in _REGULAR and not (kind == 0 and _is_directory(block)):
            self.file_bytes += real
        self._skip = _padded(size)

    def _begin_records(self, size: int) -> None:
        self._pax = {}
        if size > MAX_EXTENDED:
            self._state = _LOST
        elif size:
            self._state, self._need = _RECORDS, _padded(size)
            self._pending = size

    def _records(self, data: bytes) -> None:
        self._state, self._need = _HEADER, BLOCK
        at, end = 0, self._pending
        while at < end:
            self._left -= 1
            blank = data.find(b" ", at, at + _MOST_DIGITS)
            length = _decimal(data[at:blank] if blank > 0 else None, 0)
            equals = data.find(b"=", blank, at + length)
            is_good = length > 0 and at + length <= end and equals >= 0
            if not is_good or data[at + length - 1] != 0x0A or self._left < 0:
                self._state = _LOST
                return
            key = data[blank + 1 : equals]
            if key in (b"size", _LINK_PATH) or key.startswith(b"GNU.sparse."):
                self._pax[key] = data[equals + 1 : at + length - 1]
            at += length

    def _long_link(self, data: bytes) -> None:
        # GNU tar's: the target of the link that follows
        self._state, self._need = _HEADER, BLOCK
        self._link = data[: self._pending]

    def _sparse_map(self, block: bytes) -> None:
        # A block of 21 map entries in the old GNU form; the data follow the last such block.
        if not block[504]:
            self._state, self._skip = _HEADER, self._pending


def _tells_nothing(records: bytes) -> bool:
    """Whether a pax header is one record, of a key that does not count."""
    digits, _, record = records.partition(b" ")
    return (
        record.startswith(_NOT_COUNTED)
        and digits.isdigit()
        and len(digits) < _MOST_DIGITS
        and int(digits) == len(records)
        and records[-1] == _NEWLINE
    )


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _octal(field: bytes) -> int:
    """An octal header field, -1 where it is none."""
    text = field.strip(_FILLED)
    try:
        return int(text, 8) if text else 0
    except ValueError:
        return -1


def _number(field: bytes) -> int:
    """A size field: octal digits, or base 256 where the first bit is set."""
    if not field[0] & 0x80:
        return _octal(field)
    value = int.from_bytes(field, "big") & ((1 << 8 * len(field) - 1) - 1)
    negative = field[0] & 0x40
    return -1 if negative or value >= 1 << 63 else value


def _decimal(text: bytes | None, default: int) -> int:
    """A decimal of a pax record; `default` where it is absent, -1 where it is none."""
    if text is None:
        return default
    return int(text) if text.isdigit() and len(text) < _MOST_DIGITS else -1


def _pax_sparse_size(pax: dict[bytes, bytes], size: int) -> int:
    # GNU sparse 0.0 and 0.1 say GNU.sparse.size, 1.0 says GNU.sparse.realsize.
    return _decimal(pax.get(b"GNU.sparse.size", pax.get(b"GNU.sparse.realsize")), size)


def _is_directory(block: bytes) -> bool:
    # Before ustar, a directory was a file whose name ends in a slash.
    return block[:100].rstrip(b"\0").endswith(b"/")
