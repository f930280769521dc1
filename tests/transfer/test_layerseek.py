from __future__ import annotations

import gzip
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import IO

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from casstore.errors import Damaged, Unsupported
from casstore.model.digest import sha256
from casstore.model.fileentry import FILE, FileEntry
from casstore.model.kept import LayerRecord
from casstore.model.state import BROKEN, PROMISED
from casstore.transfer.layerseek import CACHE, MAX_SEGMENT, SMALL, LayerReader, open_content
from casstore.transfer.restartpoints import BEGIN, Points
from tests.transfer.layerblobs import (
    COMPRESSIONS,
    PLAIN,
    CountingFile,
    entry_of,
    frames,
    packed,
    points_of,
    record_of,
    words,
)

# More than a segment that is held.
LONG = b"".join(b"line %d of a long file\n" % number for number in range(600_000))
assert len(LONG) > MAX_SEGMENT
RECORD = record_of(PLAIN, PLAIN)

blob_of = cache(lambda name: COMPRESSIONS[name](PLAIN))
kept_points = cache(lambda name: points_of(blob_of(name), PLAIN))


def reader_of(blob: bytes, plain: bytes, points: Points | None = None) -> LayerReader:
    return LayerReader(io.BytesIO(blob), record_of(blob, plain), points)


def bytes_read(blob: bytes, plain: bytes, entry: FileEntry, points: Points | None) -> int:
    """How much of the blob it takes to read a file."""
    file = CountingFile(blob)
    with open_content(file, record_of(blob, plain), entry, points) as content:
        assert content.read() == plain[entry.offset : entry.offset + entry.size]
        return file.count


@settings(deadline=None, max_examples=200)
@given(
    name=st.sampled_from(sorted(COMPRESSIONS)),
    with_points=st.booleans(),
    files=st.lists(
        st.tuples(st.integers(0, len(PLAIN)), st.integers(0, 2 << 20), st.lists(st.integers(0))),
        min_size=1,
        max_size=4,
    ),
)
def test_any_part_of_any_file_is_the_same_in_every_compression(
    name: str, *, with_points: bool, files: list[tuple[int, int, list[int]]]
) -> None:
    reader = reader_of(blob_of(name), PLAIN, kept_points(name) if with_points else None)

    for offset, size, places in files:
        data = PLAIN[offset : offset + size]
        with reader.open(entry_of(PLAIN, offset, len(data))) as content:
            for place in places:
                content.seek(place % (len(data) + 1))
                assert content.read(5000) == data[place % (len(data) + 1) :][:5000]
            content.seek(0)
            assert content.read() == data


@pytest.mark.parametrize("name", sorted(COMPRESSIONS.keys() - {"plain", "our-zstd", "one-frame"}))
def test_with_points_a_small_file_takes_a_small_part_of_the_blob(name: str) -> None:
    blob, end = blob_of(name), len(PLAIN) - 40_000
    share = len(blob) / 4

    assert bytes_read(blob, PLAIN, entry_of(PLAIN, end, 1000), kept_points(name)) < share


@pytest.mark.parametrize(("place", "share"), [(0, 0.3), (2 << 20, 0.8), (4_190_000, 1)])
def test_of_a_blob_of_ours_one_frame_is_read_up_to_the_content(place: int, share: float) -> None:
    plain = words(12 << 20)
    blob = packed(plain, "zstd", 1)
    frame = packed(plain[4 << 20 : 8 << 20], "zstd", 1)
    count = bytes_read(
        blob, plain, entry_of(plain, (4 << 20) + place, 1000), points_of(blob, plain)
    )

    assert count <= share * len(frame) + (128 << 10)


def test_without_points_the_frames_of_zstd_are_found_by_their_headers() -> None:
    plain = words(3 << 20)
    blob = frames(plain, 256 << 10)

    assert bytes_read(blob, plain, entry_of(plain, 2 << 20, 1000), None) < len(blob) / 4


def test_what_is_behind_the_content_is_not_read() -> None:
    blob = gzip.compress(LONG, 1)

    assert bytes_read(blob, LONG, entry_of(LONG, 1000, 1000), None) < len(blob) / 4


