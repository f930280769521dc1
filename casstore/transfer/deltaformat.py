"""A layer as its difference from another (`mediatype.DELTA`).

The tar of the layer is cut into slices. Each is a zstd frame that continues a prefix, which is put
together from ranges of the base's tar. What a reader has to know of the layer and of each slice
stands in skippable frames before it, so that the whole is a zstd stream to every tool. Integers are
little-endian. docs/thin.md has the form.
"""

from __future__ import annotations

import struct

from casstore.errors import Refused
from casstore.model.digest import Digest
from casstore.startup.value import Value
from casstore.transfer.fullreads import read_fully

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

    from casstore.transfer.similarity import Range

MAGIC = b"casstore delta 1"
SLICE = 16 << 20  # bytes of a slice; all but the last have as many
PREFIX = 48 << 20  # bytes of all ranges of a slice
MAX_RANGES = PREFIX >> 20
_SKIPPABLE = struct.Struct("<II")
_SKIPPABLE_MAGIC = 0x184D2A5D
_HEAD = struct.Struct("<16s32sQ32sQ")
_SLICE = struct.Struct("<III")  # bytes of the slice, bytes of its frame, ranges
_RANGE = struct.Struct("<QQ")


class Head(Value):
    """What a delta is of, and from."""

    base: Digest  # diff IDs
    base_size: int
    target: Digest
    size: int

    def encoded(self) -> bytes:
        """The frame at the beginning."""
        return _skippable(
            _HEAD.pack(
                MAGIC,
                bytes.fromhex(self.base.hex),
                self.base_size,
                bytes.fromhex(self.target.hex),
                self.size,
            )
        )


class Slice(Value):
    """A part of the layer."""

    size: int
    ranges: tuple[Range, ...]  # of the base
    frame: bytes

    def encoded(self) -> bytes:
        """What says how to read the frame; the frame follows."""
        return _skippable(
            _SLICE.pack(self.size, len(self.frame), len(self.ranges))
            + b"".join(_RANGE.pack(*one) for one in self.ranges)
        )


def read_head(file: IO[bytes]) -> Head:
    """Read the beginning of a delta. Raises Refused where it is not one."""
    data = _skipped(file)
    if len(data) != _HEAD.size or not data.startswith(MAGIC):
        raise Refused("it does not begin as a delta does")
    _, base, base_size, target, size = _HEAD.unpack(data)
    return Head(Digest.of_bytes(base), base_size, Digest.of_bytes(target), size)


def read_slice(file: IO[bytes], head: Head, left: int) -> Slice:
    """Read the next slice, where `left` bytes of the layer are still to come.

    Raises:
        Refused: it is truncated, beyond a limit, or reaches out of the base.
    """
    data = _skipped(file)
    if len(data) < _SLICE.size:
        raise Refused("a slice has no beginning")
    size, length, count = _SLICE.unpack_from(data)
    if size != min(SLICE, left) or length > size + (1 << 20) or count > MAX_RANGES:
        raise Refused("a slice has a size that it cannot have")
    if len(data) != _SLICE.size + count * _RANGE.size:
        raise Refused("a slice has other ranges than it says")
    ranges = tuple(_RANGE.iter_unpack(data[_SLICE.size :]))
    check_ranges(ranges, head.base_size)
    frame = read_fully(file, length)
    if len(frame) != length:
        raise Refused("it is truncated")
    return Slice(size, ranges, frame)


def check_ranges(ranges: Sequence[Range], base_size: int) -> None:
    """Hold ranges against the base. Raises Refused."""
    total = 0
    for offset, length in ranges:
        total += length
        if length == 0 or offset + length > base_size or total > PREFIX:
            raise Refused("a slice reaches out of the base, or for too much of it")


def _skippable(payload: bytes) -> bytes:
    return _SKIPPABLE.pack(_SKIPPABLE_MAGIC, len(payload)) + payload


def _skipped(file: IO[bytes]) -> bytes:
    head = read_fully(file, _SKIPPABLE.size)
    if len(head) < _SKIPPABLE.size:
        raise Refused("it is truncated")
    magic, length = _SKIPPABLE.unpack(head)
    if magic != _SKIPPABLE_MAGIC or length > _HEAD.size + MAX_RANGES * _RANGE.size:
        raise Refused("it is not in the form of a delta")
    data = read_fully(file, length)
    if len(data) < length:
        raise Refused("it is truncated")
    return data
