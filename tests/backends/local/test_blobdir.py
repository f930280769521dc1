"""blobs/sha256: reads verify, and nothing leads out of it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from operator import length_hint
from pathlib import Path
from typing import Any

import pytest

from casstore.backends.local.blobs import BlobDirectory
from casstore.errors import Damaged, StorageError
from casstore.model.digest import Digest, sha256

DATA = b"content"
DIGEST = sha256(DATA)


@pytest.fixture
def blobs(tmp_path: Path) -> BlobDirectory:
    (tmp_path / "blobs" / "sha256").mkdir(parents=True)
    return BlobDirectory(str(tmp_path))


def test_a_document_is_read_whole(blobs: BlobDirectory) -> None:
    Path(blobs.path(DIGEST)).write_bytes(DATA)

    assert blobs.read(DIGEST) == DATA
    assert blobs.size(DIGEST) == len(DATA)


def test_a_document_with_other_content_is_corrupt(blobs: BlobDirectory) -> None:
    Path(blobs.path(DIGEST)).write_bytes(b"other")

    with pytest.raises(Damaged, match="is corrupt"):
        blobs.read(DIGEST)


def test_a_missing_blob_is_named(blobs: BlobDirectory) -> None:
    assert blobs.size(DIGEST) is None
    with pytest.raises(Damaged, match=f"^blob {DIGEST} is missing$"):
        blobs.open(DIGEST)


def test_a_symbolic_link_is_not_followed(blobs: BlobDirectory, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(DATA)
    Path(blobs.path(DIGEST)).symlink_to(tmp_path / "outside")

    assert blobs.size(DIGEST) is None
    with pytest.raises(Damaged):
        blobs.open(DIGEST)


def test_a_blob_that_is_a_fifo_is_damaged_and_does_not_hang(blobs: BlobDirectory) -> None:
    os.mkfifo(blobs.path(DIGEST))

    with pytest.raises(Damaged, match="is not a regular file"):
        blobs.open(DIGEST)


def test_discarding_what_is_gone_is_no_problem(blobs: BlobDirectory) -> None:
    assert blobs.discard([DIGEST]) == []


def test_what_cannot_be_removed_is_told_and_the_rest_goes(blobs: BlobDirectory) -> None:
    other = sha256(b"other")
    os.mkdir(blobs.path(DIGEST))
    Path(blobs.path(other)).touch()
    Path(blobs.path(DIGEST), "file").touch()

    assert len(blobs.discard([DIGEST, other])) == 1
    assert not os.path.exists(blobs.path(other))


def test_a_walk_tells_foreign_names_from_blobs(blobs: BlobDirectory) -> None:
    Path(blobs.path(DIGEST)).touch()
    Path(blobs.directory, "README").touch()

    assert {file.name: file.digest for file in blobs.walk()} == {
        DIGEST.hex: DIGEST,
        "README": None,
    }


def test_strangers_are_the_files_whose_names_are_not_known(blobs: BlobDirectory) -> None:
    for name in (DIGEST.hex, "0" * 64, "no digest"):
        Path(blobs.directory, name).write_bytes(DATA)

    found = {
        file.name: (file.digest, file.size) for file in blobs.strangers([DIGEST.raw, b"\xff" * 32])
    }

    assert found == {
        "0" * 64: ("sha256:" + "0" * 64, len(DATA)),
        "no digest": (None, len(DATA)),
    }


def test_strangers_come_by_name(blobs: BlobDirectory) -> None:
    names = [f"stranger {number:02}" for number in range(30)]
    for name in names:
        Path(blobs.directory, name).touch()

    assert [file.name for file in blobs.strangers([])] == names


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_the_time_of_writing_is_the_files(blobs: BlobDirectory) -> None:
    assert blobs.written(DIGEST) is None
    Path(blobs.path(DIGEST)).write_bytes(DATA)
    os.utime(blobs.path(DIGEST), ns=(1, 2_000_000_007))

    assert blobs.written(DIGEST) == 2_000_000_007


@pytest.mark.parametrize("read", [BlobDirectory.open, lambda b, d: b.content(d, 9)])
def test_what_is_no_file_leaves_nothing_open(
    blobs: BlobDirectory, read: Callable[[BlobDirectory, Digest], object]
) -> None:
    os.mkfifo(blobs.path(DIGEST))
    before = open_files()

    with pytest.raises(Damaged, match="is not a regular file"):
        read(blobs, DIGEST)

    assert open_files() == before


def test_a_document_may_be_as_long_as_the_limit_and_no_longer(blobs: BlobDirectory) -> None:
    Path(blobs.path(DIGEST)).write_bytes(DATA)

    assert blobs.read(DIGEST, len(DATA)) == DATA
    with pytest.raises(Damaged, match="is corrupt"):
        blobs.read(DIGEST, len(DATA) - 1)
    Path(blobs.path(DIGEST)).write_bytes(DATA + b"\n")
    with pytest.raises(Damaged, match="is corrupt"):
        blobs.read(DIGEST, len(DATA))


@pytest.mark.parametrize("limit", [len(DATA) - 1, len(DATA), len(DATA) + 5])
def test_a_small_blob_is_read_as_it_is_up_to_a_byte_beyond_the_limit(
    blobs: BlobDirectory, limit: int
) -> None:
    assert blobs.content(DIGEST, limit) is None
    Path(blobs.path(DIGEST)).write_bytes(DATA[::-1])
    before = open_files()

    assert blobs.content(DIGEST, limit) == DATA[::-1][: limit + 1]
    assert open_files() == before


def failing(error: OSError) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


@pytest.mark.parametrize("read", [BlobDirectory.open, lambda b, d: b.content(d, 9)])
def test_what_the_system_does_not_open_is_no_damage(
    blobs: BlobDirectory,
    monkeypatch: pytest.MonkeyPatch,
    read: Callable[[BlobDirectory, Digest], object],
) -> None:
    monkeypatch.setattr(os, "open", failing(PermissionError(errno.EACCES, "Permission denied")))

    with pytest.raises(StorageError, match=f"^cannot read blob {DIGEST}: permission denied"):
        read(blobs, DIGEST)


@pytest.mark.parametrize("reason", [errno.ELOOP, errno.ENXIO])
@pytest.mark.parametrize("read", [BlobDirectory.open, lambda b, d: b.content(d, 9)])
def test_a_link_or_a_socket_is_damage(
    blobs: BlobDirectory,
    monkeypatch: pytest.MonkeyPatch,
    read: Callable[[BlobDirectory, Digest], object],
    reason: int,
) -> None:
    monkeypatch.setattr(os, "open", failing(OSError(reason, os.strerror(reason))))

    with pytest.raises(Damaged, match="is not a regular file"):
        read(blobs, DIGEST)


def test_a_read_that_fails_is_no_damage(
    blobs: BlobDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(blobs.path(DIGEST)).write_bytes(DATA)
    monkeypatch.setattr(os, "read", failing(OSError(errno.EIO, "Input/output error")))

    with pytest.raises(StorageError, match=f"^cannot read blob {DIGEST}: input/output error"):
        blobs.content(DIGEST, 9)


def test_a_document_that_the_disk_does_not_give_is_no_damage(
    blobs: BlobDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open  # of /proc/self/mem the first page cannot be read: EIO
    monkeypatch.setattr(os, "open", lambda *_: real("/proc/self/mem", os.O_RDONLY))

    with pytest.raises(StorageError, match=f"^cannot read blob {DIGEST}: input/output error"):
        blobs.read(DIGEST)


def test_a_directory_in_the_place_of_a_new_blob_is_told(
    blobs: BlobDirectory, tmp_path: Path
) -> None:
    (tmp_path / "staged").write_bytes(DATA)
    os.mkdir(blobs.path(DIGEST))

    with pytest.raises(Damaged, match=f"in the place of blob {DIGEST.hex}; casstore fsck"):
        blobs.publish([(str(tmp_path / "staged"), DIGEST)])


# Discarding

MANY = [sha256(f"blob {number}".encode()) for number in range(40)]


@pytest.fixture
def many(blobs: BlobDirectory) -> BlobDirectory:
    for digest in MANY:
        Path(blobs.path(digest)).touch()
    return blobs


def left(blobs: BlobDirectory) -> set[str]:
    return set(os.listdir(blobs.directory))


def test_all_that_is_discarded_goes_and_nothing_stays_open(many: BlobDirectory) -> None:
    before = open_files()

    assert many.discard_some(MANY) == (len(MANY), [])
    assert left(many) == set() and open_files() == before


def test_an_empty_directory_in_the_place_of_a_blob_goes_too(blobs: BlobDirectory) -> None:
    os.mkdir(blobs.path(DIGEST))

    assert blobs.discard_some([DIGEST]) == (1, [])
    assert left(blobs) == set()


def test_where_the_directory_cannot_be_opened_nothing_goes_and_that_is_told(
    many: BlobDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "open", failing(PermissionError(errno.EACCES, "Permission denied")))

    count, problems = many.discard_some(MANY)

    assert count == len(MANY)
    assert len(problems) == 1 and problems[0].startswith("cannot open the blob directory: perm")
    monkeypatch.undo()
    assert len(left(many)) == len(MANY)


def test_a_file_in_the_place_of_the_blob_directory_is_told_once(blobs: BlobDirectory) -> None:
    os.rmdir(blobs.directory)
    Path(blobs.directory).touch()

    assert blobs.discard_some(MANY) == (
        len(MANY), ["cannot open the blob directory: not a directory"]
    )  # fmt: skip


def test_a_blob_that_cannot_be_unlinked_is_told(
    many: BlobDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = os.unlink

    def but_one(name: str, **where: Any) -> None:
        if name == MANY[3].hex:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        unlink(name, **where)

    monkeypatch.setattr(os, "unlink", but_one)

    count, problems = many.discard_some(MANY)

    assert count == len(MANY) and left(many) == {MANY[3].hex}
    assert problems == [f"cannot remove blob {MANY[3]}: operation not permitted"]


class Clock:
    """Time goes on by so much with each unlink."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, each: float) -> None:
        self.now = self.began = 64.0
        unlink = os.unlink

        def slowly(name: str, **where: Any) -> None:
            self.now += each
            unlink(name, **where)

        monkeypatch.setattr(os, "unlink", slowly)
        for name in ("monotonic", "perf_counter"):
            monkeypatch.setattr(f"casstore.backends.local.blobs.time.{name}", lambda: self.now)


