"""Headers of an untrusted tar, read by hand: names, links, sizes, and where each content lies.

The standard library's reader keeps every member, takes 20 microseconds for each, and allocates
what an extended header claims. This one yields members one by one, holds what it was told
against what is there, and never takes more memory than its limits. Contents are skipped, so the
same walk serves a file (`FileBytes`) and a stream that is only passing by (`PassingBytes`).

Formats: POSIX ustar and pax, GNU (long names, base-256 numbers), and v7. Refused: sparse
members, whose content is not what the archive holds; wrong check sums; truncation; anything past
the limits. As in Go's reader, which Docker uses, links, devices and directories have no content,
and the archive ends with a zero block, or at the end of the file between two members.
"""

from __future__ import annotations

import io
import os
from zlib import adler32

from casstore.errors import Refused, quote
from casstore.startup import allocate_lock
from casstore.startup.typed import Protocol
from casstore.startup.value import Value
from casstore.transfer.membername import MAX_MEMBERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from casstore.progress import Task

BLOCK = 512
MAX_EXTENDED = 1 << 20
MAX_ALL_EXTENDED = 64 << 20  # bytes of all extended headers together
MAX_RECORDS = 1_000_000  # of all pax headers together: ten for each member
MAX_NAME = 4096
MAX_NAMES = 32 << 20  # bytes of all names and link targets together; in memory four times that
MAX_MEMBER = 1 << 60

REGULAR = b"0"
HARD_LINK = b"1"
SYMLINK = b"2"
DIRECTORY = b"5"
FIFO = b"6"

_ZERO_BLOCK = bytes(BLOCK)
_REGULAR = frozenset((b"0", b"\0", b"7"))
_WITHOUT_CONTENT = frozenset((b"1", b"2", b"3", b"4", b"5", b"6"))
_WINDOW = 16 << 10
_SKIP = 1 << 20
_ADLER = 65521


class Member(Value):
    """One member of a tar: a name and where its content is."""

    name: str  # as written; bytes that are not UTF-8 are surrogates
    kind: bytes  # its type flag; REGULAR also for the old and the contiguous kind of file
    offset: int  # where the content begins
    size: int  # of the content, 0 where there is none
    link: str  # where a link leads


class TarBytes(Protocol):
    """The bytes that a walk reads; offsets never go back by more than a block."""

    def at(self, offset: int, size: int) -> bytes:
        """`size` bytes at `offset`, fewer at the end."""

    def holds(self, end: int) -> bool:
        """Whether there are `end` bytes; may have to read up to there."""


class FileBytes:
    """A seekable file, from `base` on. `read` may be called by several threads."""

    def __init__(self, file: IO[bytes], base: int = 0, task: Task | None = None) -> None:
        self._file = file
        self._task = task  # counts what is read
        self._base = base
        self._fd = descriptor_of(file)
        self._turn = allocate_lock()
        self.length = file.seek(0, os.SEEK_END) - base
        self._window = b""
        self._window_at = 0

    def at(self, offset: int, size: int) -> bytes:
        start = offset - self._window_at
        if start < 0 or start + size > len(self._window):
            self._window = self.read(offset, max(size, _WINDOW))
            self._window_at, start = offset, 0
        return self._window[start : start + size]

    def holds(self, end: int) -> bool:
        return end <= self.length

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes at `offset`, fewer at the end; past the window, for contents."""
        if self._fd is not None:
            data = os.pread(self._fd, size, self._base + offset)
        else:
            with self._turn:
                self._file.seek(self._base + offset)
                data = self._file.read(size)
        if self._task is not None:
            self._task.advance(len(data))
        return data

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """`read` without a copy: fills `buffer`, or less at the end; returns how many bytes."""
        if self._fd is not None:
            return os.preadv(self._fd, [buffer], self._base + offset)
        data = self.read(offset, len(buffer))
        buffer[: len(data)] = data
        return len(data)


class PassingBytes:
    """A stream that is read once, from its start, by the walk alone."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._held = b""
        self._at = 0  # offset of `_held`

    def at(self, offset: int, size: int) -> bytes:
        self._skip_to(offset)
        while len(self._held) < size:
            more = self._stream.read(max(size - len(self._held), _WINDOW))
            if not more:
                break
            self._held += more
        return self._held[:size]

    def holds(self, end: int) -> bool:
        self._skip_to(end)
        return self._at == end

    def _skip_to(self, offset: int) -> None:
        while self._at < offset:
            if not self._held:
                self._held = self._stream.read(min(_SKIP, max(offset - self._at, _WINDOW)))
                if not self._held:
                    return
            step = min(len(self._held), offset - self._at)
            self._held = self._held[step:]
            self._at += step


