"""casstore.uses: what is read back, whatever became of the file meanwhile."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from casstore.backends.local.uses import LastUses
from casstore.errors import StorageError
from casstore.model.digest import Digest, sha256

ONE, TWO = sha256(b"one"), sha256(b"two")
NOW = 1_800_000_000 * 10**9


@pytest.fixture
def uses(tmp_path: Path) -> LastUses:
    return LastUses(str(tmp_path), str(tmp_path / "staging"))


def test_nothing_is_known_of_a_store_without_the_file(uses: LastUses) -> None:
    assert uses.read(NOW) == {}


def test_the_last_use_of_each_image_counts(uses: LastUses) -> None:
    uses.note([ONE, TWO], NOW - 5)
    uses.note([ONE], NOW - 2)
    uses.note([TWO], NOW - 9)

    assert uses.read(NOW) == {ONE: NOW - 2, TWO: NOW - 5}


def test_a_torn_line_costs_itself_and_no_other(uses: LastUses) -> None:
    uses.note([ONE], NOW - 5)
    with open(uses.path, "r+b") as file:
        file.truncate(40)
    uses.note([TWO], NOW - 2)

    assert uses.read(NOW) == {TWO: NOW - 2}


@pytest.mark.parametrize(
    "junk",
    [b"\0" * 300, b"x" * 200 + b"\n", b"\n\n\n", f"{TWO.hex} {'1' * 19}x\n".encode(),
     f"{TWO.hex.upper()} {NOW:020d}\n".encode(), b"\xff" * 85 + b"\n"],
)  # fmt: skip
def test_what_is_no_line_of_ours_is_passed_over(uses: LastUses, junk: bytes) -> None:
    uses.note([ONE], NOW - 5)
    with open(uses.path, "ab") as file:
        file.write(junk)
    uses.note([ONE], NOW - 3)

    assert uses.read(NOW) == {ONE: NOW - 3}


def test_a_line_across_two_pieces_of_reading_is_read(uses: LastUses) -> None:
    images = [Digest.of_hex(f"{number:064x}") for number in range(30_000)]  # 2.5 MB
    uses.note(images, NOW)

    assert uses.read(NOW) == dict.fromkeys(images, NOW)


def test_a_time_well_ahead_of_the_clock_is_no_time(uses: LastUses) -> None:
    uses.note([ONE], NOW - 5)
    uses.note([ONE], NOW + 3601 * 10**9)

    assert uses.read(NOW) == {ONE: NOW - 5}


def test_what_came_after_a_mark_can_be_read_alone(uses: LastUses) -> None:
    uses.note([ONE], NOW)
    mark = uses.mark()
    uses.note([TWO], NOW)

    assert uses.read(NOW, since=mark) == {TWO: NOW}


def test_it_grows_and_is_written_anew_with_one_line_for_each_image_that_is_left(
    uses: LastUses,
) -> None:
    for at in range(1000):
        uses.note([ONE, TWO], NOW - 1000 + at)
    uses.compact({ONE}, NOW)

    assert uses.read(NOW) == {ONE: NOW - 1}
    assert os.path.getsize(uses.path) == 86


def test_a_file_that_is_not_much_too_long_is_left_alone(uses: LastUses) -> None:
    uses.note([ONE, ONE, TWO], NOW)
    inode = os.stat(uses.path).st_ino
    uses.compact({ONE}, NOW)

    assert os.stat(uses.path).st_ino == inode


def test_a_use_noted_while_the_file_is_written_anew_is_not_lost(
    uses: LastUses, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in range(1000):
        uses.note([ONE], NOW - 1000 + at)
    replace = uses._replace
    other = os.open(uses.path, os.O_RDWR)  # as a process that has just opened it

    def in_between(left: dict[Digest, int]) -> None:
        replace(left)

    monkeypatch.setattr(uses, "_replace", in_between)
    uses.compact({ONE, TWO}, NOW)
    assert os.fstat(other).st_nlink == 0  # so that process finds out, and opens it again
    os.close(other)
    uses.note([TWO], NOW)

    assert uses.read(NOW) == {ONE: NOW - 1, TWO: NOW}


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: os.symlink("/dev/null", path)])
def test_what_is_no_regular_file_is_left_alone(uses: LastUses, make: Callable[[str], None]) -> None:
    make(uses.path)
    uses.note([ONE], NOW)

    assert uses.read(NOW) == {}


def test_a_file_that_cannot_be_read_is_not_taken_for_no_use_at_all(
    uses: LastUses, monkeypatch: pytest.MonkeyPatch
) -> None:
    uses.note([ONE], NOW - 5)

    def fail(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", fail)
        with pytest.raises(StorageError, match=r"cannot read casstore\.uses: too many open files"):
            uses.read(NOW)


def test_a_directory_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path) -> None:
    uses = LastUses(str(tmp_path / "gone"), str(tmp_path / "staging"))
    uses.note([ONE], NOW)

    assert uses.read(NOW) == {}
