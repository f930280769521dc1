from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
import zstandard

from casstore.errors import NotFound, Refused, StorageError
from casstore.transfer import archive as subject
from casstore.transfer import outputlimit
from casstore.transfer.archive import open_archive
from tests.transfer.building import tar_of
from tests.transfer.intake import FakeIntake
from tests.transfer.streams import Pipe

FILES = {"manifest.json": b"[]", "layer": b"x" * 3000}
TAR = tar_of(FILES)


def frames(data: bytes) -> bytes:
    pack = zstandard.ZstdCompressor().compress
    return pack(data[:700]) + b"\x50\x2a\x4d\x18\x02\0\0\0hi" + pack(data[700:])


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "gzip in members": lambda data: gzip.compress(data[:700]) + gzip.compress(data[700:]),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "zstd in frames": frames,
}


@pytest.mark.parametrize("how", COMPRESSORS)
def test_an_archive_is_read_in_any_compression(how: str, tmp_path: object) -> None:
    path = os.path.join(str(tmp_path), "a.tar.x")
    write(path, COMPRESSORS[how](TAR))

    with open_archive(path, FakeIntake()) as archive:
        assert archive.read("layer", 5000) == FILES["layer"]
        assert set(archive.names) == set(FILES)


@pytest.mark.parametrize("how", COMPRESSORS)
def test_an_archive_is_read_from_a_pipe(how: str) -> None:
    pipe = Pipe(COMPRESSORS[how](TAR))

    with open_archive(pipe, FakeIntake()) as archive:
        assert archive.read("layer", 5000) == FILES["layer"]
    assert not pipe.closed


def test_a_plain_file_is_read_where_it_lies(tmp_path: object) -> None:
    class NoScratch(FakeIntake):
        def scratch(self) -> IO[bytes]:
            raise AssertionError

    path = os.path.join(str(tmp_path), "a.tar")
    write(path, TAR)

    with open_archive(path, NoScratch()) as archive:
        assert archive.has("layer")


def test_an_open_file_is_read_from_where_it_stands_and_left_open() -> None:
    file = io.BytesIO(b"before" + TAR)
    file.seek(6)

    with open_archive(file, FakeIntake()) as archive:
        assert archive.read("manifest.json", 10) == b"[]"
    assert not file.closed


def test_a_decompressing_file_is_read_for_what_it_gives(tmp_path: object) -> None:
    path = os.path.join(str(tmp_path), "a.tar.gz")
    write(path, gzip.compress(TAR))

    with gzip.open(path) as file, open_archive(file, FakeIntake()) as archive:  # type: ignore[arg-type]  # typeshed: no IO
        assert archive.read("layer", 5000) == FILES["layer"]


@pytest.fixture
def standard_input() -> Iterator[int]:
    """The other end of the pipe that is standard input."""
    before = os.dup(0)
    read_end, write_end = os.pipe()
    os.dup2(read_end, 0)
    os.close(read_end)
    yield write_end
    os.dup2(before, 0)
    os.close(before)


def test_standard_input_may_be_a_pipe(standard_input: int) -> None:
    writer = threading.Thread(target=feed, args=(standard_input, gzip.compress(TAR)))
    writer.start()

    with open_archive("-", FakeIntake()) as archive:
        assert archive.read("layer", 5000) == FILES["layer"]
    writer.join()
    assert os.read(0, 1) == b""  # it is still open, and read to its end


def test_the_writer_of_a_pipe_can_finish_what_follows_the_archive() -> None:
    pipe = Pipe(TAR + bytes(100_000))

    with open_archive(pipe, FakeIntake()):
        assert pipe.read(1) == b""


def test_a_stream_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "MAX_TRAILER", 1 << 20)

    with pytest.raises(Refused, match="exceeds the limit"), open_archive("/dev/zero", FakeIntake()):
        pass


def test_a_compression_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputlimit, "MAX_ARCHIVE", 1 << 20)
    bomb = gzip.compress(tar_of({"a": bytes(4 << 20)}))

    with pytest.raises(Refused, match="exceeds the limit"):
        open_archive(io.BytesIO(bomb), FakeIntake())


@pytest.mark.parametrize("how", [each for each in COMPRESSORS if each != "plain"])
def test_a_compressed_archive_that_is_cut_is_refused(how: str) -> None:
    data = COMPRESSORS[how](TAR)

    with pytest.raises(Refused):
        open_archive(io.BytesIO(data[:-3]), FakeIntake())


def test_a_wrong_check_sum_at_the_very_end_is_refused() -> None:
    data = bytearray(gzip.compress(TAR))
    data[-5] ^= 1

    with pytest.raises(Refused, match="corrupt gzip"):
        open_archive(io.BytesIO(bytes(data)), FakeIntake())


def test_an_empty_file_is_refused(tmp_path: object) -> None:
    path = os.path.join(str(tmp_path), "a.tar")
    write(path, b"")

    with pytest.raises(Refused, match="is empty"):
        open_archive(path, FakeIntake())
    with pytest.raises(Refused, match="is empty"):
        open_archive(Pipe(b""), FakeIntake())


def test_nothing_there_is_told_in_dockers_words(tmp_path: object) -> None:
    path = os.path.join(str(tmp_path), "nosuch.tar")

    with pytest.raises(NotFound, match=r"^open .*/nosuch.tar: no such file or directory$"):
        open_archive(path, FakeIntake())
    with pytest.raises(NotFound):
        open_archive("a\0b", FakeIntake())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_a_storage_error(tmp_path: object) -> None:
    path = os.path.join(str(tmp_path), "a.tar")
    write(path, TAR)
    os.chmod(path, 0)

    with pytest.raises(StorageError, match="permission denied"):
        open_archive(path, FakeIntake())


@pytest.mark.parametrize(
    ("name", "stem"),
    [("busybox.tar", "busybox"), ("a.tar.gz", "a"), ("b.tgz", "b"), ("c.v1.oci.tar", "c.v1")],
)
def test_the_stem_is_the_name_without_what_says_how(name: str, stem: str, tmp_path: object) -> None:
    path = os.path.join(str(tmp_path), name)
    write(path, TAR)

    with open_archive(path, FakeIntake()) as archive:
        assert archive.stem == stem


def feed(fd: int, data: bytes) -> None:
    with open(fd, "wb") as file:
        file.write(data)


def write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def test_zeros_of_a_compressed_archive_take_no_space_while_it_is_read(tmp_path: Path) -> None:
    class OnDisk(FakeIntake):
        def scratch(self) -> IO[bytes]:
            self.file = open(tmp_path / "scratch", "w+b")  # noqa: SIM115
            return self.file

    intake = OnDisk()
    content = bytes(20 << 20) + b"end"

    with open_archive(io.BytesIO(gzip.compress(tar_of({"a": content}))), intake) as archive:
        assert os.fstat(intake.file.fileno()).st_blocks * 512 < 2 << 20
        assert archive.read("a", 32 << 20) == content