def members(source: TarBytes) -> Iterator[Member]:
    """The members of a tar, in order; extended headers are applied, not yielded.

    Between two steps the content of the member just yielded may be read from `source`, if that
    is a file.

    Raises:
        Refused: not a tar, a tar that lies, or one past the limits.
    """
    offset = 0
    count = names = 0
    ahead = _Ahead(source)
    while True:
        block = source.at(offset, BLOCK)
        if len(block) < BLOCK:
            if not block and not ahead.is_open and offset:
                return
            raise _truncated(offset) if offset or block else Refused("the archive is empty")
        if block == _ZERO_BLOCK:
            if ahead.is_open:
                raise Refused("the archive ends after an extended tar header")
            if source.at(offset + BLOCK, BLOCK).strip(b"\0"):
                raise Refused(f"the tar header at byte {offset} is empty, but the archive goes on")
            return
        kind = block[156:157]
        if not _has_checksum(block):
            if not offset:
                raise Refused("not a tar archive")
            raise Refused(f"the tar header at byte {offset} has a wrong checksum")
        size = _number(block, 124, 12)
        content = offset + BLOCK
        count += 1
        if count > 4 * MAX_MEMBERS:
            raise Refused(f"the archive exceeds the limit of {MAX_MEMBERS} members")
        if kind in b"LKxXg":
            ahead.read(kind, content, size)
            offset = content + _padded(size)
            continue
        member_name = ahead.name or _name(block)
        member_link = ahead.link or (_until_nul(block[157:257]) if block[157] else b"")
        if pax := ahead.pax:
            member_name = pax.get("path") or member_name
            member_link = pax.get("linkpath") or member_link
            size = _pax_number(pax["size"]) if "size" in pax else size
        if kind == b"S" or (pax and any(key.startswith("GNU.sparse.") for key in pax)):
            raise Refused(f"{_shown(member_name)} is a sparse member, which is not supported")
        if ahead.is_open:
            ahead.clear()
        kind = _kind(kind, member_name)
        if kind in _WITHOUT_CONTENT:
            size = 0
        names += _name_bytes(member_name, member_link)
        if names > MAX_NAMES:
            raise Refused(f"the names in the archive exceed the limit of {MAX_NAMES} bytes")
        following = content + _padded(size)
        if not source.holds(following):
            raise _truncated(offset)
        yield Member(
            member_name.decode("utf-8", "surrogateescape"),
            kind,
            content,
            size,
            member_link.decode("utf-8", "surrogateescape") if member_link else "",
        )
        offset = following


class _Ahead:
    """What extended headers say of the member that follows them, and their limits."""

    def __init__(self, source: TarBytes) -> None:
        self._source = source
        self._bytes = self._records = 0  # of all of them so far
        self.clear()

    def clear(self) -> None:
        """The member has come."""
        self.is_open = False
        self.name: bytes | None = None  # from GNU long headers
        self.link: bytes | None = None
        self.pax: dict[str, bytes] = {}

    def read(self, kind: bytes, offset: int, size: int) -> None:
        """Take in an extended header whose content is at `offset`."""
        self.is_open = True
        if size > MAX_EXTENDED:
            raise Refused(f"an extended tar header exceeds the limit of {MAX_EXTENDED} bytes")
        self._bytes += size
        if self._bytes > MAX_ALL_EXTENDED:
            raise Refused(
                f"the extended tar headers exceed the limit of {MAX_ALL_EXTENDED} bytes in all"
            )
        data = self._source.at(offset, _padded(size))
        if len(data) < _padded(size):
            raise _truncated(offset)
        data = data[:size]
        if kind == b"L":
            self.name = _until_nul(data)
        elif kind == b"K":
            self.link = _until_nul(data)
        elif kind != b"g":
            self.pax, count = _pax_records(data, MAX_RECORDS - self._records)
            self._records += count


