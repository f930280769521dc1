"""What lies where blobs are, as a look at it finds."""

from __future__ import annotations

import os
from pathlib import Path

from casstore.model.descriptor import Descriptor
from casstore.model.digest import sha256
from casstore.model.published import Published
from casstore.model.storage import stored_file

DIGEST = sha256(b"data")


def test_a_file_is_a_blob_by_its_name_and_frees_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / DIGEST.hex
    path.write_bytes(b"data")
    found = stored_file(path.name, path.stat())

    assert (found.digest, found.size, found.freed) == (DIGEST, 4, 4)
    assert found.mode == path.stat().st_mode


def test_a_file_with_another_name_is_no_blob(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_bytes(b"data")

    assert stored_file(path.name, path.stat()).digest is None


def test_a_file_that_has_two_names_frees_nothing(tmp_path: Path) -> None:
    path = tmp_path / DIGEST.hex
    path.write_bytes(b"data")
    os.link(path, tmp_path / "elsewhere")

    assert stored_file(path.name, path.stat()).freed == 0


def test_what_is_published_is_not_pinned_and_has_no_place_unless_it_is_said() -> None:
    row = Published(None, Descriptor("a/b", DIGEST, 4), None)

    assert (row.pinned, row.made, row.written) == (False, 0, None)
