from __future__ import annotations

import gzip
import io
import random
import struct
import zlib
from functools import cache
from importlib.util import find_spec

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casstore.transfer import gzipstream
from casstore.transfer.gzipboundaries import BoundaryFinder, restart
from casstore.transfer.gzipstream import BadGzip, IsalInflater, ZlibInflater
from casstore.transfer.layerseek import LayerReader
from casstore.transfer.restartpoints import STORED, WINDOW, PointsMaker
from tests.transfer.layerblobs import COMPRESSIONS, PLAIN, entry_of, points_of, record_of
from tests.transfer.noise import noise

LIBRARIES = [ZlibInflater, *([IsalInflater] if find_spec("isal") else [])]
Library = type[IsalInflater] | type[ZlibInflater]
each_library = pytest.mark.parametrize("library", LIBRARIES)

TEXT = PLAIN[:200_000]


def deflated(plain: bytes, window: bytes, level: int = 6) -> bytes:
    deflate = zlib.compressobj(level, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, window)
    return deflate.compress(plain) + deflate.flush()


def inflated(library: Library, stream: bytes, window: bytes, most: int = 1 << 20) -> bytes:
    inflater = library(window)
    parts = [inflater.decompress(stream, most)]
    while not inflater.eof:
        parts.append(inflater.decompress(b"", most))
        assert parts[-1] or inflater.eof
    return b"".join(parts)


member_of = cache(lambda name: COMPRESSIONS[name](PLAIN[:1_500_000]))


@each_library
@pytest.mark.parametrize("bit", range(8))
@pytest.mark.parametrize("before", [0, 0xFF])
def test_inflating_begins_at_any_bit_of_a_byte(library: Library, bit: int, before: int) -> None:
    blocks = deflated(TEXT[WINDOW:], TEXT[:WINDOW])
    number = int.from_bytes(blocks, "little") << bit | before & (1 << bit) - 1
    data = number.to_bytes(len(blocks) + 1, "little")

    assert inflated(library, restart(bit, data), TEXT[:WINDOW]) == TEXT[WINDOW:]


@each_library
def test_inflating_begins_at_the_length_of_a_stored_block(library: Library) -> None:
    data = struct.pack("<HH", 5, 0xFFFF - 5) + b"aword" + deflated(TEXT, TEXT[:100] + b"aword")

    assert inflated(library, restart(STORED, data), TEXT[:100]) == b"aword" + TEXT


@each_library
@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from([name for name in COMPRESSIONS if "gzip" in name and "mem" not in name]),
    chunks=st.lists(st.integers(2000, 300_000), min_size=1),
    rooms=st.lists(st.integers(2000, 500_000), min_size=1),
    seed=st.integers(),
)
def test_a_finder_gives_what_the_inflater_gives(
    library: Library, name: str, chunks: list[int], rooms: list[int], seed: int
) -> None:
    blob = member_of(name) + b"what follows"
    finder = BoundaryFinder(library(), PointsMaker(0, blocks=100_000), 0, 0)
    chance = random.Random(seed)  # noqa: S311 - sizes of reads
    parts, at, drained = [], 0, True
    while not finder.eof:
        chunk, room = b"", chance.choice(rooms)
        if drained:
            chunk = blob[at : at + chance.choice(chunks)]
            at += len(chunk)
        parts.append(finder.decompress(chunk, room))
        assert len(parts[-1]) <= room
        drained = len(parts[-1]) < room

    assert b"".join(parts) == PLAIN[:1_500_000]
    assert finder.unused_data + blob[at:] == b"what follows"


@pytest.fixture
def chosen(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gzipstream, "_chosen", library)


def check_points(blob: bytes, plain: bytes, least: int) -> None:
    """There are so many points, and from each of them the layer goes on as it does."""
    points = points_of(blob, plain, 256 << 10)
    assert points is not None
    assert len(points.plain) >= least
    for start in points.plain:
        reader = LayerReader(io.BytesIO(blob), record_of(blob, plain), points)
        size = min(300_000, len(plain) - start)
        assert reader.open(entry_of(plain, start, size)).read() == plain[start:][:size]


@each_library
@pytest.mark.usefixtures("chosen")
@pytest.mark.parametrize("level", [1, 6, 9])
def test_blocks_of_text_are_found(library: Library, level: int) -> None:
    text = b"".join(noise(600, seed).hex().encode() * 2 for seed in range(1500))

    check_points(gzip.compress(text, level), text, len(text) // (512 << 10))


@each_library
@pytest.mark.usefixtures("chosen")
@pytest.mark.parametrize("level", [0, 1, 6])
def test_blocks_of_what_does_not_compress_are_found(library: Library, level: int) -> None:
    plain = noise(4 << 20)

    check_points(gzip.compress(plain, level), plain, len(plain) // (1 << 20))


@each_library
@pytest.mark.usefixtures("chosen")
def test_where_there_is_one_block_there_is_no_point(library: Library) -> None:
    plain = b"".join(noise(300, seed).hex().encode() for seed in range(4000))
    deflate = zlib.compressobj(6, zlib.DEFLATED, 31, 9, zlib.Z_FIXED)
    blob = deflate.compress(plain) + deflate.flush()

    assert points_of(blob, plain, 256 << 10) is None


@each_library
def test_what_is_damaged_is_refused_while_a_block_is_looked_for(library: Library) -> None:
    blob = bytearray(gzip.compress(PLAIN, 6))
    blob[500_000:500_100] = bytes(100)
    finder = BoundaryFinder(library(), PointsMaker(0, blocks=1), 0, 0)

    def read() -> None:
        for at in range(0, len(blob), 128 << 10):
            chunk = bytes(blob[at : at + (128 << 10)])
            while len(finder.decompress(chunk, 1 << 20)) == 1 << 20:
                chunk = b""

    with pytest.raises(BadGzip):
        read()
