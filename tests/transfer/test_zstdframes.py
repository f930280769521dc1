from __future__ import annotations

import io
import struct

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from casstore.errors import Refused
from casstore.transfer.zstdframes import (
    MAGIC,
    FrameTracker,
    frame_starts,
    header_length,
    parse_header,
    whole_frame,
)

SKIPPABLE = b"\x5f\x2a\x4d\x18" + struct.pack("<I", 3) + b"abc"


PACKERS = st.builds(
    zstandard.ZstdCompressor, write_checksum=st.booleans(), write_content_size=st.booleans()
)


def split(data: bytes, step: int) -> list[int]:
    """Lengths of the frames in `data`, which is shown to the trackers `step` bytes at a time."""
    lengths, tracker, at = [], FrameTracker(), 0
    while at < len(data):
        at += tracker.feed(memoryview(data)[at : at + step])
        if tracker.done:
            lengths.append(tracker.length)
            tracker = FrameTracker()
    assert tracker.length == 0
    return lengths


@settings(max_examples=40, deadline=None)
@given(
    contents=st.lists(st.binary(max_size=2000), min_size=1, max_size=6),
    step=st.integers(1, 3000),
    packer=PACKERS,
)
def test_frames_are_found_whatever_the_chunks(
    contents: list[bytes], step: int, packer: zstandard.ZstdCompressor
) -> None:
    frames = [packer.compress(content) for content in contents]
    frames.insert(1, SKIPPABLE)

    assert split(b"".join(frames), step) == [len(frame) for frame in frames]


@settings(max_examples=40, deadline=None)
@given(
    content=st.binary(max_size=3000) | st.sampled_from([bytes(1 << 20), b"ab" * 300_000]),
    cut=st.integers(0, 4000),
    packer=PACKERS,
)
def test_a_frame_is_known_to_be_whole_when_all_of_it_is_there(
    content: bytes, cut: int, packer: zstandard.ZstdCompressor
) -> None:
    frame = packer.compress(content)

    for one in (frame, SKIPPABLE):
        found = whole_frame(memoryview(one + b"behind"))
        assert found is not None
        assert found[0] == len(one)
        assert found[1] == parse_header(one[: header_length(one)])
        assert whole_frame(memoryview(one)[: min(cut, len(one) - 1)]) is None


@pytest.mark.parametrize("word", [0b110, (128 << 10) + 1 << 3])
def test_a_frame_with_an_impossible_block_is_refused_as_a_whole(word: int) -> None:
    frame = zstandard.ZstdCompressor().compress(b"content")
    at = header_length(frame)

    with pytest.raises(Refused, match="bad block header"):
        whole_frame(memoryview(frame[:at] + word.to_bytes(3, "little") + frame[at + 3 :]))


def test_a_frame_of_many_blocks_and_runs_is_followed_to_its_end() -> None:
    frame = zstandard.ZstdCompressor(write_checksum=True).compress(bytes(1 << 20) + b"end" * 99999)

    assert split(frame * 2, 1000) == [len(frame)] * 2


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 65791, 65792, 70000])
def test_the_header_states_the_content_size(size: int) -> None:
    frame = zstandard.ZstdCompressor().compress(bytes(size))

    header = parse_header(frame[: header_length(frame)])

    assert header.content_size == size
    assert header.length == header_length(frame)
    assert zstandard.get_frame_parameters(frame).window_size == header.window


def test_a_frame_without_content_size_says_so() -> None:
    frame = zstandard.ZstdCompressor(write_content_size=False, write_checksum=True).compress(b"abc")

    header = parse_header(frame[: header_length(frame)])

    assert header.content_size is None and header.checksum and not header.skippable


def test_an_empty_skippable_frame_ends_with_its_header() -> None:
    assert split(b"\x50\x2a\x4d\x18\0\0\0\0", 3) == [8]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no zstd frame", "unexpected bytes after the last frame"),
        (MAGIC + b"\x08" + bytes(20), "reserved bit"),
        (MAGIC + b"\x01\x00\x07" + bytes(20), "needs a dictionary"),
        (MAGIC + b"\x00" + bytes([18 << 3]) + bytes(20), "window of 268435456 bytes exceeds"),
        (MAGIC + b"\x00\x00\x07\x00\x00" + bytes(20), "bad block header"),
        (MAGIC + b"\x00\x00\xfd\xff\xff" + bytes(20), "bad block header"),
    ],
)
def test_what_cannot_be_a_frame_is_refused(data: bytes, message: str) -> None:
    for step in (1, 4, 100):
        with pytest.raises(Refused, match=message):
            split(data, step)


@settings(max_examples=40, deadline=None)
@given(
    contents=st.lists(
        st.binary(max_size=2000) | st.sampled_from([bytes(1 << 20), b"ab" * 300_000]), max_size=6
    ),
    checksum=st.booleans(),
)
def test_the_starts_of_frames_are_told_by_headers(contents: list[bytes], *, checksum: bool) -> None:
    packer = zstandard.ZstdCompressor(write_checksum=checksum)
    frames = [(packer.compress(content), len(content)) for content in contents]
    frames.insert(1, (SKIPPABLE, 0))
    plain, packed = [0], [0]
    for frame, size in frames:
        packed.append(packed[-1] + len(frame))
        plain.append(plain[-1] + size)

    assert frame_starts(io.BytesIO(b"".join(frame for frame, _ in frames))) == (plain, packed)


@pytest.mark.parametrize(
    "behind",
    [
        zstandard.ZstdCompressor(write_content_size=False).compress(b"abc"),
        zstandard.compress(b"abc")[:5],
        b"junk that is no frame",
        MAGIC + b"\x08" + bytes(20),  # a reserved bit
        b"",
    ],
    ids=["no size", "cut", "junk", "reserved", "nothing"],
)
def test_the_starts_are_told_as_far_as_the_headers_say_where(behind: bytes) -> None:
    frame = zstandard.compress(b"abcd")

    assert frame_starts(io.BytesIO(frame + behind)) == ([0, 4], [0, len(frame)])