@pytest.mark.parametrize("pack", [zstandard.compress, lambda plain: gzip.compress(plain, 1)])
def test_one_long_frame_or_member_is_read_forward_once(pack: Callable[[bytes], bytes]) -> None:
    blob = pack(LONG)
    file = CountingFile(blob)
    reader = LayerReader(file, record_of(blob, LONG))

    for offset in range(0, len(LONG) - 1000, 1 << 20):
        with reader.open(entry_of(LONG, offset, 1000)) as content:
            assert content.read() == LONG[offset : offset + 1000]

    assert file.count <= 1.01 * len(blob)


def test_going_back_in_a_long_member_starts_at_the_point_before() -> None:
    plain = words(14 << 20)
    blob = gzip.compress(plain, 1)
    points = points_of(blob, plain, apart=3 << 20)
    file = CountingFile(blob)
    reader = LayerReader(file, record_of(blob, plain), points)
    for offset in (13 << 20, 7 << 20):
        file.count = 0
        with reader.open(entry_of(plain, offset, 1000)) as content:
            assert content.read() == plain[offset : offset + 1000]
        assert file.count < len(blob) / 3


def test_files_in_the_order_of_the_tar_take_the_blob_once() -> None:
    blob = frames(LONG, 4 << 20)
    file = CountingFile(blob)
    reader = LayerReader(file, record_of(blob, LONG), points_of(blob, LONG))

    for offset in range(0, len(LONG) - 1000, 500_000):
        with reader.open(entry_of(LONG, offset, 1000)) as content:
            assert content.read() == LONG[offset : offset + 1000]

    assert file.count <= 1.01 * len(blob)


def test_files_beside_each_other_take_their_frame_once() -> None:
    blob = frames(PLAIN, 1 << 20)
    file = CountingFile(blob)
    reader = LayerReader(file, record_of(blob, PLAIN), points_of(blob, PLAIN))
    counts = []

    for offset in (1500, 3000, 500, 2000, 1000):
        with reader.open(entry_of(PLAIN, offset, 400)) as content:
            assert content.read() == PLAIN[offset : offset + 400]
        counts.append(file.count)

    assert counts == counts[:1] * 5


def test_what_is_held_has_a_limit() -> None:
    plain = bytes(CACHE + (16 << 20))
    blob = frames(plain, 4 << 20)
    file = CountingFile(blob)
    reader = LayerReader(file, record_of(blob, plain), points_of(blob, plain))
    counts = []
    for offset in (0, *range(0, len(plain), 4 << 20), 0):
        with reader.open(entry_of(plain, offset, 10)) as content:
            content.read()
        counts.append(file.count)

    assert counts[0] == counts[1], "held"
    assert counts[-2] < counts[-1], "let go of, as the one that was not used for the longest time"


def test_reading_from_within_a_member_goes_on_behind_it() -> None:
    plain = words(2_500_000)
    blob = gzip.compress(plain[:1_400_000], 6) + gzip.compress(plain[1_400_000:], 6)
    points = points_of(blob, plain, apart=600_000)
    assert points is not None
    within, behind = points.at(1), points.at(2)
    assert (within.bit < BEGIN, behind.bit, behind.plain) == (True, BEGIN, 1_400_000)

    with reader_of(blob, plain, points).open(entry_of(plain, within.plain, 1_500_000)) as content:
        assert content.read() == plain[within.plain :][:1_500_000]


def test_two_files_of_one_reader_are_read_in_turns() -> None:
    reader = reader_of(blob_of("gzip-9"), PLAIN, kept_points("gzip-9"))
    one, other = (entry_of(PLAIN, offset, 2_000_000) for offset in (100, 1_500_000))

    with reader.open(one) as first, reader.open(other) as second:
        parts = [(first.read(70_000), second.read(70_000)) for _ in range(30)]

    assert b"".join(part for part, _ in parts) == PLAIN[100:2_000_100]
    assert b"".join(part for _, part in parts) == PLAIN[1_500_000:3_500_000]


def outcome(content: IO[bytes]) -> tuple[bytes, str]:
    """What could be read before the damage, and what was said of that."""
    parts = []
    try:
        while part := content.read(100_000):
            parts.append(part)
    except Damaged as error:
        return b"".join(parts), str(error)
    return b"".join(parts), ""


