"""Deltas of one tar from another: what is found again, what is written, what is refused."""

from __future__ import annotations

import io
import struct
import sys
import tempfile
from collections.abc import Iterator
from typing import IO, cast

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from casstore.errors import Refused
from casstore.model.digest import sha256
from casstore.model.kept import LayerRecord
from casstore.transfer.delta import BaseTar, DeltaMaker, Patched
from casstore.transfer.deltaformat import SLICE, Head, Slice, check_ranges, read_head, read_slice
from casstore.transfer.similarity import GRAIN, BaseIndex, mask_for, samples
from casstore.transfer.zstdprefix import decompress_behind
from tests.transfer.noise import noise

MIB = 1 << 20


def record(data: bytes) -> LayerRecord:
    return LayerRecord(sha256(data), len(data), "", sha256(data), len(data), 0)


def base_tar(data: bytes) -> BaseTar:
    scratch = cast("IO[bytes]", tempfile.TemporaryFile())  # noqa: SIM115 - the tar closes it
    return BaseTar(record(data), io.BytesIO(data), scratch)


@pytest.fixture
def _library() -> None:
    if sys.version_info < (3, 14):
        pytest.importorskip("backports.zstd")


needs_library = pytest.mark.usefixtures("_library")


def delta_of(base: bytes, data: bytes) -> bytes:
    out = io.BytesIO()
    tar = base_tar(base)
    for _ in DeltaMaker(tar).write(record(data), io.BytesIO(data), out):
        pass
    tar.close()
    return out.getvalue()


def patched(base: bytes, delta: bytes) -> bytes:
    tar = base_tar(base)
    try:
        return io.BufferedReader(Patched(io.BytesIO(delta), tar)).read()
    finally:
        tar.close()


@pytest.fixture(scope="module")
def large() -> bytes:
    """More than two slices of bytes that do not compress."""
    return noise(2 * SLICE + 5 * MIB)


@needs_library
@pytest.mark.parametrize("change", ["put in", "cut out", "moved", "repeated"])
def test_what_is_elsewhere_in_the_base_costs_next_to_nothing(large: bytes, change: str) -> None:
    middle = len(large) // 2
    data = {
        "put in": large[: 10 * MIB] + b"put in" + large[10 * MIB :],
        "cut out": large[: 3 * MIB] + large[3 * MIB + 700 :],
        "moved": large[middle // 512 * 512 :] + large[: middle // 512 * 512],
        "repeated": large[: 20 * MIB] * 3,
    }[change]
    delta = delta_of(large, data)

    assert len(delta) < len(data) // 200
    assert patched(large, delta) == data


@needs_library
@settings(deadline=None, max_examples=30)
@given(
    base=st.binary(max_size=3000),
    pieces=st.lists(
        st.one_of(st.binary(max_size=600), st.tuples(st.integers(0, 3000), st.integers(0, 3000)))
    ),
)
def test_a_delta_gives_what_it_was_made_of(
    base: bytes, pieces: list[bytes | tuple[int, int]]
) -> None:
    data = b"".join(
        piece if isinstance(piece, bytes) else base[min(piece) : max(piece)] for piece in pieces
    )

    assert patched(base, delta_of(base, data)) == data
    assert delta_of(base, data) == delta_of(base, data)


@needs_library
def test_a_delta_is_a_zstd_stream_to_every_reader() -> None:
    data = noise(100_000)
    delta = delta_of(b"", data)

    reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(delta), read_across_frames=True)
    assert reader.read() == data


# Samples and ranges


def index_of(data: bytes) -> BaseIndex:
    index = BaseIndex(len(data))
    index.add(0, memoryview(data))
    return index


def test_the_same_blocks_are_samples_wherever_they_are() -> None:
    data = noise(400 * 512)
    first = [checksum for _, checksum in samples(memoryview(data), 15)]
    later = [checksum for _, checksum in samples(memoryview(noise(512, seed=9) + data), 15)]

    assert 10 < len(first) < 50
    assert first == later or first == later[1:]


def test_zeros_are_no_sample() -> None:
    assert list(samples(memoryview(bytes(100 * 512)), 0)) == []


