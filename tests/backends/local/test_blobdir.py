"""blobs/sha256: reads verify, and nothing leads out of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from casstore.backends.local.blobs import BlobDirectory
from casstore.errors import Damaged
from casstore.model.digest import sha256

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