def sparse(size: int, extents: tuple[tuple[int, int], ...], offset: int) -> tuple[FileEntry, bytes]:
    content, at = bytearray(size), offset
    for start, length in extents:
        content[start : start + length] = PLAIN[at : at + length]
        at += length
    entry = FileEntry(b"s", FILE, 0, 0, 0, 0, size, offset=offset, extents=extents)
    return entry._replace(sha256=sha256(bytes(content)).raw), bytes(content)


@settings(deadline=None, max_examples=100)
@given(
    bounds=st.lists(st.integers(0, 3 << 20), min_size=1, max_size=9, unique=True).map(sorted),
    more=st.integers(0, 100_000),
    places=st.lists(st.integers(0, 3 << 20), max_size=5),
)
def test_the_holes_of_a_sparse_file_are_zeros(
    bounds: list[int], more: int, places: list[int]
) -> None:
    extents = tuple((start, end - start) for start, end in list(pairwise(bounds))[::2])
    entry, data = sparse(bounds[-1] + more, extents, 1000)

    with reader_of(PLAIN, PLAIN).open(entry) as content:
        for place in places:
            content.seek(place)
            assert content.read(3000) == data[place : place + 3000]
        content.seek(0)
        assert content.read() == data


def test_the_content_can_be_read_like_any_file() -> None:
    with reader_of(PLAIN, PLAIN).open(entry_of(PLAIN, 100, 50)) as content:
        assert content.readable() and content.seekable() and not content.writable()
        assert content.seek(-10, os.SEEK_END) == 40
        assert content.seek(5, os.SEEK_CUR) == 45 == content.tell()
        assert content.read(100) == PLAIN[145:150]
        assert content.seek(1000) == 1000
        assert content.read() == b""
        with pytest.raises(ValueError, match="negative"):
            content.seek(-51, os.SEEK_END)


def test_open_content_closes_the_blob() -> None:
    blob = io.BytesIO(PLAIN)

    with open_content(blob, RECORD, entry_of(PLAIN, 0, 10)) as content:
        assert content.read() == PLAIN[:10]

    assert blob.closed


def test_a_file_that_is_open_stays_readable_when_its_reader_is_closed() -> None:
    blob = io.BytesIO(PLAIN)
    reader = LayerReader(blob, RECORD)
    one, other = reader.open(entry_of(PLAIN, 0, 10)), reader.open(entry_of(PLAIN, 10, 2 * SMALL))

    reader.close()
    reader.close()
    assert one.read() == PLAIN[:10]
    one.close()
    assert other.read() == PLAIN[10 : 10 + 2 * SMALL]
    assert not blob.closed
    other.close()
    assert blob.closed


def test_a_reader_outlives_the_files_that_it_opened() -> None:
    blob = io.BytesIO(PLAIN)
    reader = LayerReader(blob, RECORD)
    reader.open(entry_of(PLAIN, 0, 10)).close()

    assert reader.open(entry_of(PLAIN, 0, 10)).read() == PLAIN[:10]
    reader.close()
    reader.close()
    assert blob.closed


@pytest.mark.parametrize(
    ("record", "error"),
    [
        (RECORD._replace(media_type=RECORD.media_type + "+encrypted"), Unsupported),
        (RECORD._replace(state=PROMISED), Unsupported),
        (RECORD._replace(state=BROKEN), Damaged),
    ],
)
def test_a_layer_that_cannot_be_read_is_refused_and_its_blob_closed(
    record: LayerRecord, error: type[Exception]
) -> None:
    blob = io.BytesIO(PLAIN)

    with pytest.raises(error):
        LayerReader(blob, record)

    assert blob.closed


LIST_WHAT_IS_LOADED = """
import io, sys
from casstore.model.digest import Digest
from casstore.model.fileentry import FILE, FileEntry
from casstore.model.kept import LayerRecord
from casstore.transfer.layerseek import open_content

blob, diff_id, size = open(sys.argv[1], "rb"), Digest(sys.argv[2]), int(sys.argv[3])
record = LayerRecord(Digest(sys.argv[4]), 0, "", diff_id, size, 0)
entry = FileEntry(b"f", FILE, 0, 0, 0, 0, 10, offset=5)
with open_content(blob, record, entry) as content:
    assert len(content.read()) == 10
print(*sorted(sys.modules))
"""


