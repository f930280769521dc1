"""casstore.uses: what is read back, whatever became of the file meanwhile."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from casstore.backends.local import usehistory as module
from casstore.backends.local.uses import LastUses
from casstore.clock import AHEAD
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
     f"{TWO.hex.upper()} {NOW:020d}\n".encode(), b"\xff" * 85 + b"\n",
     f"{TWO.hex}-{NOW:020d}\n".encode(), f"{TWO.hex} {NOW:021d}\n".encode()],
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
    for at in range(9):
        uses.note([ONE, ONE, TWO], NOW + at)
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


def line(image: Digest, at: int) -> str:
    return f"{image.hex} {at:020d}\n"


def test_a_use_is_one_line_at_the_end(uses: LastUses) -> None:
    uses.note([ONE, TWO], NOW)
    uses.note([ONE], NOW + 1)

    assert Path(uses.path).read_text() == line(ONE, NOW) + line(TWO, NOW) + line(ONE, NOW + 1)


def test_a_last_line_without_its_end_counts(uses: LastUses) -> None:
    Path(uses.path).write_text(line(ONE, NOW).removesuffix("\n"))

    assert uses.read(NOW) == {ONE: NOW}


@pytest.mark.parametrize("piece", [1, 7, 84, 85, 86, 90, 91])
def test_lines_are_the_same_in_pieces_of_any_size(
    uses: LastUses, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(module, "_READ", piece)
    Path(uses.path).write_text(f"xxxxx{line(TWO, NOW)}{line(ONE, NOW)}{line(ONE, NOW - 1)}")

    assert uses.read(NOW) == {ONE: NOW}


def test_a_time_may_be_a_little_ahead_of_the_clock(uses: LastUses) -> None:
    uses.note([ONE], NOW + AHEAD)
    uses.note([TWO], 0)

    assert uses.read(NOW) == {ONE: NOW + AHEAD, TWO: 0}


def test_a_mark_of_what_is_not_there_yet_leaves_nothing_out(uses: LastUses) -> None:
    mark = uses.mark()
    uses.note([ONE], NOW)

    assert mark == (0, 0)
    assert uses.read(NOW, since=mark) == {ONE: NOW}


@pytest.mark.parametrize(("lines", "rewritten"), [(4, False), (5, True)])
def test_two_lines_for_each_image_are_not_too_many(
    uses: LastUses, monkeypatch: pytest.MonkeyPatch, lines: int, *, rewritten: bool
) -> None:
    monkeypatch.setattr(module, "_SLACK", 0)
    for at in range(lines):
        uses.note([ONE], NOW + at)
    uses.compact({ONE, TWO}, NOW + 9)

    assert (Path(uses.path).read_text() == line(ONE, NOW + lines - 1)) is rewritten


def too_many(uses: LastUses, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is in the file, which is about to be rewritten."""
    monkeypatch.setattr(module, "_SLACK", 0)
    for at in range(3):
        uses.note([ONE], NOW + at)
    return Path(uses.path).read_text()


def test_the_file_is_not_written_anew_under_one_who_notes_a_use(
    uses: LastUses, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = too_many(uses, monkeypatch)
    with open(uses.path, "rb") as noting:
        fcntl.flock(noting, fcntl.LOCK_SH)
        uses.compact({ONE}, NOW + 9)

    assert Path(uses.path).read_text() == before


def test_who_notes_a_use_waits_for_one_who_writes_the_file_anew(uses: LastUses) -> None:
    uses.note([ONE], NOW)
    noting = threading.Thread(target=uses.note, args=([TWO], NOW))
    with open(uses.path, "rb") as anew:
        fcntl.flock(anew, fcntl.LOCK_EX)
        noting.start()
        noting.join(0.1)
        assert noting.is_alive()
        assert uses.read(NOW) == {ONE: NOW}
    noting.join()

    assert uses.read(NOW) == {ONE: NOW, TWO: NOW}


def test_a_use_in_one_copy_by_hard_links_is_none_in_the_other(
    uses: LastUses, tmp_path: Path
) -> None:
    uses.note([ONE], NOW)
    os.link(uses.path, tmp_path / "copy")
    uses.note([TWO], NOW)

    assert (tmp_path / "copy").read_text() == line(ONE, NOW)
    assert uses.read(NOW) == {ONE: NOW, TWO: NOW}


def test_a_group_that_may_write_the_store_may_note_a_use(uses: LastUses, tmp_path: Path) -> None:
    tmp_path.chmod(0o2775)
    uses.note([ONE], NOW)

    assert os.stat(uses.path).st_mode & 0o020


def test_another_file_is_not_read_through_a_link(uses: LastUses, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text(line(ONE, NOW))
    os.symlink(tmp_path / "elsewhere", uses.path)
    uses.note([TWO], NOW)

    assert uses.read(NOW) == {}
    assert (tmp_path / "elsewhere").read_text() == line(ONE, NOW)


def test_no_file_stays_open(
    uses: LastUses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    too_many(uses, monkeypatch)
    uses.compact({ONE}, NOW + 9)
    os.link(uses.path, tmp_path / "copy")
    uses.note([TWO], NOW)
    uses.read(NOW)
    os.unlink(uses.path)
    os.mkfifo(uses.path)
    uses.note([TWO], NOW)
    uses.read(NOW)

    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOLCK, "No locks available"), KeyboardInterrupt()]
)
def test_where_it_cannot_be_locked_it_is_not_written_and_not_left_open(
    uses: LastUses, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise error

    uses.note([ONE], NOW)
    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", fail)
        if isinstance(error, KeyboardInterrupt):
            with pytest.raises(KeyboardInterrupt):
                uses.note([TWO], NOW)
        else:
            uses.note([TWO], NOW)

    assert len(os.listdir("/proc/self/fd")) == before
    assert uses.read(NOW) == {ONE: NOW}
