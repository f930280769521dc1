"""What a compressed stream may cost: its members, frames and blocks against what they give."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from typing import IO

import pytest
import zstandard

from casstore.errors import Refused
from casstore.transfer import layerstream, streampieces, zstdstream
from casstore.transfer.layerstream import open_uncompressed

FREE = 100
ZSTD = zstandard.ZstdCompressor()
UNSIZED = zstandard.ZstdCompressor(write_content_size=False)
PACK: dict[str, Callable[[bytes], bytes]] = {
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "gzip": gzip.compress,
    "zstd": ZSTD.compress,
    "zstd without a size": UNSIZED.compress,
}
CHECKED = zstandard.ZstdCompressor(write_checksum=True)
BLOCKS_HEAD = b"\x28\xb5\x2f\xfd\x00\x58"  # a frame of a window of 2 MiB; its blocks follow

# What gives nothing, and what gives one byte.
NOTHING = {
    "gzip": gzip.compress(b""),
    "gzip member with a name": b"\x1f\x8b\x08\x08" + bytes(6) + b"name\0\x03\0" + bytes(8),
    "bzip2": bz2.compress(b""),
    "xz": lzma.compress(b"", check=lzma.CHECK_NONE),
    "zstd": ZSTD.compress(b""),
    "zstd without a size": UNSIZED.compress(b""),
    "zstd with a check sum": CHECKED.compress(b""),
    "zstd skippable": b"\x50\x2a\x4d\x18" + bytes(4),
    "zstd skippable with bytes": b"\x5f\x2a\x4d\x18\x05\0\0\0hello",
}
ONE_BYTE = {
    "gzip": gzip.compress(b"x"),
    "bzip2": bz2.compress(b"x"),
    "xz": lzma.compress(b"x"),
    "zstd": ZSTD.compress(b"x"),
    "zstd without a size": UNSIZED.compress(b"x"),
}
START = {
    "gzip": gzip.compress(b"start"),
    "bzip2": bz2.compress(b"start"),
    "xz": lzma.compress(b"start"),
    "zstd": ZSTD.compress(b"start"),
}
REFUSAL = r"^the \w+ data exceeds the limit of 100 frames, members or blocks with next to nothing"


class Counted(io.BytesIO):
    """A stream that counts what is read of it."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


@pytest.fixture(autouse=True)
def _few_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streampieces, "FREE_PIECES", FREE)


def start(kind: str) -> bytes:
    return START[kind.split(maxsplit=1)[0]]


def drained(stream: IO[bytes]) -> int:
    return sum(map(len, iter(lambda: stream.read(1 << 20), b"")))


@pytest.mark.parametrize("kind", NOTHING)
def test_pieces_that_give_nothing_are_refused_soon(kind: str) -> None:
    source = Counted(start(kind) + NOTHING[kind] * 500_000)

    with pytest.raises(Refused, match=REFUSAL):
        drained(open_uncompressed(source))
    assert source.taken <= 512 << 10


@pytest.mark.parametrize("kind", NOTHING)
def test_a_few_pieces_that_give_nothing_are_read_over(kind: str) -> None:
    data = start(kind) + NOTHING[kind] * 30 + start(kind)

    assert open_uncompressed(io.BytesIO(data)).read() == b"startstart"


@pytest.mark.parametrize("kind", ONE_BYTE)
def test_pieces_that_give_a_byte_each_are_refused_soon(kind: str) -> None:
    source = Counted(ONE_BYTE[kind] * 100_000)

    with pytest.raises(Refused, match=REFUSAL):
        drained(open_uncompressed(source))
    assert source.taken <= 512 << 10


@pytest.mark.parametrize("block", [b"\0\0\0", b"\x0a\0\0x"], ids=["empty", "one byte"])
def test_zstd_blocks_that_give_next_to_nothing_are_refused_soon(block: bytes) -> None:
    source = Counted(BLOCKS_HEAD + block * 1_000_000 + b"\x01\0\0")

    with pytest.raises(Refused, match=REFUSAL):
        drained(open_uncompressed(source))
    assert source.taken <= 512 << 10


def test_zstd_blocks_of_much_output_are_as_many_as_they_like() -> None:
    rle = ((128 << 10) << 3 | 1 << 1).to_bytes(3, "little") + b"\0"

    size = drained(open_uncompressed(io.BytesIO(BLOCKS_HEAD + rle * 500 + b"\x01\0\0")))

    assert size == 500 * (128 << 10)


@pytest.mark.parametrize("kind", ["gzip", "zstd", "zstd without a size"])
def test_two_members_for_each_small_file_are_a_layer_like_any_other(kind: str) -> None:
    """eStargz and zstd:chunked have a member of headers, then one of content, for each file."""
    member = PACK[kind](bytes(512))

    assert drained(open_uncompressed(io.BytesIO(member * 20_000))) == 20_000 * 512


@pytest.mark.parametrize("kind", ["bzip2", "xz"])
def test_streams_of_some_kilobytes_are_as_many_as_they_like(kind: str) -> None:
    stream = PACK[kind](bytes(4096))

    assert drained(open_uncompressed(io.BytesIO(stream * 1000))) == 1000 * 4096


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_read_gathers_what_small_members_give(kind: str) -> None:
    member = PACK[kind](bytes(600))
    stream = open_uncompressed(io.BytesIO(member * 1000))

    reads = list(iter(lambda: len(stream.read(1 << 20)), 0))

    assert len(reads) <= 600_000 // (64 << 10) + 1


def test_what_a_piece_must_give_is_less_than_any_real_layer_gives() -> None:
    """A file of a layer is at least a header and a block of 512 bytes, in two members or frames."""
    assert layerstream.LEAST["gzip"] <= 512
    # two for a frame, one for its block, one for an empty block at its end
    assert zstdstream.LEAST * 4 <= 512