@pytest.mark.parametrize("name", ["our-zstd", "our-gzip"])
def test_reading_a_file_loads_no_threads(name: str, tmp_path: Path) -> None:
    blob = blob_of(name)
    (tmp_path / "blob").write_bytes(blob)
    words = str(tmp_path / "blob"), RECORD.diff_id, str(len(PLAIN)), sha256(blob)
    command = [sys.executable, "-c", LIST_WHAT_IS_LOADED, *words]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    assert "casstore.transfer.layerseek" in listing
    assert not {"concurrent.futures", "threading", "hashlib", "queue"} & set(listing)


# Damage


@pytest.mark.parametrize("size", [SMALL, SMALL + 1, 2 * SMALL])
@pytest.mark.parametrize("wrong", [0, -1])
def test_a_file_read_to_its_end_is_verified(size: int, wrong: int) -> None:
    changed = bytearray(PLAIN)
    changed[1000 if wrong == 0 else 999 + size] ^= 1

    with open_content(io.BytesIO(changed), RECORD, entry_of(PLAIN, 1000, size)) as content:
        got, error = outcome(content)

    assert len(got) < size
    assert error == f"blob {RECORD.digest} is damaged: /etc/file is not what was stored"


def test_of_a_small_file_every_part_is_verified() -> None:
    changed = PLAIN[:1000] + b"?" + PLAIN[1001:]

    with open_content(io.BytesIO(changed), RECORD, entry_of(PLAIN, 1000, SMALL)) as content:
        content.seek(SMALL // 2)
        with pytest.raises(Damaged):
            content.read(10)


def test_a_large_file_is_verified_whatever_was_read_of_it_before() -> None:
    changed = PLAIN[:1000] + b"?" + PLAIN[1001:]

    with open_content(io.BytesIO(changed), RECORD, entry_of(PLAIN, 1000, 2 * SMALL)) as content:
        content.seek(SMALL)
        assert content.read(10) == PLAIN[1000 + SMALL : 1010 + SMALL]
        content.seek(0)
        with pytest.raises(Damaged):
            content.read()


def test_without_a_sha256_nothing_is_verified() -> None:
    entry = entry_of(PLAIN, 0, 10)._replace(sha256=b"")

    with open_content(io.BytesIO(b"x" * 10), RECORD, entry) as content:
        assert content.read() == b"x" * 10


@pytest.mark.parametrize("name", sorted(COMPRESSIONS))
@pytest.mark.parametrize("with_points", [False, True])
@settings(deadline=None, max_examples=20)
@given(data=st.data())
def test_a_damaged_blob_gives_the_right_bytes_or_says_so(
    name: str, *, with_points: bool, data: st.DataObject
) -> None:
    blob = bytearray(blob_of(name))
    for place in data.draw(st.lists(st.integers(0, len(blob) - 1), min_size=1, max_size=4)):
        blob[place] ^= data.draw(st.integers(1, 255))
    del blob[data.draw(st.integers(len(blob) // 2, len(blob))) :]
    offset = data.draw(st.integers(0, len(PLAIN) - (2 << 20)))
    size = data.draw(st.integers(1, 2 << 20))
    points = kept_points(name) if with_points else None

    with open_content(
        io.BytesIO(blob), record_of(blob_of(name), PLAIN), entry_of(PLAIN, offset, size), points
    ) as content:
        got, error = outcome(content)

    if error:
        assert re.fullmatch(rf"blob {sha256(blob_of(name))} is damaged: .+", error)
    else:
        assert got == PLAIN[offset : offset + size]


def test_points_of_another_blob_do_no_harm_but_to_what_is_read() -> None:
    with (
        open_content(
            io.BytesIO(blob_of("gzip-1")),
            record_of(blob_of("gzip-1"), PLAIN),
            entry_of(PLAIN, 3_000_000, 1000),
            kept_points("gzip-9"),
        ) as content,
        pytest.raises(Damaged),
    ):
        content.read()
