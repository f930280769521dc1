from __future__ import annotations

import gzip
import io
import shutil
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from casstore.errors import Refused, UsageError
from casstore.model.digest import Digest, sha256
from casstore.transfer import layerpacker, outputlimit, piecework
from casstore.transfer.compress import (
    DEFAULT,
    Compression,
    LayerJob,
    pack_layers,
    parse_compression,
)
from casstore.transfer.openlayer import open_layer
from tests.transfer.building import tar_of
from tests.transfer.memoryintake import MemoryDraft, MemoryIntake
from tests.transfer.noise import noise

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

ALL = [Compression("zstd", 1), Compression("gzip", 6), Compression("none", 0)]
PIECE = 64 << 10  # instead of 4 MiB, so that a small layer has many

each_compression = pytest.mark.parametrize("compression", ALL, ids=lambda x: x.kind)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert [x.name for x in threading.enumerate() if x.name.startswith("casstore")] == []


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(piecework, "PIECE", PIECE)
    monkeypatch.setattr(layerpacker, "PIECE", PIECE)
    monkeypatch.setattr(layerpacker, "SMALL", 1 << 10)


def job(data: bytes, diff_id: Digest | None = None, position: int = 1) -> LayerJob:
    return LayerJob(lambda: io.BytesIO(data), diff_id, position)


def broken(data: bytes, error: Exception) -> Callable[[], IO[bytes]]:
    """A stream that fails after `data`."""

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            got = super().read(size)
            if not got:
                raise error
            return got

        def readinto(self, buffer: WriteableBuffer, /) -> int:
            count = super().readinto(buffer)
            if not count:
                raise error
            return count

    return lambda: Broken(data)


