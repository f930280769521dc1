"""Tables of contents in a store: what fsck, gc and removals make of them."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from casstore.model.digest import Digest, sha256
from casstore.store import Store
from casstore.transfer.contentstable import ContentsTable
from casstore.transfer.layercontents import scan_layer
from casstore.transfer.openlayer import open_framed
from tests.architecture.sources import ROOT
from tests.transfer.building import docker_archive, layer

LAYERS = [layer("one"), layer("two")]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with two images of one layer each, and a table of each layer."""
    with Store(str(tmp_path / "store")) as store:
        images = [{"layers": [one], "tags": [f"{at}:1"]} for at, one in enumerate(LAYERS)]
        store.load(io.BytesIO(docker_archive(*images)))
        for digest in layers_of(store):
            look_into(store, digest)
        assert len(tables_of(store)) == 2
        yield store


def layers_of(store: Store) -> list[Digest]:
    blobs = store.session.view().all_blobs()
    return sorted(blob.digest for blob in blobs if blob.kind == "layer")


def look_into(store: Store, digest: Digest) -> None:
    """Make the table of a layer, as a reader does that finds none."""
    backend = store.session.backend
    draft, record = backend.contents.draft(), store.session.view().layer(digest)
    assert draft is not None
    assert record is not None
    with open_framed(backend.blobs.open(digest), record) as content:
        scan_layer(content.pieces(), digest, draft, io.BytesIO)
    backend.contents.keep(draft, digest)


def tables_of(store: Store) -> list[str]:
    return sorted(os.listdir(Path(store.path, "contents")))


def table_of(store: Store, digest: Digest) -> Path:
    return Path(store.path, "contents", digest.hex)


def damage(store: Store, digest: Digest, at: int) -> None:
    path = table_of(store, digest)
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def found(store: Store, *, content: bool = True) -> list[tuple[str, str, str]]:
    result = store.check(content=content)
    assert result.clean
    return [(one.level, one.code, one.object) for one in result.findings]


def test_a_table_says_what_its_layer_has(store: Store) -> None:
    digest = layers_of(store)[0]

    file = store.session.backend.contents.open(digest)

    assert file is not None
    with ContentsTable(file, digest) as contents:
        assert len(list(contents.entries())) == 1


def test_a_check_has_nothing_to_say_of_good_tables(store: Store) -> None:
    assert found(store) == []


@pytest.mark.parametrize("at", [0, 30, -1])
def test_a_damaged_table_is_noted_and_is_no_damage(store: Store, at: int) -> None:
    digest = layers_of(store)[0]
    damage(store, digest, at)

    assert found(store) == [("note", "table-bad", digest)]


def test_a_quick_check_reads_no_more_of_a_table_than_its_ends(store: Store) -> None:
    digest = layers_of(store)[0]
    damage(store, digest, 30)

    assert found(store, content=False) == []


def test_a_table_without_its_layer_is_noted(store: Store) -> None:
    nobodys = sha256(b"nobody's")
    table_of(store, nobodys).write_bytes(b"")

    assert found(store) == [("note", "table-orphan", nobodys)]


def test_what_is_no_table_is_noted(store: Store) -> None:
    Path(store.path, "contents", "notes.txt").touch()
    digest = layers_of(store)[0]
    table_of(store, digest).unlink()
    table_of(store, digest).mkdir()

    assert found(store) == [
        ("note", "table-bad", digest),
        ("note", "table-name-bad", "contents/notes.txt"),
    ]


def test_a_link_in_the_place_of_the_directory_is_an_error(store: Store, tmp_path: Path) -> None:
    os.rename(Path(store.path, "contents"), tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", Path(store.path, "contents"))

    (one,) = store.check().findings

    assert (one.level, one.code, one.object) == ("error", "part-link", "contents")


def test_a_repair_removes_tables_that_are_damaged_or_nobody_s(store: Store) -> None:
    digest, good = layers_of(store)
    damage(store, digest, 30)
    nobodys = sha256(b"nobody's")
    table_of(store, nobodys).touch()
    Path(store.path, "contents", "notes.txt").touch()

    repaired = store.check(repair=True).repaired

    assert sorted(repaired) == [
        f"the table of contents of layer {one} removed" for one in sorted([digest, nobodys])
    ]
    assert tables_of(store) == sorted([good.hex, "notes.txt"])


def test_gc_removes_the_tables_of_layers_that_are_gone(store: Store) -> None:
    nobodys = sha256(b"nobody's")
    table_of(store, nobodys).write_bytes(b"12345")

    told = store.gc(dry_run=True)
    assert (told.removed_files, told.freed) == (1, 5)
    assert table_of(store, nobodys).exists()

    done = store.gc()
    assert (done.removed_files, done.freed) == (1, 5)
    assert tables_of(store) == [digest.hex for digest in layers_of(store)]


def test_gc_leaves_what_is_no_table(store: Store) -> None:
    Path(store.path, "contents", "notes.txt").touch()

    assert store.gc().removed_files == 0
    assert "notes.txt" in tables_of(store)


def test_a_table_goes_when_its_image_does(store: Store) -> None:
    store.remove(["0:1"])

    assert tables_of(store) == [digest.hex for digest in layers_of(store)]
    assert len(tables_of(store)) == 1


def test_a_table_stays_when_a_name_goes(store: Store) -> None:
    store.tag("0:1", "other:1")
    store.remove(["0:1"])

    assert len(tables_of(store)) == 2


def test_a_clone_has_no_tables_and_needs_none(store: Store, tmp_path: Path) -> None:
    store.clone(tmp_path / "clone")

    with Store(tmp_path / "clone") as clone:
        assert found(clone) == []
        assert not Path(clone.path, "contents").exists()


KILLED = """
import os, sys
from casstore.backends.local.backend import LocalBackend
draft = LocalBackend(sys.argv[1]).contents.draft()
draft.write(b"half of it")
draft.flush()
os._exit(9)
"""


def test_what_a_process_that_is_killed_leaves_of_a_table_goes_with_the_next_change(
    store: Store,
) -> None:
    subprocess.run([sys.executable, "-c", KILLED, store.path], cwd=ROOT, check=False)
    ingest = Path(store.path, "ingest")
    assert len(list(ingest.iterdir())) == 1
    assert [code for _, code, _ in found(store)] == ["temp-left"]

    store.tag("0:1", "other:1")

    assert list(ingest.iterdir()) == []
    assert len(tables_of(store)) == 2
