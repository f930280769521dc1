from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from typing import IO

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from casstore.errors import CasstoreError, Damaged, Unsupported
from casstore.model.digest import sha256
from casstore.model.kept import LayerRecord
from casstore.model.state import BROKEN, PROMISED
from casstore.transfer import openlayer
from casstore.transfer.openlayer import open_framed, open_layer
from tests.transfer.building import OCI_LAYER
from tests.transfer.noise import noise

DATA = noise(1 << 16) * 48  # 3 MiB
SKIPPABLE = b"\x50\x2a\x4d\x18" + struct.pack("<I", 4) + b"skip"


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert [x.name for x in threading.enumerate() if x.name.startswith("casstore")] == []


def record_of(blob: bytes, data: bytes, media_type: str = OCI_LAYER) -> LayerRecord:
    return LayerRecord(sha256(blob), len(blob), media_type, sha256(data), len(data), 0)


def frames_of(data: bytes, size: int) -> bytes:
    packer = zstandard.ZstdCompressor(level=1)
    parts = (data[at : at + size] for at in range(0, len(data), size))
    return b"".join(packer.compress(part) for part in parts)


def drain(layer: IO[bytes]) -> None:
    while layer.read(1 << 16):
        pass


def opened(blob: bytes, data: bytes) -> bytes:
    with open_layer(io.BytesIO(blob), record_of(blob, data)) as layer:
        return layer.read()


@pytest.mark.parametrize("size", [0, 10, 1 << 20, len(DATA)])
@pytest.mark.parametrize(
    "wrap",
    [bytes, gzip.compress, zstandard.compress, bz2.compress, lambda x: lzma.compress(x, preset=0)],
    ids=["plain", "gzip", "zstd", "bzip2", "xz"],
)
def test_a_layer_in_any_compression_opens_as_its_tar(
    wrap: Callable[[bytes], bytes], size: int
) -> None:
    data = DATA[:size]

    assert opened(wrap(data), data) == data


@settings(max_examples=25, deadline=None)
@given(
    frame=st.integers(40_000, 2 << 20),
    steps=st.lists(st.integers(50_000, 2 << 20), min_size=1, max_size=4),
    width=st.integers(1, 4),
)
def test_many_frames_give_the_same_bytes_in_any_reads(
    frame: int, steps: list[int], width: int
) -> None:
    blob = frames_of(DATA, frame)
    got: list[bytes] = []

    with openlayer.FramedReader(io.BytesIO(blob), record_of(blob, DATA), width=width) as layer:
        while piece := layer.read(steps[len(got) % len(steps)]):
            got.append(piece)

    assert b"".join(got) == DATA


def test_pieces_are_the_rest_of_the_layer() -> None:
    blob = frames_of(DATA, 700_000)

    with open_framed(io.BytesIO(blob), record_of(blob, DATA)) as layer:
        head = layer.read(1000)
        pieces = list(layer.pieces())

    assert head + b"".join(pieces) == DATA
    assert all(pieces) and max(map(len, pieces)) <= openlayer.MAX_FRAME


def test_skippable_and_empty_frames_between_the_frames_are_passed_over() -> None:
    empty = zstandard.compress(b"")
    blob = SKIPPABLE + frames_of(DATA, 1 << 20) + empty + SKIPPABLE * 2 + empty

    assert opened(blob, DATA) == DATA


@pytest.mark.parametrize("header", ["with size", "without size"])
def test_frames_too_large_for_one_call_are_read_as_a_stream(
    header: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openlayer, "MAX_FRAME", 1 << 20)
    large = zstandard.ZstdCompressor(write_content_size=header == "with size").compress(
        DATA[1 << 20 :]
    )
    blob = frames_of(DATA[: 1 << 20], 1 << 19) + large + SKIPPABLE + frames_of(b"end", 9)

    assert opened(blob, DATA + b"end") == DATA + b"end"