def test_it_ends_when_the_seconds_are_over(
    many: BlobDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch, 2**-20)

    count, problems = many.discard_some(MANY, 19.5 * 2**-20)

    assert (count, problems) == (20, [])
    assert left(many) == {digest.hex for digest in MANY[20:]}
    assert clock.now == clock.began + 20 * 2**-20


@pytest.mark.parametrize(
    ("each", "count", "helped"),
    [(40e-6, 40, False), (60e-6, 40, True), (60e-6, 32, False), (60e-6, 16, False)],
    ids=["quick", "slow", "slow, but few are left", "slow, and all are the sample"],
)
def test_many_go_side_by_side_where_the_disk_makes_each_wait(
    many: BlobDirectory, monkeypatch: pytest.MonkeyPatch, each: float, count: int, *, helped: bool
) -> None:
    Clock(monkeypatch, each)
    sides: list[int] = []

    def side_by_side(work: Callable[[Iterator[str]], None], names: Iterator[str]) -> None:
        sides.append(length_hint(names))
        work(names)

    monkeypatch.setattr("casstore.files.parallel.side_by_side", side_by_side)

    assert many.discard_some(MANY[:count]) == (count, [])
    assert left(many) == {digest.hex for digest in MANY[count:]}
    assert sides == ([count - 16] if helped else [])


