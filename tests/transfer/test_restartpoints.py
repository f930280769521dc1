from __future__ import annotations

import io
import zlib

from hypothesis import given, settings
from hypothesis import strategies as st

from casstore.transfer.restartpoints import (
    BEGIN,
    MOST_BLOCKS,
    START,
    WINDOW,
    Points,
    PointsMaker,
    RestartPoint,
)
from tests.transfer.noise import noise


def kept(maker: PointsMaker) -> bytes:
    return b"".join(maker.attachment())


def loaded(attachment: bytes) -> Points | None:
    return Points.load(lambda offset, size: attachment[offset : offset + size])


def all_of(points: Points | None) -> list[RestartPoint]:
    assert points is not None
    return [points.at(index) for index in range(len(points.plain))]


points_apart = st.lists(
    st.builds(
        RestartPoint,
        packed=st.integers(1, 10_000),
        plain=st.integers(1, 10_000),
        bit=st.integers(0, 8) | st.just(BEGIN),
        window=st.binary(max_size=50) | st.just(noise(WINDOW)),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=50, deadline=None)
@given(steps=points_apart)
def test_what_is_kept_is_loaded_behind_the_start(steps: list[RestartPoint]) -> None:
    maker = PointsMaker(0, frames=0, blocks=0)
    points, packed, plain = [START], 0, 0
    for step in steps:
        packed, plain = packed + step.packed, plain + step.plain
        if step.bit == BEGIN:
            maker.begin(packed, plain)
            points.append(RestartPoint(packed, plain, BEGIN, b""))
        else:
            maker.block(packed, plain, step.bit, step.window)
            points.append(RestartPoint(packed, plain, step.bit, step.window))

    assert all_of(loaded(kept(maker))) == points


def test_nothing_is_kept_of_a_layer_without_points() -> None:
    assert kept(PointsMaker(100)) == b""
    assert loaded(b"") is None


def test_frames_are_noted_only_so_far_apart() -> None:
    maker = PointsMaker(0, frames=100)
    for plain in range(0, 350, 30):
        maker.begin(plain * 2, plain)

    assert [point.plain for point in all_of(loaded(kept(maker)))] == [0, 120, 240]


def test_blocks_are_wanted_so_far_apart_and_behind_frames() -> None:
    maker = PointsMaker(0, frames=10, blocks=100)

    assert [maker.wants_block(plain) for plain in (0, 99, 100)] == [False, False, True]
    maker.block(10, 120, 0, b"")
    assert [maker.wants_block(plain) for plain in (219, 220)] == [False, True]
    maker.begin(20, 230)
    assert [maker.wants_block(plain) for plain in (329, 330)] == [False, True]


def test_of_a_huge_layer_no_more_blocks_are_wanted() -> None:
    maker = PointsMaker(64 << 30)
    count = 0
    for plain in range(0, 64 << 30, 1 << 20):
        if maker.wants_block(plain):
            maker.block(plain, plain, 0, b"")
            count += 1

    assert count < MOST_BLOCKS


def test_where_none_was_found_the_next_try_is_a_mebibyte_further() -> None:
    maker = PointsMaker(0, blocks=100)
    maker.no_block(500)

    assert not maker.wants_block(500 + (1 << 20) - 1)
    assert maker.wants_block(500 + (1 << 20))


def test_what_is_noted_after_a_rebase_counts_from_there() -> None:
    maker = PointsMaker(0, frames=10, blocks=10)
    maker.rebase(1000, 2000)
    maker.begin(1, 5)
    maker.block(2, 20, 3, b"w")

    assert all_of(loaded(kept(maker)))[1:] == [
        RestartPoint(1001, 2005, BEGIN, b""),
        RestartPoint(1002, 2020, 3, b"w"),
    ]


def test_after_a_rebase_blocks_are_wanted_by_their_place_in_the_layer() -> None:
    maker = PointsMaker(0, blocks=10)
    maker.rebase(2000, 5)

    assert [maker.wants_block(plain) for plain in (4, 5)] == [False, True]


def an_attachment() -> bytes:
    maker = PointsMaker(0, frames=0, blocks=0)
    maker.begin(10, 20)
    maker.block(100, 200, 3, b"first")
    maker.block(1000, 2000, 4, b"second")
    return kept(maker)


def test_a_head_with_any_bit_wrong_is_no_head() -> None:
    attachment = an_attachment()
    head = attachment.index(b"x\x01")  # where zlib streams begin

    for place in range(head):
        for bit in range(8):
            wrong = bytearray(attachment)
            wrong[place] ^= 1 << bit
            assert loaded(bytes(wrong)) is None
    for size in range(head):
        assert loaded(attachment[:size]) is None


def test_where_a_window_is_damaged_reading_begins_at_the_point_before() -> None:
    attachment = an_attachment()
    second = attachment.rindex(b"x\x01")
    for place in range(second, len(attachment)):
        wrong = bytearray(attachment)
        wrong[place] ^= 1
        points = loaded(bytes(wrong))
        assert points is not None
        assert points.at(3) == points.at(2) == RestartPoint(100, 200, 3, b"first")

    cut = loaded(attachment[:second])
    assert cut is not None and cut.at(3).plain == 200


def test_a_point_at_no_bit_of_a_byte_is_none() -> None:
    maker = PointsMaker(0, blocks=0)
    maker.block(10, 20, 9, b"w")

    assert all_of(loaded(kept(maker))) == [START, START]


def test_of_the_windows_no_more_than_one_is_read() -> None:
    attachment, reads = an_attachment(), list[int]()

    def read(offset: int, size: int) -> bytes:
        reads.append(size)
        return attachment[offset : offset + size]

    points = Points.load(read)
    assert points is not None
    reads.clear()
    assert points.at(2).window == b"first"
    assert reads == [len(zlib.compress(b"first", 1))]


def test_where_no_window_can_be_read_any_more_reading_begins_at_the_start() -> None:
    maker = PointsMaker(0, blocks=0)
    for number in range(1, 1500):
        maker.block(number, number, 0, b"w")
    file = io.BytesIO(kept(maker))

    def read(offset: int, size: int) -> bytes:
        file.seek(offset)
        return file.read(size)

    points = Points.load(read)
    assert points is not None and points.at(1499).plain == 1499
    file.close()
    assert points.at(1499) == START