def is_header(block: bytes) -> bool:
    """Whether a block is the header of a member, which no compressed data begins with."""
    return len(block) == BLOCK and _has_checksum(block)


def _kind(flag: bytes, name: bytes) -> bytes:
    if flag not in _REGULAR:
        return flag
    # v7 had no directories: a file whose name ends in a slash is one
    return DIRECTORY if name.endswith(b"/") else REGULAR


def _name_bytes(name: bytes, link: bytes) -> int:
    if len(name) > MAX_NAME or len(link) > MAX_NAME:
        raise Refused(f"a name in the archive exceeds the limit of {MAX_NAME} bytes")
    return len(name) + len(link)


def _has_checksum(block: bytes) -> bool:
    # The low half of Adler-32 is 1 + the sum of all bytes, modulo 65521, forty times as fast as
    # `sum`. The checksum field counts as eight blanks.
    field = block[148:156]
    try:
        claimed = int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        return False
    total = claimed + sum(field) - 8 * 0x20
    if (total + 1) % _ADLER == adler32(block) & 0xFFFF:
        return True
    # Some old writers summed signed characters.
    signed = sum(byte - 256 if byte > 127 else byte for byte in block)
    signed -= sum(byte - 256 if byte > 127 else byte for byte in field)
    return signed + 8 * 0x20 == claimed


def _number(block: bytes, start: int, width: int) -> int:
    first = block[start]
    if first & 0x80:
        if first & 0x40:
            raise Refused("a tar header has a negative size")
        value = int.from_bytes(block[start : start + width], "big") & ~(0x80 << 8 * (width - 1))
    else:
        text = block[start : start + width].strip(b" \0")
        if not text:
            return 0
        if text.strip(b"01234567"):
            raise Refused(f"a tar header has the size {_shown(text)}, which is not an octal number")
        value = int(text, 8)
    if value > MAX_MEMBER:
        raise Refused("a tar header has a size that exceeds any archive")
    return value


def _name(block: bytes) -> bytes:
    name = _until_nul(block[:100])
    # The prefix is ustar's; GNU has times in its place.
    if block[257:263] == b"ustar\0" and block[345]:
        return _until_nul(block[345:500]) + b"/" + name
    return name


def _pax_records(data: bytes, most: int) -> tuple[dict[str, bytes], int]:
    """The records of a pax header, and how many there are.

    Each is a length, a blank, key=value and a newline; the length counts all of these.
    """
    records: dict[str, bytes] = {}
    position = count = 0
    while position < len(data):
        count += 1
        if count > most:
            raise Refused(f"the pax headers exceed the limit of {MAX_RECORDS} records in all")
        blank = data.find(b" ", position, position + 20)
        length = data[position:blank] if blank >= 0 else b""
        if not length.isdigit():
            raise Refused("a pax header has a record without a length")
        end = position + int(length)
        key, equals, value = data[blank + 1 : end - 1].partition(b"=")
        if end > len(data) or end <= blank + 1 or data[end - 1 : end] != b"\n" or not equals:
            raise Refused("a pax header has a malformed record")
        name = key.decode("utf-8", "replace")
        if name in ("path", "linkpath") and b"\0" in value:
            raise Refused("a pax header has a name with a NUL in it")
        records[name] = value
        position = end
    return records, count


def _pax_number(text: bytes) -> int:
    if not text.isdigit() or len(text) > 18:
        raise Refused(f"a pax header has the size {_shown(text)}")
    return int(text)


def _until_nul(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _padded(size: int) -> int:
    return (size + BLOCK - 1) // BLOCK * BLOCK


def _shown(name: bytes) -> str:
    return quote(name.decode("utf-8", "backslashreplace"))


def _truncated(offset: int) -> Refused:
    return Refused(f"the archive is truncated: unexpected EOF in the member at byte {offset}")


def descriptor_of(file: IO[bytes]) -> int | None:
    """The descriptor that holds the bytes of `file` as they are, if there is one.

    A reader that decompresses has a `fileno` too, of what it decompresses.
    """
    raw = file.raw if isinstance(file, (io.BufferedReader, io.BufferedRandom)) else file
    return raw.fileno() if isinstance(raw, io.FileIO) else None