def test_how_the_disk_is_is_remembered(
    many: BlobDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock(monkeypatch, 60e-6)
    sides: list[int] = []

    def side_by_side(work: Callable[[Iterator[str]], None], names: Iterator[str]) -> None:
        sides.append(length_hint(names))
        work(names)

    monkeypatch.setattr("casstore.files.parallel.side_by_side", side_by_side)
    many.discard_some(MANY[:17])
    many.discard_some(MANY[17:])

    assert sides == [23]


# What another process takes meanwhile


@pytest.mark.parametrize("look", [BlobDirectory.walk, lambda blobs: blobs.strangers([])])
def test_a_file_that_goes_while_it_is_looked_at_is_passed_over(
    many: BlobDirectory, look: Callable[[BlobDirectory], Iterator[Any]]
) -> None:
    found = look(many)
    first = next(found)
    gone = sorted(digest.hex for digest in MANY if digest.hex != first.name)[3:9]
    for name in gone:
        os.unlink(os.path.join(many.directory, name))

    names = {first.name, *(file.name for file in found)}

    assert names == {digest.hex for digest in MANY} - set(gone)


def test_a_walk_tells_of_a_link_itself(blobs: BlobDirectory, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(DATA * 9)
    Path(blobs.path(DIGEST)).symlink_to(tmp_path / "outside")

    (file,) = blobs.walk()

    assert file.size != len(DATA) * 9
