"""The reserve: made where there is room, given up where there is none."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from casstore.backends.local import reserve
from casstore.backends.local.reserve import FILES, NAME, SPARE, Reserve, nearly_full
from tests.backends.local.filesystem import file_system

DATABASE = 300_000  # bytes


@pytest.fixture
def kept(tmp_path: Path) -> Reserve:
    (tmp_path / "casstore.db").write_bytes(bytes(DATABASE))
    return Reserve(str(tmp_path), (str(tmp_path / "casstore.db"), str(tmp_path / "nosuch")))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[os.statvfs_result], None]:
    """Make every file system look like this one."""

    def looks(status: os.statvfs_result) -> None:
        monkeypatch.setattr(os, "statvfs", lambda _: status)

    return looks


def space(tmp_path: Path) -> os.stat_result:
    return (tmp_path / NAME / "space").stat()


def test_it_is_really_allocated_and_grows_with_what_a_removal_writes(
    kept: Reserve, tmp_path: Path
) -> None:
    kept.restore()
    assert space(tmp_path).st_size >= SPARE + DATABASE
    assert space(tmp_path).st_blocks * 512 >= SPARE + DATABASE
    assert len(os.listdir(tmp_path / NAME)) == FILES + 1

    (tmp_path / "casstore.db").write_bytes(bytes(10 * DATABASE))
    kept.restore()
    assert space(tmp_path).st_size >= SPARE + 10 * DATABASE


def test_one_that_is_large_enough_is_left_alone(kept: Reserve, tmp_path: Path) -> None:
    kept.restore()
    before = space(tmp_path)
    kept.restore()

    assert space(tmp_path).st_ctime_ns == before.st_ctime_ns


def test_giving_it_up_leaves_no_file_and_says_whether_there_was_any(
    kept: Reserve, tmp_path: Path
) -> None:
    assert not kept.give_up()
    kept.restore()
    assert kept.give_up()
    assert os.listdir(tmp_path / NAME) == []
    assert not kept.give_up()


@pytest.mark.parametrize(("free", "inodes"), [(SPARE // 2, 1000), (1 << 30, FILES - 1)])
def test_it_is_wanted_and_not_made_where_bytes_or_inodes_are_short(
    kept: Reserve, tmp_path: Path, disk: Callable[[os.statvfs_result], None], free: int, inodes: int
) -> None:
    disk(file_system(free, inodes=inodes))

    assert kept.is_wanted()
    kept.restore()
    assert not (tmp_path / NAME).exists()


def test_a_file_system_that_counts_no_inodes_has_enough(
    kept: Reserve, disk: Callable[[os.statvfs_result], None]
) -> None:
    disk(file_system(1 << 30, inodes=0, all_inodes=0))

    assert not kept.is_wanted()


def test_what_cannot_be_made_is_not_left_half(
    kept: Reserve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, _: int, byte_count: int) -> None:
        os.ftruncate(descriptor, byte_count)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    kept.restore()

    assert os.listdir(tmp_path / NAME) == []


def test_a_link_in_its_place_is_not_followed(kept: Reserve, tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    (tmp_path / "elsewhere").write_text("x")
    (tmp_path / NAME / "space").symlink_to("../elsewhere")
    kept.restore()

    assert (tmp_path / "elsewhere").read_text() == "x"


@pytest.mark.parametrize(
    ("free", "total", "lacking"),
    [
        (1 << 30, 1 << 40, 0),
        ((1 << 30) - 4096, 1 << 40, 4096),
        (1 << 20, 20 << 20, 0),
        (0, 20 << 20, 1 << 20),
    ],
)
def test_a_disk_is_nearly_full_below_a_gibibyte_or_a_twentieth(
    disk: Callable[[os.statvfs_result], None], free: int, total: int, lacking: int
) -> None:
    disk(file_system(free, total=total))

    assert nearly_full("/") == lacking
    assert (reserve.LOW_SPACE, reserve.LOW_SHARE) == (1 << 30, 20)


BASE = 512 * 600  # bytes of the database
NEEDED, HALF = SPARE + BASE, SPARE // 2


@pytest.fixture
def even(tmp_path: Path) -> Reserve:
    """A reserve whose limits are whole blocks."""
    (tmp_path / "casstore.db").write_bytes(bytes(BASE))
    return Reserve(str(tmp_path), (str(tmp_path / "casstore.db"), str(tmp_path / "nosuch")))


@pytest.mark.parametrize(
    ("free", "size"),
    [
        (2 * (NEEDED + HALF), NEEDED + HALF), (2 * (NEEDED + HALF) - 512, NEEDED),
        (NEEDED, NEEDED), (NEEDED - 512, NEEDED - 512),
        (NEEDED - HALF, NEEDED - HALF), (NEEDED - HALF - 512, None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("linked", [False, True])
def test_it_is_as_large_as_there_is_room_for(
    even: Reserve, tmp_path: Path, disk: Callable[[os.statvfs_result], None],
    free: int, size: int | None, *, linked: bool,
) -> None:  # fmt: skip
    if linked:  # in a copy by hard links: it is given up first
        even.restore()
        os.link(tmp_path / NAME / "space", tmp_path / "copy")
    disk(file_system(free))
    even.restore()

    made = tmp_path / NAME / "space"
    assert (made.stat().st_size if made.exists() else None) == size
    assert not linked or (tmp_path / "copy").stat().st_nlink == 1


def test_one_of_just_the_size_that_is_needed_is_left_alone(
    even: Reserve, tmp_path: Path, disk: Callable[[os.statvfs_result], None]
) -> None:
    disk(file_system(NEEDED))
    even.restore()
    disk(file_system(1 << 40))
    even.restore()

    assert space(tmp_path).st_size == NEEDED


@pytest.mark.parametrize(("free", "wanted"), [(NEEDED, False), (NEEDED - 512, True)])
def test_it_is_wanted_where_less_is_free_than_a_removal_may_write(
    even: Reserve, disk: Callable[[os.statvfs_result], None], free: int, *, wanted: bool
) -> None:
    disk(file_system(free, inodes=FILES))

    assert even.is_wanted() is wanted


def test_a_file_system_that_tells_nothing_is_full_for_a_removal_and_not_for_a_load(
    even: Reserve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "statvfs", fail)

    assert even.is_wanted()
    assert nearly_full(str(tmp_path)) == 0


def test_no_file_stays_open(kept: Reserve) -> None:
    before = len(os.listdir("/proc/self/fd"))
    kept.restore()
    kept.give_up()

    assert len(os.listdir("/proc/self/fd")) == before