@each_compression
@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(0, 5 * PIECE), min_size=1, max_size=4), width=st.integers(1, 4))
def test_what_is_packed_opens_as_the_same_bytes(
    compression: Compression, sizes: list[int], width: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(piecework, "PIECE", PIECE)
        patch.setattr(layerpacker, "PIECE", PIECE)
        patch.setattr(layerpacker, "SMALL", 1 << 10)
        layers = [noise(size, seed) for seed, size in enumerate(sizes)]
        intake = MemoryIntake()

        records = pack_layers([job(x, sha256(x)) for x in layers], intake, compression, width=width)

        for data, record in zip(layers, records, strict=True):
            with open_layer(intake.open(record.digest), record) as layer:
                assert layer.read() == data
            assert record.diff_id == sha256(data) and record.diff_size == len(data)
            assert record.size == len(intake.blobs[record.digest])
        assert intake.untidy == []


@each_compression
def test_the_blob_is_the_same_whatever_the_number_of_threads(
    compression: Compression, small_pieces: None
) -> None:
    layers = [noise(size) for size in (0, 100, PIECE, 9 * PIECE, 10 * PIECE + 1)]

    packed = [
        pack_layers([job(x) for x in layers], MemoryIntake(), compression, width=width)
        for width in (1, 2, 5)
    ]

    assert packed[0] == packed[1] == packed[2]


@each_compression
def test_the_blob_is_the_same_however_the_stream_comes(
    compression: Compression, small_pieces: None
) -> None:
    data = noise(3 * PIECE + 5)

    class Drops(io.BytesIO):
        def readinto(self, buffer: WriteableBuffer, /) -> int:
            return super().readinto(memoryview(buffer)[:777])

    (whole,) = pack_layers([job(data)], MemoryIntake(), compression)
    (drops,) = pack_layers([LayerJob(lambda: Drops(data), None, 1)], MemoryIntake(), compression)

    assert whole == drops


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_layer_that_came_compressed_is_packed_like_the_plain_one(kind: str) -> None:
    data = tar_of({"a": noise(200_000)})
    wrapped = gzip.compress(data) if kind == "gzip" else zstandard.compress(data)

    (plain,) = pack_layers([job(data)], MemoryIntake())
    (other,) = pack_layers([job(wrapped, sha256(data))], MemoryIntake())

    assert plain == other


@pytest.mark.parametrize("size", [0, 1, 70_000, 9 << 20])
def test_a_gzip_blob_is_one_member_without_a_time(size: int) -> None:
    data, intake = noise(size), MemoryIntake()

    (record,) = pack_layers([job(data)], intake, Compression("gzip", 1))

    blob = intake.blobs[record.digest]
    assert gzip.decompress(blob) == data
    assert blob[3:8] == bytes(5)


ORDINARY_ZLIB = sys.platform == "linux" and "ng" not in zlib.ZLIB_RUNTIME_VERSION
GZIP_DIGESTS = {
    1: "cfdd295b2163",
    6: "02ed1bb27038",
    9: "946d3bc5b474",
}


@pytest.mark.skipif(not ORDINARY_ZLIB, reason="another library deflates in zlib's place")
@pytest.mark.parametrize("level", list(GZIP_DIGESTS))
@pytest.mark.parametrize("isal", ["installed", "missing"])
def test_a_gzip_blob_is_the_same_on_every_machine_with_isal_or_without(
    level: int, isal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isal == "missing":
        monkeypatch.setitem(sys.modules, "isal", None)
    words = b"".join(b"line %d of %d\n" % (number, number % 97) for number in range(20_000))
    data = tar_of({"words": words, "noise": noise(50_000)})

    (record,) = pack_layers([job(data)], MemoryIntake(), Compression("gzip", level))

    assert record.digest.short == GZIP_DIGESTS[level]


@pytest.mark.skipif(shutil.which("zstd") is None, reason="no zstd on this machine")
def test_the_zstd_tool_reads_a_blob_of_many_frames(tmp_path: Path) -> None:
    data, intake = noise(9 << 20), MemoryIntake()
    (record,) = pack_layers([job(data)], intake)
    path = tmp_path / "layer.zst"
    path.write_bytes(intake.blobs[record.digest])

    subprocess.run(["zstd", "-q", "-t", path], check=True)
    listing = subprocess.run(["zstd", "-l", path], check=True, capture_output=True, text=True)
    assert listing.stdout.splitlines()[1].split()[0] == "3"


@each_compression
def test_an_empty_layer_is_a_readable_blob(compression: Compression) -> None:
    intake = MemoryIntake()

    (record,) = pack_layers([job(b"")], intake, compression)

    with open_layer(intake.open(record.digest), record) as layer:
        assert layer.read() == b""
    assert (record.size == 0) == (compression.kind == "none")


def test_the_record_counts_the_bytes_of_files() -> None:
    data = tar_of({"a": b"12345", "b": b"123"})

    (record,) = pack_layers([job(data)], MemoryIntake())

    assert record.file_bytes == 8 and record.diff_size == len(data)


@pytest.mark.parametrize("size", [100, 300_000, 5 << 20])
def test_a_layer_that_is_not_its_diff_id_is_refused(size: int) -> None:
    data, other, intake = noise(size), sha256(b"other"), MemoryIntake()

    with pytest.raises(Refused) as caught:
        pack_layers([job(b"good"), job(data, other, position=2)], intake)

    expected = f'invalid diffID for layer 2: expected "{other}", got "{sha256(data)}"'
    assert str(caught.value) == expected
    assert intake.untidy == []


def test_a_wrong_diff_id_is_not_blamed_on_the_layer_read_meanwhile(small_pieces: None) -> None:
    jobs = [job(noise(3 * PIECE), sha256(b""), 1), job(noise(400 * PIECE, 2), None, 2)]

    with pytest.raises(Refused, match=r"^invalid diffID for layer 1: "):
        pack_layers(jobs, MemoryIntake())


@pytest.mark.parametrize("size", [5000, 900_000])
def test_a_layer_cut_short_is_refused_by_its_number(size: int) -> None:
    intake = MemoryIntake()
    cut = gzip.compress(noise(size))[:-9]

    with pytest.raises(Refused, match=r"^layer 2: truncated or corrupt gzip data$"):
        pack_layers([job(b"x"), job(cut, position=2)], intake)
    assert intake.untidy == []


def test_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputlimit, "ALWAYS_ALLOWED", 1 << 20)
    intake = MemoryIntake()

    with pytest.raises(Refused, match="layer 1: the uncompressed data exceeds the limit"):
        pack_layers([job(gzip.compress(bytes(40 << 20)))], intake)
    assert intake.untidy == [] and intake.blobs == {}


def test_an_error_while_reading_discards_every_draft(small_pieces: None) -> None:
    intake = MemoryIntake()
    bad = LayerJob(broken(noise(30 * PIECE), OSError("disk gone")), None, 2)

    with pytest.raises(OSError, match="disk gone"):
        pack_layers([job(noise(20 * PIECE, 2)), bad, job(b"never")], intake)
    assert intake.untidy == [] and len(intake.drafts) == 2


def test_an_error_while_writing_discards_every_draft(
    small_pieces: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(draft: MemoryDraft, data: bytes) -> int:
        if len(draft.content) > 4 * PIECE:
            raise OSError(28, "No space left on device")
        draft.content += data
        return len(data)

    monkeypatch.setattr(MemoryDraft, "write", full)
    intake = MemoryIntake()

    with pytest.raises(OSError, match="No space left"):
        pack_layers([job(noise(60 * PIECE)), job(noise(PIECE, 3))], intake, width=3)
    assert intake.untidy == []


def test_an_error_while_writing_the_only_layer_is_not_lost(
    small_pieces: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(draft: MemoryDraft, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(MemoryDraft, "write", full)
    intake = MemoryIntake()

    with pytest.raises(OSError, match="No space left"):
        pack_layers([job(noise(PIECE + 1))], intake)
    assert intake.untidy == [] and intake.layers == {}


def test_an_error_while_packing_discards_every_draft(
    small_pieces: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(view: memoryview) -> bytes:
        raise MemoryError

    monkeypatch.setattr(layerpacker._Zstd, "packer", lambda codec: fail)
    intake = MemoryIntake()

    with pytest.raises(MemoryError):
        pack_layers([job(noise(60 * PIECE))], intake, width=2)
    assert intake.untidy == []


def test_a_layer_that_comes_twice_is_read_once() -> None:
    data, intake, opened = noise(100_000), MemoryIntake(), []

    def open_it() -> IO[bytes]:
        opened.append(1)
        return io.BytesIO(data)

    records = pack_layers([LayerJob(open_it, sha256(data), n) for n in (1, 2, 3)], intake)

    assert len(opened) == 1 and records[0] == records[1] == records[2]


def test_a_layer_that_is_there_in_another_compression_is_not_read() -> None:
    data, intake = noise(1000), MemoryIntake()
    (first,) = pack_layers([job(data)], intake, Compression("gzip", 6))

    unread = LayerJob(broken(b"", AssertionError("read")), sha256(data), 1)
    (again,) = pack_layers([unread], intake)

    assert again == first and len(intake.blobs) == 1


def test_a_layer_without_diff_id_that_is_there_is_not_stored_again() -> None:
    data, intake = noise(200_000), MemoryIntake()
    (first,) = pack_layers([job(data)], intake)

    (again,) = pack_layers([job(data)], intake, Compression("none", 0))

    assert again == first and len(intake.blobs) == 1 and intake.untidy == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("zstd", DEFAULT),
        ("zstd:19", ("zstd", 19)),
        ("gzip", ("gzip", 6)),
        ("gzip:9", ("gzip", 9)),
        ("none", ("none", 0)),
    ],
)
def test_a_compression_is_a_kind_and_a_level(text: str, expected: tuple[str, int]) -> None:
    assert parse_compression(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "xz", "zstd:", "zstd:0", "zstd:20", "gzip:10", "gzip:-1", "none:1", "zstd:1x", "zstd:²"],
)
def test_any_other_compression_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="invalid compression"):
        parse_compression(text)
