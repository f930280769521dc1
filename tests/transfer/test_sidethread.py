from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from casstore.model.digest import sha256
from casstore.transfer.layertar import LayerScanner
from casstore.transfer.sidethread import PlainBytes, SideThread
from tests.transfer.building import tar_of


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert [x.name for x in threading.enumerate() if x.name.startswith("casstore")] == []


class Log:
    """Work that notes what it got, and in which thread; it may wait until it is let go."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.threads: set[str] = set()
        self.may_go = threading.Event()
        self.may_go.set()

    def add(self, data: bytes | memoryview) -> None:
        assert self.may_go.wait(30)
        self.pieces.append(bytes(data))
        self.threads.add(threading.current_thread().name)


HERE = threading.main_thread().name


def test_what_helps_is_done_by_a_thread_in_the_order_in_which_it_was_given() -> None:
    log, side = Log(), SideThread()

    for number in range(50):
        side.do(log.add, b"%d" % number)
    side.finish()

    assert log.pieces == [b"%d" % number for number in range(50)]
    assert log.threads == {"casstore-side"}


def test_what_does_not_help_is_done_at_once_and_starts_no_thread() -> None:
    log, side = Log(), SideThread(lambda: False)

    side.do(log.add, b"1")

    assert log.pieces == [b"1"] and log.threads == {HERE}


def test_what_is_to_be_done_at_once_still_waits_for_what_was_given_before() -> None:
    log, helps = Log(), True
    side = SideThread(lambda: helps)
    log.may_go.clear()

    side.do(log.add, b"first")
    helps = False
    side.do(log.add, b"second")
    log.may_go.set()
    side.finish()
    side.do(log.add, b"third")

    assert log.pieces == [b"first", b"second", b"third"]
    assert log.threads == {"casstore-side", HERE}


@pytest.mark.parametrize(
    ("size", "most"), [(1, 8), (1 << 20, 8), ((1 << 20) + 1, 4), (3 << 20, 2), (9 << 20, 1)]
)
def test_bytes_that_wait_are_bounded(size: int, most: int) -> None:
    log, side, given = Log(), SideThread(backlog=8 << 20), []
    log.may_go.clear()
    piece = bytes(size)

    def give() -> None:
        for number in range(20):
            side.do(log.add, piece)
            given.append(number)

    giver = threading.Thread(target=give)
    giver.start()
    giver.join(0.2)
    assert len(given) <= most
    log.may_go.set()
    giver.join()
    side.finish()
    assert len(log.pieces) == 20


def test_an_error_is_raised_by_the_next_call_and_what_follows_is_not_done() -> None:
    log, side = Log(), SideThread()

    def fail(_: bytes | memoryview) -> None:
        raise OSError("disk gone")

    def give_more() -> None:
        for _ in range(100_000):
            side.do(log.add, b"later")

    side.do(fail, b"")
    with pytest.raises(OSError, match="disk gone"):
        give_more()
    with pytest.raises(OSError, match="disk gone"):
        side.finish()
    side.close()
    assert log.pieces == []


def test_closing_does_what_was_given_and_raises_nothing() -> None:
    log, side = Log(), SideThread()
    log.may_go.clear()

    for _ in range(5):
        side.do(log.add, b"x")
    log.may_go.set()
    side.close()
    side.close()

    assert len(log.pieces) == 5


def test_plain_bytes_are_hashed_counted_and_scanned() -> None:
    tar, scanner = tar_of({"a": b"12345"}), LayerScanner()
    plain = PlainBytes(scanner)

    for at in range(0, len(tar), 700):
        plain.add(memoryview(tar)[at : at + 700])

    assert (plain.diff_id, plain.size) == (sha256(tar), len(tar))
    assert scanner.file_bytes == 5
