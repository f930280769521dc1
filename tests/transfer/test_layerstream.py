from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import mmap
import struct
from collections.abc import Callable, Iterator
from typing import IO, cast

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from casstore.errors import Refused
from casstore.transfer import layerstream, outputlimit
from casstore.transfer.layerstream import compression_of, open_uncompressed, plain_pieces
from casstore.transfer.outputlimit import layer_limit
from tests.transfer.noise import noise
from tests.transfer.streams import Pipe

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
}
KINDS = list(COMPRESSORS)
TEXT = b"".join(b"line %d of many\n" % number for number in range(3000))
SKIPPABLE = b"\x53\x2a\x4d\x18" + struct.pack("<I", 5) + b"hello"

every_kind = pytest.mark.parametrize("kind", KINDS)


class ReadAlone:
    """A stream that gives a few bytes at a time; it knows `read` and `close`, and nothing else."""

    def __init__(self, data: bytes, step: int = 4096) -> None:
        self._file = io.BytesIO(data)
        self._step = step

    def read(self, size: int = -1) -> bytes:
        return self._file.read(min(size, self._step) if size >= 0 else self._step)

    def close(self) -> None:
        self._file.close()


def read_alone(data: bytes, step: int) -> IO[bytes]:
    """What readers pass to each other as an `IO[bytes]` has no more than that."""
    return cast("IO[bytes]", ReadAlone(data, step))


def pieces_of(stream: IO[bytes]) -> Iterator[bytes]:
    while piece := stream.read(1 << 16):
        yield piece


def plain(data: bytes) -> bytes:
    return open_uncompressed(io.BytesIO(data)).read()


@every_kind
def test_the_magic_tells_the_compression(kind: str) -> None:
    assert compression_of(COMPRESSORS[kind](b"abc")) == kind
    assert compression_of(COMPRESSORS[kind](b"")) == kind


@pytest.mark.parametrize("head", [b"", b"BZ", b"BZh91x", b"BZhello", b"\x28\xb5\x2f", b"\0" * 6])
def test_what_only_looks_like_a_magic_is_plain(head: bytes) -> None:
    assert compression_of(head) == "none"
    assert plain(head) == head


@every_kind
@settings(max_examples=15, deadline=None)
@given(parts=st.lists(st.binary(max_size=300), min_size=1, max_size=5), step=st.integers(1, 50))
def test_members_in_a_row_are_one_stream(kind: str, parts: list[bytes], step: int) -> None:
    data = b"".join(COMPRESSORS[kind](part) for part in parts)

    assert plain(data) == b"".join(parts)
    assert open_uncompressed(read_alone(data, step)).read() == b"".join(parts)


@every_kind
def test_thousands_of_tiny_members_are_read_to_the_end(kind: str) -> None:
    count = 300 if kind == "bzip2" else 2000

    assert plain(COMPRESSORS[kind](b"x") * count) == b"x" * count


def test_a_member_behind_one_of_much_output_begins_where_it_should() -> None:
    zeros, rest = bytes(32 << 20), noise(300_000)

    assert plain(gzip.compress(zeros) + gzip.compress(rest)) == zeros + rest


@every_kind
def test_pieces_are_not_empty_and_small_ones_come_together(kind: str) -> None:
    parts = [b"x" * 10] * 50 + [noise(100_000)] + [b"y" * 5] * 20
    data = b"".join(COMPRESSORS[kind](part) for part in parts)

    pieces = list(plain_pieces(io.BytesIO(data)))

    assert b"".join(pieces) == b"".join(parts)
    assert all(pieces) and len(pieces) < 10


def test_pieces_of_a_plain_stream_are_what_is_read_of_it() -> None:
    assert b"".join(plain_pieces(read_alone(TEXT, 1000))) == TEXT
    assert list(plain_pieces(io.BytesIO(b""))) == []


