"""Deflate streams and gzip members bit by bit: those that no compressor writes, too."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from itertools import pairwise

# The order in which the lengths of the code of code lengths stand (RFC 1951, 3.2.7).
_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
_FIXED = [8] * 144 + [9] * 112 + [7] * 24 + [8] * 8

END = 256
# A literal, a length or the end; or ("distance", code), or bits as they are: ("bits", how many, x).
Symbol = int | tuple[str, int] | tuple[str, int, int]


class _Bits:
    def __init__(self) -> None:
        self._bits: list[int] = []

    def number(self, count: int, value: int) -> None:
        self._bits += [value >> place & 1 for place in range(count)]

    def code(self, code: tuple[int, int]) -> None:
        value, length = code
        self._bits += [value >> place & 1 for place in reversed(range(length))]

    def packed(self) -> bytes:
        bits = self._bits + [0] * (-len(self._bits) % 8)
        return bytes(
            sum(bit << place for place, bit in enumerate(bits[at : at + 8]))
            for at in range(0, len(bits), 8)
        )


def _codes(lengths: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Symbol to code and its length (RFC 1951, 3.2.2)."""
    codes, code, used = {}, 0, sorted(set(lengths) - {0})
    for shorter, length in pairwise([0, *used]):
        code <<= length - shorter
        for symbol, its in enumerate(lengths):
            if its == length:
                codes[symbol] = code, length
                code += 1
    return codes


def block(
    symbols: Sequence[Symbol],
    literals: dict[int, int] | None = None,
    distances: Sequence[int] = (0,),
    *,
    of_lengths: Sequence[int] = (*[4] * 16, 0, 0, 0),
    count: int = 257,
) -> bytes:
    """One block, the last one: with fixed codes, or with the lengths of its own codes."""
    bits = _Bits()
    if literals is None:
        bits.number(3, 1 | 1 << 1)
        literal, distance = _codes(_FIXED), {code: (code, 5) for code in range(32)}
    else:
        lengths = [literals.get(symbol, 0) for symbol in range(max(count, max(literals) + 1))]
        bits.number(3, 1 | 2 << 1)
        bits.number(5, len(lengths) - 257)
        bits.number(5, len(distances) - 1)
        bits.number(4, len(_ORDER) - 4)
        for place in _ORDER:
            bits.number(3, of_lengths[place])
        how = _codes(of_lengths)
        for length in (*lengths, *distances):
            bits.code(how[length])
        literal, distance = _codes(lengths), _codes(distances)
    for symbol in symbols:
        if isinstance(symbol, int):
            bits.code(literal[symbol])
        elif symbol[0] == "distance":
            bits.code(distance[symbol[1]])
        else:
            bits.number(*symbol[1:])
    return bits.packed()


def member(
    plain: bytes,
    packed: bytes | None = None,
    *,
    flags: int = 0,
    fields: bytes = b"",
    with_crc: bool = False,
    trailer: bytes | None = None,
) -> bytes:
    """A gzip member of `plain`, deflated by zlib unless `packed` is how."""
    if packed is None:
        deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        packed = deflate.compress(plain) + deflate.flush()
    head = bytes((0x1F, 0x8B, 8, flags | (2 if with_crc else 0), 1, 2, 3, 4, 0, 255)) + fields
    if with_crc:
        head += struct.pack("<H", zlib.crc32(head) & 0xFFFF)
    if trailer is None:
        trailer = struct.pack("<II", zlib.crc32(plain), len(plain) & 0xFFFFFFFF)
    return head + packed + trailer
