from __future__ import annotations

import errno
import itertools
import mmap
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from casstore.files import placedfile
from casstore.files.placedfile import PlacedFile, start_writeback
from tests.transfer.noise import noise

SIZE = 3 << 20
PAGE = mmap.PAGESIZE


@pytest.fixture
def new(tmp_path: Path) -> Iterator[tuple[str, int]]:
    path = str(tmp_path / "new")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    yield path, descriptor
    os.close(descriptor)


def pieces(data: bytes) -> list[tuple[int, memoryview]]:
    """`data` in pieces of all sizes, in no order, most in memory as they will be in the file."""
    chance = random.Random(1)  # noqa: S311 - nothing here is a secret
    cuts = sorted({0, len(data), *(chance.randrange(len(data)) for _ in range(40))})
    parts = []
    for at, end in itertools.pairwise(cuts):
        skip = at % PAGE if chance.random() < 0.8 else 1
        buffer = memoryview(mmap.mmap(-1, skip + end - at))[skip:]
        buffer[:] = data[at:end]
        parts.append((at, buffer))
    chance.shuffle(parts)
    return parts


def no_direct(path: str) -> int | None:
    return None


PWRITE = os.pwrite


@pytest.mark.parametrize("way", ["direct", "no direct I/O", "refused later", "little by little"])
def test_bytes_that_come_in_any_order_are_where_they_belong(
    new: tuple[str, int], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    import fcntl

    def refused(descriptor: int, data: memoryview, offset: int) -> int:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT and offset > SIZE // 3:
            raise OSError(errno.EINVAL, "invalid")
        return PWRITE(descriptor, data, offset)

    def little(descriptor: int, data: memoryview, offset: int) -> int:
        return PWRITE(descriptor, data[: max(PAGE, len(data) // 2)], offset)

    if way == "no direct I/O":
        monkeypatch.setattr(placedfile, "_open_direct", no_direct)
    elif way != "direct":
        monkeypatch.setattr(os, "pwrite", refused if way == "refused later" else little)
    data = noise(SIZE)

    with PlacedFile(*new, SIZE) as file:
        for offset, part in pieces(data):
            file.place(offset, part)

    assert Path(new[0]).read_bytes() == data


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EIO])
def test_a_block_that_the_disk_does_not_take_is_told(
    new: tuple[str, int], monkeypatch: pytest.MonkeyPatch, reason: int
) -> None:
    def refuse(descriptor: int, data: memoryview, offset: int) -> int:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(placedfile, "_open_direct", lambda path: os.open(path, os.O_WRONLY))
    monkeypatch.setattr(os, "pwrite", refuse)

    with PlacedFile(*new, SIZE) as file, pytest.raises(OSError, match=os.strerror(reason)):
        file.place(0, memoryview(bytes(SIZE)))


def test_direct_io_that_is_refused_is_not_tried_again(
    new: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(descriptor: int, data: memoryview, offset: int) -> int:
        if descriptor == new[1]:
            return PWRITE(descriptor, data, offset)
        asked.append(offset)
        raise OSError(errno.EINVAL, "invalid")

    monkeypatch.setattr(placedfile, "_open_direct", lambda path: os.open(path, os.O_WRONLY))
    monkeypatch.setattr(os, "pwrite", refuse)
    with PlacedFile(*new, SIZE) as file:
        for at in range(0, SIZE, 1 << 20):
            file.place(at, memoryview(bytes(1 << 20)))

    assert asked == [0]


def test_what_is_not_placed_is_zeros(new: tuple[str, int]) -> None:
    with PlacedFile(*new, SIZE) as file:
        file.place(5, memoryview(b"here"))

    assert Path(new[0]).read_bytes() == bytes(5) + b"here" + bytes(SIZE - 9)


def test_a_full_disk_is_told_before_anything_is_written(
    new: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, offset: int, size: int) -> None:
        if size == SIZE:
            raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(placedfile, "_open_direct", lambda path: os.open(path, os.O_WRONLY))
    monkeypatch.setattr(os, "posix_fallocate", full)
    before = set(os.listdir("/proc/self/fd"))

    with pytest.raises(OSError, match="full"):
        PlacedFile(*new, SIZE)
    assert set(os.listdir("/proc/self/fd")) == before


def test_space_is_not_reserved_where_that_means_writing_every_block(
    new: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def emulated(descriptor: int, offset: int, size: int) -> None:
        asked.append(size)
        os.pwrite(descriptor, b"\0", offset)

    monkeypatch.setattr(placedfile, "_open_direct", lambda path: os.open(path, os.O_WRONLY))
    monkeypatch.setattr(os, "posix_fallocate", emulated)

    PlacedFile(*new, SIZE).close()

    assert asked and max(asked) < SIZE
    assert os.path.getsize(new[0]) == SIZE


def test_write_back_that_is_begun_changes_nothing_that_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb", buffering=0) as file:
        for at in range(0, 3 << 20, 1 << 20):
            file.write(bytes([at >> 20]) * (1 << 20))
            start_writeback(file.fileno(), at, 1 << 20)

    assert path.read_bytes() == b"".join(bytes([n]) * (1 << 20) for n in range(3))


def test_ragged_ends_wait_until_the_file_is_closed_and_those_that_meet_are_one_write(
    new: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    cached: list[tuple[int, int]] = []

    def noted(descriptor: int, data: memoryview, offset: int) -> int:
        if descriptor == new[1]:
            cached.append((offset, len(data)))
        return PWRITE(descriptor, data, offset)

    monkeypatch.setattr(placedfile, "_open_direct", lambda path: os.open(path, os.O_WRONLY))
    monkeypatch.setattr(os, "pwrite", noted)
    data = noise(SIZE)
    cuts = [0, 512, (1 << 20) + 512, (2 << 20) + 1024, SIZE]
    with PlacedFile(*new, SIZE) as file:
        for at, end in reversed(list(itertools.pairwise(cuts))):
            file.place(at, memoryview(data)[at:end])
        assert cached == []

    assert cached == [(0, PAGE), (1 << 20, PAGE), (2 << 20, PAGE)]
    assert Path(new[0]).read_bytes() == data


def test_few_ragged_ends_are_in_memory_at_a_time(
    new: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placedfile, "_MOST", 4)
    monkeypatch.setattr(placedfile, "_open_direct", lambda path: os.open(path, os.O_WRONLY))
    with PlacedFile(*new, SIZE) as file:
        for number in range(4):
            file.place(number * PAGE, memoryview(b"end"))
        assert Path(new[0]).read_bytes()[3 * PAGE :].startswith(b"end")


def test_a_file_that_failed_gets_no_ends_any_more(
    new: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placedfile, "_open_direct", lambda path: os.open(path, os.O_WRONLY))

    def failing() -> None:
        with PlacedFile(*new, SIZE) as file:
            file.place(0, memoryview(b"end"))
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        failing()
    assert Path(new[0]).read_bytes() == bytes(SIZE)


def test_an_end_that_the_disk_does_not_take_is_told(
    new: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, data: memoryview, offset: int) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(placedfile, "_open_direct", lambda path: os.open(path, os.O_WRONLY))
    file = PlacedFile(*new, SIZE)
    file.place(0, memoryview(b"end"))
    before = set(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(os, "pwrite", full)

    with pytest.raises(OSError, match="full"):
        file.close()
    assert set(os.listdir("/proc/self/fd")) < before