@every_kind
def test_compressed_data_is_read_in_whole_pages_from_the_second_read_of_it_on(kind: str) -> None:
    data = COMPRESSORS[kind](noise(500_000))
    begun: list[int] = []

    class Noting(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            begun.append(self.tell())
            return super().read(size)

    assert b"".join(plain_pieces(Noting(data))) == noise(500_000)
    looked_at, first, *others = (at for at in begun if at < len(data))
    assert (looked_at, first) == (0, layerstream.HEAD_SIZE)
    assert len(others) >= 3 and not any(at % mmap.PAGESIZE for at in others)


def test_a_large_piece_is_not_copied_to_join_it_with_what_came_before() -> None:
    large: list[bytes] = []

    class Decoder:
        """What gives a little, then much."""

        def __init__(self) -> None:
            self._given = [b"few", noise(100_000), b"more", b""]

        def decode(self, _: int) -> bytes:
            large.append(self._given.pop(0))
            return large[-1]

    source = layerstream._Source(io.BytesIO(), b"", padded=False)
    stream = layerstream._Decompressed(Decoder(), source, 1000, layer_limit(None))

    first, second, third = stream.pieces()
    assert (first, third) == (b"few", b"more") and second is large[1]


@every_kind
def test_output_larger_than_a_piece_is_complete(kind: str) -> None:
    data = noise(100) * 30_000

    assert plain(COMPRESSORS[kind](data)) == data


@every_kind
def test_a_stream_cut_anywhere_is_refused(kind: str) -> None:
    whole = COMPRESSORS[kind](TEXT)
    shortest = 7  # below that it is no longer told from plain bytes

    for length in [
        *range(shortest, 60),
        *range(60, len(whole), 97),
        *range(len(whole) - 30, len(whole)),
    ]:
        with pytest.raises(Refused, match=r"truncated|corrupt"):
            plain(whole[:length])


@every_kind
def test_a_second_member_cut_anywhere_is_refused(kind: str) -> None:
    first, second = COMPRESSORS[kind](b"first"), COMPRESSORS[kind](b"second")

    for length in range(1, len(second)):
        with pytest.raises(Refused):
            plain(first + second[:length])


@every_kind
def test_junk_at_the_end_is_refused(kind: str) -> None:
    with pytest.raises(Refused, match="unexpected bytes after"):
        plain(COMPRESSORS[kind](TEXT) + b"junk behind it")


@every_kind
@pytest.mark.parametrize("junk", [b"\0", b"x", b"\x1f", b"BZ"])
def test_a_single_byte_of_junk_is_refused(kind: str, junk: bytes) -> None:
    with pytest.raises(Refused):
        plain(COMPRESSORS[kind](TEXT) + junk)


@every_kind
def test_a_changed_byte_is_refused(kind: str) -> None:
    whole = COMPRESSORS[kind](TEXT)

    for position in range(len(whole) // 3, len(whole) - 30, len(whole) // 9):
        data = bytearray(whole)
        data[position] ^= 0x55
        with pytest.raises(Refused, match=kind):
            plain(bytes(data))


def test_skippable_frames_stand_anywhere_between_zstd_frames() -> None:
    frame = COMPRESSORS["zstd"](b"data")

    assert plain(SKIPPABLE + frame + SKIPPABLE * 2 + frame + SKIPPABLE) == b"datadata"


def test_zstd_frames_without_a_content_size_are_read_to_the_end() -> None:
    packer = zstandard.ZstdCompressor(write_content_size=False)

    assert (
        plain(packer.compress(TEXT) + packer.compress(b"") + packer.compress(b"end"))
        == TEXT + b"end"
    )


def test_padding_between_xz_streams_is_read_over() -> None:
    assert plain(lzma.compress(b"a") + bytes(8) + lzma.compress(b"b") + bytes(4)) == b"ab"


def padded(data: bytes, step: int = 4096) -> bytes:
    stream = open_uncompressed(read_alone(data, step), padded=True)
    return b"".join(pieces_of(stream))


@every_kind
@pytest.mark.parametrize("zeros", [1, 3, 4, 511, 10_240, 300_000])
@pytest.mark.parametrize("step", [1000, 1 << 20])
def test_zeros_behind_the_end_are_read_over_where_they_may_be(
    kind: str, zeros: int, step: int
) -> None:
    data = COMPRESSORS[kind](TEXT)

    assert padded(data + bytes(zeros), step) == TEXT
    assert padded(data + COMPRESSORS[kind](b"x") + bytes(zeros), step) == TEXT + b"x"
    if kind != "xz" or zeros % 4:
        with pytest.raises(Refused, match=r"unexpected bytes|corrupt|truncated"):
            plain(data + bytes(zeros))


@every_kind
def test_what_follows_zeros_is_refused(kind: str) -> None:
    data = COMPRESSORS[kind](TEXT)

    for behind in (b"\0" * 7 + b"x", b"\0" * 7 + data, b"\0" * 500 + b"x" + b"\0" * 500):
        with pytest.raises(Refused, match="unexpected bytes"):
            padded(data + behind)


@every_kind
def test_zeros_without_end_are_refused(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layerstream, "MAX_PADDING", 1 << 20)
    data = COMPRESSORS[kind](TEXT)

    assert padded(data + bytes(1 << 20)) == TEXT
    with pytest.raises(Refused, match="exceeds the limit of 1048576 bytes"):
        padded(data + bytes((1 << 20) + 8192))


@every_kind
def test_a_cut_is_not_hidden_by_zeros(kind: str) -> None:
    data = COMPRESSORS[kind](TEXT)

    for end in (len(data) // 2, len(data) - 7):
        with pytest.raises(Refused):
            padded(data[:end] + bytes(10_240))


def test_a_zstd_window_over_the_limit_is_refused() -> None:
    # Magic, a descriptor without content size, a window of 2 GiB, then an empty last block.
    data = b"\x28\xb5\x2f\xfd" + b"\x00" + bytes([21 << 3]) + b"\x01\x00\x00"

    with pytest.raises(
        Refused, match="zstd window of 2147483648 bytes exceeds the limit of 128 MiB"
    ):
        plain(data)


def test_xz_that_wants_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layerstream, "MAX_XZ_MEMORY", 1 << 20)

    with pytest.raises(Refused, match="exceeds the limit of 1 MiB of memory"):
        plain(lzma.compress(TEXT, preset=6))


@every_kind
@pytest.mark.parametrize("source", [io.BytesIO, Pipe])
def test_a_bomb_is_refused_before_it_is_unpacked(
    kind: str, source: Callable[[bytes], IO[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputlimit, "ALWAYS_ALLOWED", 1 << 20)
    data = COMPRESSORS[kind](bytes(16 << 20))
    stream = open_uncompressed(source(data))
    seen: list[int] = []

    with pytest.raises(Refused, match="exceeds the limit of"):
        seen.extend(map(len, pieces_of(stream)))
    assert sum(seen) <= max(1 << 20, 100 * len(data)) < 16 << 20


@pytest.mark.parametrize("kind", ["none", *KINDS])
def test_the_total_has_a_limit_of_its_own(kind: str) -> None:
    data = TEXT if kind == "none" else COMPRESSORS[kind](TEXT)

    with pytest.raises(Refused, match="exceeds the limit"):
        open_uncompressed(io.BytesIO(data), limit=layer_limit(len(TEXT) - 1)).read()
    assert open_uncompressed(io.BytesIO(data), limit=layer_limit(len(TEXT))).read() == TEXT


@pytest.mark.parametrize("kind", ["none", *KINDS])
def test_closing_the_reader_closes_the_stream(kind: str) -> None:
    stream = Pipe(TEXT if kind == "none" else COMPRESSORS[kind](TEXT))

    open_uncompressed(stream).close()

    assert stream.closed


@settings(max_examples=40, deadline=None)
@given(junk=st.binary(max_size=200), kind=st.sampled_from(KINDS))
def test_any_bytes_behind_a_magic_are_read_or_refused(junk: bytes, kind: str) -> None:
    head = COMPRESSORS[kind](noise(20))[:10]

    with contextlib.suppress(Refused):
        plain(head + junk)