@pytest.mark.parametrize("wrap", [bytes, gzip.compress, zstandard.compress])
@pytest.mark.parametrize("size", [1000, len(DATA)])
def test_bytes_that_are_not_the_diff_id_are_reported_before_the_end(
    wrap: Callable[[bytes], bytes], size: int
) -> None:
    data = DATA[:size]
    blob = wrap(data[:-1] + b"?")
    record = record_of(blob, data)
    if wrap is bytes:
        record = record._replace(digest=record.diff_id)

    with open_layer(io.BytesIO(blob), record) as layer, pytest.raises(Damaged) as caught:
        drain(layer)
    assert str(caught.value) == f"blob {record.digest} is damaged: it is not layer {record.diff_id}"


@pytest.mark.parametrize("length", [3, 30, 60_000, -1, -40])
@pytest.mark.parametrize("frame", [1 << 18, 8 << 20], ids=["many frames", "one frame"])
def test_a_blob_cut_short_is_damaged(length: int, frame: int) -> None:
    blob = frames_of(DATA, frame)
    record = record_of(blob, DATA)

    with (
        open_layer(io.BytesIO(blob[:length]), record) as layer,
        pytest.raises(Damaged, match=f"^blob {record.digest} is damaged: "),
    ):
        layer.read()


def test_junk_behind_the_frames_is_damage() -> None:
    blob = frames_of(DATA, 1 << 20) + b"junk behind"

    with pytest.raises(Damaged, match="unexpected bytes after the last frame"):
        opened(blob, DATA)


def test_a_skippable_frame_cut_short_at_the_end_is_damage() -> None:
    blob = frames_of(DATA, 1 << 20) + SKIPPABLE[:-1]

    with pytest.raises(Damaged, match="truncated zstd data"):
        opened(blob, DATA)


def test_a_blob_that_holds_more_than_its_record_says_is_damaged() -> None:
    blob = frames_of(DATA * 2, 1 << 20)
    seen: list[int] = []

    with open_framed(io.BytesIO(blob), record_of(blob, DATA)) as layer, pytest.raises(Damaged):
        seen.extend(map(len, layer.pieces()))
    assert sum(seen) <= len(DATA)


def test_an_encrypted_layer_cannot_be_opened() -> None:
    file = io.BytesIO(b"secret")

    with pytest.raises(Unsupported, match="is encrypted"):
        open_layer(file, record_of(b"secret", b"", OCI_LAYER + "+encrypted"))
    assert file.closed


def test_what_is_ready_before_it_is_wanted_is_bounded_however_many_cores_there_are() -> None:
    data = bytes(40 * openlayer.MAX_FRAME // 2)  # which decompress faster than they are hashed
    blob = frames_of(data, openlayer.MAX_FRAME // 2)
    record = record_of(blob, data)
    del data
    tracemalloc.start()
    try:
        with openlayer.FramedReader(io.BytesIO(blob), record, width=8) as layer:
            for _ in layer.pieces():
                pass
            _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < openlayer.AHEAD + openlayer.UNHASHED + openlayer.MAX_FRAME


@pytest.mark.parametrize("amount", [0, 1, 1 << 20])
def test_closing_early_ends_the_threads_and_closes_the_file(amount: int) -> None:
    blob = frames_of(DATA, 1 << 18)
    file = io.BytesIO(blob)

    layer = open_layer(file, record_of(blob, DATA))
    layer.read(amount)
    layer.close()
    layer.close()

    assert file.closed and layer.closed


@pytest.mark.parametrize(("state", "error"), [(BROKEN, Damaged), (PROMISED, Unsupported)])
def test_a_layer_that_is_not_settled_is_not_opened(state: int, error: type[CasstoreError]) -> None:
    file, digest = io.BytesIO(b"blob"), sha256(b"blob")
    record = LayerRecord(digest, 4, OCI_LAYER + "+gzip", sha256(b"tar"), 0, 4, state)

    with pytest.raises(error):
        open_layer(file, record)
    assert file.closed
