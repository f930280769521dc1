"""A load's own directory in ingest/: drafts, parts that the next load goes on with, links."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from casstore.backends.local.backend import LocalBackend
from casstore.backends.local.ingest import Ingest
from casstore.errors import Damaged, Refused, StorageError
from casstore.files import durable
from casstore.model.digest import sha256
from tests.contract.opening import NOW, changing

DATA = b"first and rest"
DIGEST = sha256(DATA)
PART = f"part-{DIGEST.hex}"


@pytest.fixture
def ingest(backend: LocalBackend) -> Iterator[Ingest]:
    with closing(staging(backend)) as ingest:
        yield ingest


@pytest.fixture
def area(backend: LocalBackend) -> Path:
    return Path(backend.directory.ingest)


def staging(backend: LocalBackend) -> Ingest:
    return backend.begin_ingest(lambda: backend.view(NOW))


def staged(ingest: Ingest, data: bytes) -> None:
    draft = ingest.draft()
    draft.write(data)
    draft.seal(sha256(data), len(data))


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def failing(number: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


# Drafts


def test_a_write_says_how_much_it_wrote(ingest: Ingest) -> None:
    draft = ingest.draft()

    assert draft.write(DATA) == len(DATA)
    draft.discard()


def test_a_draft_that_is_given_up_leaves_no_file(ingest: Ingest) -> None:
    before = open_files()
    for give_up in ("discard", "leave"):
        draft = ingest.draft()
        draft.write(DATA)
        getattr(draft, give_up)()

    assert (os.listdir(ingest.directory), open_files()) == ([], before)


def test_what_is_sealed_cannot_be_given_up_any_more(ingest: Ingest) -> None:
    draft = ingest.draft()
    draft.write(DATA)
    draft.seal(DIGEST, len(DATA))

    draft.discard()
    draft.leave()

    assert ingest.read(DIGEST) == DATA


def test_the_same_blob_twice_is_staged_once(ingest: Ingest) -> None:
    for _ in range(2):
        staged(ingest, DATA)

    assert len(os.listdir(ingest.directory)) == len(ingest.staged()) == 1
    assert ingest.read(DIGEST) == DATA


def test_what_is_not_wanted_leaves_no_file(ingest: Ingest) -> None:
    staged(ingest, DATA)
    staged(ingest, b"else")

    ingest.keep_only({DIGEST})

    assert len(os.listdir(ingest.directory)) == 1
    with pytest.raises(Damaged, match="is missing"):
        ingest.open(sha256(b"else"))


def test_what_is_staged_is_on_the_disk_once_it_is_flushed(
    ingest: Ingest, flushed: list[str]
) -> None:
    staged(ingest, DATA)
    staged(ingest, b"else")

    ingest.flush()

    assert sorted(flushed) == sorted(path for path, _, _ in ingest.staged())


def test_a_scratch_file_has_no_name_and_several_do_not_meet(ingest: Ingest) -> None:
    files = [ingest.scratch() for _ in range(3)]
    for number, file in enumerate(files):
        file.write(b"%d" % number)

    assert os.listdir(ingest.directory) == []
    for file in files:
        file.seek(0)
    assert [file.read() for file in files] == [b"0", b"1", b"2"]
    for file in files:
        file.close()


def test_room_is_made_as_long_as_the_disk_is_full_and_can_be_made(backend: LocalBackend) -> None:
    rooms = iter([True, True, False])
    tries: list[None] = []

    def full(number: int) -> int:
        tries.append(None)
        raise OSError(number, os.strerror(number))

    with closing(Ingest(backend.where, backend.blobs, dict, lambda: next(rooms))) as ingest:  # type: ignore[arg-type]  # looks at no index
        with pytest.raises(StorageError, match="cannot write to the store: input/output error"):
            ingest.try_writing(full, errno.EIO)
        assert len(tries) == 1
        with pytest.raises(StorageError, match="cannot write to the store: no space left"):
            ingest.try_writing(full, errno.ENOSPC)

    assert len(tries) == 4 and next(rooms, None) is None


def test_without_being_told_how_no_room_is_made(backend: LocalBackend) -> None:
    with (
        closing(Ingest(backend.where, backend.blobs, lambda: backend.view(NOW))) as ingest,
        pytest.raises(StorageError, match="no space left"),
    ):
        ingest.try_writing(failing(errno.ENOSPC))


def test_staging_that_cannot_begin_leaves_no_sign_of_life(
    backend: LocalBackend, area: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "make_directory", failing(errno.ENOSPC))
    before = open_files()

    with pytest.raises(StorageError, match=r"^cannot write to the store: no space left") as caught:
        staging(backend)

    assert caught.value.full
    assert (os.listdir(area), open_files()) == ([], before)


def test_what_cannot_be_removed_at_the_end_is_told_and_left_to_gc(
    backend: LocalBackend, area: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest = staging(backend)
    staged(ingest, DATA)
    monkeypatch.setattr("casstore.backends.local.ingest.remove_tree", failing(errno.EIO))

    assert ingest.close() == ["cannot remove temporary files: input/output error"]
    monkeypatch.undo()
    assert backend.remove_leftovers() == (1, len(DATA))
    assert os.listdir(area) == []


# Parts


def cut_off(backend: LocalBackend, data: bytes) -> None:
    """A load that gets so much of the blob, and fails."""
    ingest = staging(backend)
    part = ingest.draft(DIGEST)
    part.write(data)
    part.leave()
    ingest.close(keep_parts=True)


def offset(ingest: Ingest) -> int:
    """How far the blob is that the next load goes on with."""
    part = ingest.draft(DIGEST)
    part.leave()
    return part.offset


def test_the_next_load_goes_on_where_the_last_was_cut_off(
    backend: LocalBackend, area: Path, ingest: Ingest
) -> None:
    before = open_files()
    cut_off(backend, DATA[:6])
    assert PART in os.listdir(area) and open_files() == before

    part = ingest.draft(DIGEST)

    assert part.offset == 6
    with part.reread() as file:
        assert file.read() == DATA[:6]
    part.write(DATA[6:])
    part.seal(DIGEST, len(DATA))
    assert ingest.read(DIGEST) == DATA
    assert PART not in os.listdir(area)


def test_a_load_that_is_refused_leaves_no_part(backend: LocalBackend, area: Path) -> None:
    ingest = staging(backend)
    part = ingest.draft(DIGEST)
    part.write(DATA[:6])
    part.leave()

    assert ingest.close() == []
    assert os.listdir(area) == []


def test_a_part_that_is_left_stays_whatever_comes_after(ingest: Ingest) -> None:
    part = ingest.draft(DIGEST)
    part.write(DATA[:6])
    part.leave()
    part.leave()
    part.discard()

    assert offset(ingest) == 6


def test_a_load_goes_on_with_its_own_part_before_that_of_another(
    backend: LocalBackend, ingest: Ingest
) -> None:
    part = ingest.draft(DIGEST)
    part.write(DATA[:6])
    part.leave()
    cut_off(backend, DATA[:3])

    assert offset(ingest) == 6


def test_the_part_of_a_process_that_died_is_gone_on_with(area: Path, ingest: Ingest) -> None:
    (area / "load-1-dead.lock").touch()
    (area / "load-1-dead").mkdir()
    (area / "load-1-dead" / PART).write_bytes(DATA[:9])

    assert offset(ingest) == 9


def test_a_part_that_was_complete_can_be_written_again(
    backend: LocalBackend, ingest: Ingest
) -> None:
    first = staging(backend)
    part = first.draft(DIGEST)
    part.write(DATA)
    part.seal(DIGEST, len(DATA))
    first.close(keep_parts=True)

    assert offset(ingest) == len(DATA)
    assert Path(ingest.directory, PART).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("what", ["a second name", "a link", "a fifo"])
def test_what_is_no_part_of_its_own_is_not_gone_on_with(
    area: Path, ingest: Ingest, what: str
) -> None:
    outside = area.parent / "outside"
    outside.write_bytes(DATA[:6])
    if what == "a second name":
        os.link(outside, area / PART)
    elif what == "a link":
        (area / PART).symlink_to(outside)
    else:
        os.mkfifo(area / PART)

    part = ingest.draft(DIGEST)
    assert part.offset == 0
    part.write(DATA)
    part.seal(DIGEST, len(DATA))

    assert (ingest.read(DIGEST), outside.read_bytes()) == (DATA, DATA[:6])


# Files that are linked


@pytest.fixture
def outside(area: Path) -> Path:
    path = area.parent / "outside"
    path.write_bytes(DATA)
    path.chmod(0o444)
    return path


def test_a_file_of_the_same_file_system_is_linked(ingest: Ingest, outside: Path) -> None:
    assert ingest.adopt(str(outside), DIGEST, len(DATA))

    assert ingest.read(DIGEST) == DATA
    assert outside.stat().st_nlink == 2
    outside.unlink()
    assert ingest.adopt(str(outside), DIGEST, len(DATA))  # it is there already


def test_a_file_of_another_file_system_is_not_linked(
    ingest: Ingest, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", failing(errno.EXDEV))

    assert not ingest.adopt(str(outside), DIGEST, len(DATA))
    assert (ingest.has(DIGEST), ingest.not_linked) == (None, 0)


def test_a_file_that_others_can_write_is_not_linked_and_counted(
    ingest: Ingest, outside: Path
) -> None:
    for count, mode in enumerate((0o664, 0o646), 1):
        outside.chmod(mode)

        assert not ingest.adopt(str(outside), DIGEST, len(DATA))
        assert (ingest.has(DIGEST), ingest.not_linked) == (None, count)
    assert outside.stat().st_nlink == 1


def test_a_file_of_another_size_is_refused_and_not_kept(ingest: Ingest, outside: Path) -> None:
    with pytest.raises(Refused, match="has another size than its descriptor says"):
        ingest.adopt(str(outside), DIGEST, len(DATA) + 1)

    assert os.listdir(ingest.directory) == []


# Publishing


def published(backend: LocalBackend, ingest: Ingest) -> list[str]:
    with changing(backend) as edits:
        ingest.publish(edits.known_among)
        edits.commit()
    return os.listdir(backend.blobs.directory)


def test_a_known_blob_that_is_whole_is_not_moved_and_a_damaged_one_is(
    backend: LocalBackend, ingest: Ingest
) -> None:
    whole, damaged, new = b"whole", b"damaged", b"new"
    for data in (whole, damaged, new):
        staged(ingest, data)
    Path(backend.blobs.path(sha256(whole))).write_bytes(b"WHOLE")
    Path(backend.blobs.path(sha256(damaged))).write_bytes(b"cut")
    known = {sha256(whole), sha256(damaged)}

    ingest.publish(known.intersection)

    blobs = {name: Path(backend.blobs.directory, name).read_bytes() for name in
             os.listdir(backend.blobs.directory)}  # fmt: skip
    assert blobs == {
        sha256(whole).hex: b"WHOLE", sha256(damaged).hex: damaged, sha256(new).hex: new
    }  # fmt: skip
    assert ingest.named == [sha256(new)]


def test_a_blob_whose_file_is_there_and_that_the_index_does_not_know_is_named_by_us(
    backend: LocalBackend, ingest: Ingest
) -> None:
    staged(ingest, DATA)
    Path(backend.blobs.path(DIGEST)).write_bytes(DATA[::-1])  # what a crash has left

    ingest.publish(lambda _: set())

    assert Path(backend.blobs.path(DIGEST)).read_bytes() == DATA
    assert ingest.named == [DIGEST]
