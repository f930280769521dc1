"""Tables of contents as files: their names, their modes, what others find of an unfinished one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from casstore.backends.local.backend import LocalBackend
from casstore.backends.local.leftovers import leftovers
from tests.contract.test_contents import LAYER, keep, table_of, with_a_table
from tests.contract.test_ingest import with_an_image

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_table_is_a_read_only_file_named_as_its_layer(backend: LocalBackend) -> None:
    with_a_table(backend)

    path = os.path.join(backend.where, "contents", LAYER.hex)
    assert os.stat(path).st_mode & 0o777 == 0o444
    assert os.listdir(os.path.join(backend.where, "ingest")) == []


def test_a_table_that_is_being_written_is_nobodys_to_remove(backend: LocalBackend) -> None:
    draft = backend.contents.draft()
    assert draft is not None

    with draft:
        assert len(os.listdir(os.path.join(backend.where, "ingest"))) == 1
        assert leftovers(backend.where) == []


def test_nothing_is_flushed_for_a_table(backend: LocalBackend, flushed: list[str]) -> None:
    with_an_image(backend)
    flushed.clear()

    keep(backend, b"a table")

    assert flushed == []


def test_a_layout_of_another_tool_gets_nothing_written_into_it(
    backend: LocalBackend, tmp_path: Path
) -> None:
    foreign = tmp_path / "layout"
    foreign.mkdir()

    assert LocalBackend(str(foreign)).contents.draft() is None
    assert os.listdir(foreign) == []


def test_no_table_is_kept_on_a_disk_that_is_nearly_full(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_an_image(backend)
    monkeypatch.setattr("casstore.backends.local.contents.nearly_full", lambda root: 1)

    keep(backend, b"a table")

    assert table_of(backend) is None


def test_a_link_in_the_place_of_the_directory_is_not_followed(
    backend: LocalBackend, tmp_path: Path
) -> None:
    with_an_image(backend)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / LAYER.hex).write_bytes(b"of somebody else")
    os.symlink(elsewhere, os.path.join(backend.where, "contents"))

    keep(backend, b"a table")
    backend.contents.discard([LAYER])
    backend.blobs.discard([LAYER])

    assert table_of(backend) is None
    assert list(backend.contents.walk()) == []
    assert (elsewhere / LAYER.hex).read_bytes() == b"of somebody else"


def test_a_table_that_is_no_regular_file_is_none(backend: LocalBackend) -> None:
    with_an_image(backend)
    os.mkdir(os.path.join(backend.where, "contents"))
    os.mkfifo(os.path.join(backend.where, "contents", LAYER.hex))

    assert table_of(backend) is None


def test_who_cannot_write_the_store_gets_no_draft(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)

    assert backend.contents.draft() is None
