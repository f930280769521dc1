"""gzip, and which library does it: no other module of layers and archives imports one.

ISA-L (the package `isal`, where there is a wheel of it) inflates twice as fast as zlib, and most
images of registries are gzip. Elsewhere zlib does it. Both take the same members, refuse the same
ones and give the same bytes, so that nothing depends on what is installed: where ISA-L's reader
differs from zlib's, it is not used. It loses its place in an extra field that comes in pieces, and
knows no reserved flags, so headers are read here. One difference is left: a code that leaves some
code words unused, which no compressor writes, is refused by zlib alone.

Layers are deflated by zlib alone, for the digest of what comes out must not depend on the machine;
ISA-L writes other bytes than zlib, and its level 3 others again on processors with AVX-512.
"""

from __future__ import annotations

import zlib
from zlib import crc32

from casstore.startup.typed import Protocol, cast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["BadGzip", "Inflater", "IsalInflater", "ZlibInflater", "crc32", "deflated", "inflater"]

_MAGIC = b"\x1f\x8b"
_DEFLATE = 8
_FIXED = 10  # bytes that every header has
_HEADER_CRC, _EXTRA, _NAME, _COMMENT, _RESERVED = 0x02, 0x04, 0x08, 0x10, 0xE0
_GZIP_WINDOW = 31  # zlib's word for a gzip header and trailer
_BLOCKS_ALONE = -15  # its word for neither


class BadGzip(ValueError):
    """What no gzip reader takes."""


class Inflater(Protocol):
    """One member. Like bz2's and lzma's it keeps the input that it has not used yet."""

    @property
    def eof(self) -> bool:
        """Whether the member has ended, its check sum and length right."""

    @property
    def unused_data(self) -> bytes:
        """What was given behind that end."""

    def decompress(self, data: bytes | memoryview, max_length: int, /) -> bytes:
        """At most `max_length` plain bytes; fewer where more input is needed. Raises BadGzip."""


class ZlibInflater:
    """By zlib, which is always there."""

    def __init__(self, window: bytes | None = None) -> None:
        if window is None:
            self._zlib = zlib.decompressobj(_GZIP_WINDOW)
        else:
            self._zlib = zlib.decompressobj(_BLOCKS_ALONE, window)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes | memoryview, max_length: int, /) -> bytes:
        tail = self._zlib.unconsumed_tail
        try:
            return self._zlib.decompress(tail + data if tail else data, max_length)
        except zlib.error:
            raise BadGzip from None


class IsalInflater:
    """By ISA-L, but for the header."""

    def __init__(self, window: bytes | None = None) -> None:
        from isal import igzip_lib

        self._error = cast("type[Exception]", igzip_lib.error)
        self._header: Generator[None, bytes, bytes] | None = None
        if window is None:
            self._isal = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_GZIP_NO_HDR_VER)
            self._header = _behind_header()
            next(self._header)
        else:
            self._isal = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_DEFLATE, zdict=window)

    @property
    def eof(self) -> bool:
        return self._isal.eof

    @property
    def unused_data(self) -> bytes:
        return self._isal.unused_data

    def decompress(self, data: bytes | memoryview, max_length: int, /) -> bytes:
        if self._header is not None:
            try:
                self._header.send(bytes(data))
            except StopIteration as ended:
                data, self._header = ended.value, None
            else:
                return b""
        try:
            return self._isal.decompress(data, max_length)
        except self._error:
            raise BadGzip from None


def inflater(window: bytes | None = None) -> Inflater:
    """Of the next member, by the fastest library that is here.

    With a window, of blocks of deflate that may refer to these plain bytes before them. It ends
    behind the last block, and what follows that is unused.
    """
    global _chosen  # noqa: PLW0603 - asked once: an import that fails is tried again each time
    if _chosen is None:
        try:
            IsalInflater()
        except ImportError:
            _chosen = ZlibInflater
        else:
            _chosen = IsalInflater
    return _chosen(window)


_chosen: Callable[[bytes | None], Inflater] | None = None


def deflated(data: memoryview, level: int) -> bytes:
    """Deflate blocks of their own, the last of them not marked as the last, to a whole byte."""
    deflate = zlib.compressobj(level, zlib.DEFLATED, _BLOCKS_ALONE)
    return deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH)


def _behind_header() -> Generator[None, bytes, bytes]:
    """Is sent a member in pieces; returns what follows its header (RFC 1952, 2.3) in the last."""
    held = b""
    while len(held) < _FIXED:
        held += yield
        if held[:2] != _MAGIC[: len(held)]:
            raise BadGzip
        if len(held) > 3 and (held[2] != _DEFLATE or held[3] & _RESERVED):
            raise BadGzip
    flags = held[3]
    crc, held = crc32(held[:_FIXED]), held[_FIXED:]
    if flags & _EXTRA:
        while len(held) < 2:
            held += yield
        left = 2 + int.from_bytes(held[:2], "little")
        while len(held) < left:
            crc, left = crc32(held, crc), left - len(held)
            held = yield
        crc, held = crc32(held[:left], crc), held[left:]
    for field in (_NAME, _COMMENT):
        if flags & field:
            while (end := held.find(0) + 1) == 0:
                crc = crc32(held, crc)
                held = yield
            crc, held = crc32(held[:end], crc), held[end:]
    if flags & _HEADER_CRC:
        while len(held) < 2:
            held += yield
        if int.from_bytes(held[:2], "little") != crc & 0xFFFF:
            raise BadGzip
        held = held[2:]
    return held