def test_the_larger_a_tar_is_the_rarer_are_its_samples() -> None:
    assert mask_for(500 * MIB) == 15
    assert mask_for(100 << 30) > mask_for(10 << 30) > 15


def test_what_a_slice_has_in_common_with_the_base_is_chosen() -> None:
    base = noise(8 * MIB)
    found = index_of(base).ranges(0, memoryview(base[5 * MIB : 6 * MIB]), 2 * MIB)

    assert (5 * MIB, MIB) in found or any(a <= 5 * MIB and a + n >= 6 * MIB for a, n in found)


def test_where_nothing_is_in_common_the_place_of_the_slice_before_is_followed() -> None:
    base = noise(16 * MIB)
    index = index_of(base)
    index.ranges(0, memoryview(base[4 * MIB : 5 * MIB]), 4 * MIB)
    ((offset, length),) = index.ranges(MIB, memoryview(noise(MIB, seed=3)), 3 * MIB)

    assert offset <= 5 * MIB < offset + length


@settings(deadline=None, max_examples=50)
@given(
    size=st.integers(1, 5 * MIB),
    offset=st.integers(0, 9 * MIB),
    most=st.integers(1, 6),
    shared=st.booleans(),
)
def test_ranges_are_in_the_base_apart_ascending_and_not_too_much(
    *, size: int, offset: int, most: int, shared: bool
) -> None:
    base = noise(5 * MIB)[:size]
    data = base[: size // 2] if shared else noise(MIB, seed=8)
    found = index_of(base).ranges(offset, memoryview(data), most * GRAIN)

    check_ranges(found, size)
    assert sum(length for _, length in found) <= most * GRAIN
    ends = [offset + length for offset, length in found]
    assert all(end < begin for end, (begin, _) in zip(ends, found[1:], strict=False))


# What is read


HEAD = Head(sha256(b"base"), 4, sha256(b"target"), 6)


def test_the_head_says_what_a_delta_is_of_and_from() -> None:
    assert read_head(io.BytesIO(HEAD.encoded())) == HEAD


@pytest.mark.parametrize(
    "data", [b"", b"x" * 200, HEAD.encoded()[:-1], b"\x5d\x2a\x4d\x18\0\0\0\0"]
)
def test_what_does_not_begin_as_a_delta_is_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        read_head(io.BytesIO(data))


def wrong_slices() -> Iterator[bytes]:
    yield Slice(5, ((0, 4),), b"frame").encoded() + b"frame"  # of another size than is left
    yield Slice(6, ((0, 5),), b"frame").encoded() + b"frame"  # out of the base
    yield Slice(6, ((5, 0),), b"frame").encoded() + b"frame"  # of no bytes
    yield Slice(6, ((1 << 63, 1 << 63),), b"frame").encoded() + b"frame"
    yield Slice(6, ((0, 4),), b"frame").encoded() + b"fra"
    yield Slice(6, ((0, 1),) * 49, b"frame").encoded() + b"frame"  # more ranges than can be
    yield struct.pack("<IIIII", 0x184D2A5D, 12, 6, 1 << 30, 0)  # a frame of 1 GiB
    yield struct.pack("<IIIII", 0x184D2A5D, 12, 6, 5, 1) + b"frame"  # fewer ranges than it says


@pytest.mark.parametrize("data", [*wrong_slices()])
def test_a_slice_that_cannot_be_is_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        read_slice(io.BytesIO(data), HEAD, 6)


def test_a_slice_may_be_no_larger_than_the_memory_for_it() -> None:
    head = HEAD._replace(size=1 << 40)
    one = Slice(SLICE + 1, (), b"frame")
    with pytest.raises(Refused, match="a size that it cannot have"):
        read_slice(io.BytesIO(one.encoded() + b"frame"), head, 1 << 40)


def test_a_frame_of_another_size_than_it_says_is_refused() -> None:
    frame = zstandard.ZstdCompressor().compress(bytes(1000))

    assert decompress_behind(b"", frame, 1000) == bytes(1000)
    with pytest.raises(Refused, match="a frame holds 1000 bytes, expected 999"):
        decompress_behind(b"", frame, 999)
    with pytest.raises(Refused, match="corrupt zstd data"):
        decompress_behind(b"", b"no frame", 8)
