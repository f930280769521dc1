"""Uploads as files in ingest/: what each request and each crash leaves."""

from __future__ import annotations

import os
from io import BytesIO, FileIO
from pathlib import Path

import pytest

from casstore.backends.local import uploads as uploads_module
from casstore.backends.local.leftovers import BLOB, UPLOAD, remove_leftovers
from casstore.backends.local.uploads import Uploads
from casstore.backends.resting import REST_SECONDS
from casstore.errors import NotFound, Refused
from casstore.files import durable
from casstore.model.digest import sha256

CONTENT = b"what is uploaded" * 1000
DIGEST = sha256(CONTENT)


@pytest.fixture
def area(tmp_path: Path) -> Path:
    (tmp_path / "ingest").mkdir(mode=0o700)
    return tmp_path / "ingest"


@pytest.fixture
def uploads(area: Path) -> Uploads:
    return Uploads(str(area), lambda: False)


def upload_of(uploads: Uploads, content: bytes = CONTENT) -> str:
    upload = uploads.begin()
    uploads.append(upload, BytesIO(content))
    return upload


def age(path: Path, seconds: float) -> None:
    status = path.stat()
    os.utime(path, (status.st_atime - seconds, status.st_mtime - seconds))


def read_again(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of files that are hashed from their beginning, as it happens."""
    files: list[str] = []
    reread = uploads_module._reread

    def noted(file: FileIO) -> object:
        files.append(os.path.basename(str(file.name)))
        return reread(file)

    monkeypatch.setattr(uploads_module, "_reread", noted)
    return files


def test_an_upload_is_a_file_that_others_cannot_read(area: Path, uploads: Uploads) -> None:
    upload = uploads.begin()

    (file,) = area.iterdir()
    assert file.name == UPLOAD + upload
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_finished_blob_is_flushed_before_it_has_its_name_and_the_name_after_it(
    area: Path, uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = upload_of(uploads)
    happened: list[str] = []
    flush, rename = os.fsync, os.rename

    def fsync(descriptor: int) -> None:
        happened.append("fsync " + os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        flush(descriptor)

    def renamed(source: str, target: str) -> None:
        happened.append("rename " + os.path.basename(target))
        rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", renamed)
    uploads.finish(upload, DIGEST)

    blob = BLOB + DIGEST.hex
    assert happened == [f"fsync {UPLOAD}{upload}", f"rename {blob}", "fsync ingest"]
    assert (area / blob).stat().st_mode & 0o777 == durable.BLOB_MODE


def test_what_this_process_has_hashed_is_not_read_again(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = read_again(monkeypatch)
    upload = upload_of(uploads, CONTENT[:50])
    uploads.append(upload, BytesIO(CONTENT[50:]))
    uploads.append(upload, BytesIO(b""))  # as of a client whose last request has no more bytes

    uploads.finish(upload, DIGEST)

    assert files == []


def test_what_another_process_has_written_is_read_again(
    area: Path, uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = read_again(monkeypatch)
    upload = upload_of(uploads, CONTENT[:50])
    with (area / f"{UPLOAD}{upload}").open("ab") as file:
        file.write(CONTENT[50:70])
    uploads.append(upload, BytesIO(CONTENT[70:]), offset=70)

    uploads.finish(upload, DIGEST)

    assert files == [UPLOAD + upload]


def test_what_a_power_cut_has_made_zeros_is_noticed_by_the_process_after_it(
    area: Path, uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = upload_of(uploads)
    (area / f"{UPLOAD}{upload}").write_bytes(bytes(len(CONTENT)))
    monkeypatch.setattr(uploads_module, "_hashes", uploads_module._Hashes())

    with pytest.raises(Refused):
        uploads.finish(upload, DIGEST)


def test_hashes_of_many_uploads_do_not_grow_for_ever(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads_module, "_KEPT", 2)
    files = read_again(monkeypatch)
    begun = [upload_of(uploads) for _ in range(3)]

    for upload in begun:
        uploads.finish(upload, DIGEST)

    assert files == [UPLOAD + begun[0]]


@pytest.mark.parametrize("kind", ["upload", "blob"])
def test_what_somebody_uses_has_its_day_again(area: Path, uploads: Uploads, kind: str) -> None:
    upload = upload_of(uploads)
    path = area / f"{UPLOAD}{upload}"
    if kind == "blob":
        uploads.finish(upload, DIGEST)
        path = area / f"{BLOB}{DIGEST.hex}"
    age(path, REST_SECONDS - 60)

    if kind == "blob":
        assert uploads.find(DIGEST) == len(CONTENT)
    else:
        uploads.append(upload, BytesIO(b""))
    age(path, REST_SECONDS - 60)

    assert remove_leftovers(str(area.parent)) == (0, 0)
    assert path.exists()


def test_gc_that_takes_an_old_upload_while_it_goes_on_does_no_harm(
    area: Path, uploads: Uploads
) -> None:
    upload = upload_of(uploads, CONTENT[:50])

    class Collecting:
        def __init__(self) -> None:
            self.pieces = [CONTENT[50:]]

        def read(self, size: int = -1, /) -> bytes:
            (area / f"{UPLOAD}{upload}").unlink(missing_ok=True)
            return self.pieces.pop() if self.pieces else b""

    uploads.append(upload, Collecting())

    with pytest.raises(NotFound):
        uploads.finish(upload, DIGEST)
    assert list(area.iterdir()) == []


def test_a_link_in_the_place_of_an_upload_is_not_followed(area: Path, uploads: Uploads) -> None:
    target = area.parent / "elsewhere"
    target.write_bytes(b"precious")
    (area / f"{UPLOAD}{'0' * 32}").symlink_to(target)
    (area / f"{BLOB}{DIGEST.hex}").symlink_to(target)

    assert uploads.find(DIGEST) is None
    with pytest.raises(Exception, match="write to the store"):
        uploads.append("0" * 32, BytesIO(CONTENT))
    with pytest.raises(Exception, match="read an upload"):
        uploads.open(DIGEST)
    assert target.read_bytes() == b"precious"


def test_where_the_disk_is_full_room_is_made(area: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    refusals = [True]

    class Full(FileIO):
        def write(self, data: bytes) -> int:  # type: ignore[override]  # bytes will do here
            if refusals:
                refusals.pop()
                raise OSError(28, "No space left on device")
            return super().write(data)

    monkeypatch.setattr(uploads_module, "FileIO", Full)

    def make_room() -> bool:
        asked.append(1)
        return True

    uploads = Uploads(str(area), make_room)

    upload = upload_of(uploads)

    assert asked == [1]
    assert uploads.size(upload) == len(CONTENT)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_upload_whose_process_was_killed_as_it_finished_goes_on(
    area: Path, uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = upload_of(uploads)
    with monkeypatch.context() as patch:
        patch.setattr(durable, "publish", _killed)
        with pytest.raises(KeyboardInterrupt):
            uploads.finish(upload, DIGEST)
    assert (area / f"{UPLOAD}{upload}").stat().st_mode & 0o222 == 0

    assert uploads.append(upload, BytesIO(b"")) == len(CONTENT)
    assert (area / f"{UPLOAD}{upload}").stat().st_mode & 0o777 == 0o600
    assert uploads.finish(upload, DIGEST) == len(CONTENT)


def _killed(*_: object) -> None:
    raise KeyboardInterrupt
