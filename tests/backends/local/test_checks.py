"""What fsck asks of one blob and of one image, each asked by itself."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from casstore.backends.local.care.checks import (
    blob_problem,
    image_problems,
    is_right,
    shape_problem,
)
from casstore.backends.local.care.indexedtree import IndexedTree
from casstore.model.digest import Digest, sha256
from casstore.model.state import BlobState
from casstore.store import Store
from tests.backends.local.behind import directory_of, view_of
from tests.transfer.building import Layout, docker_archive, layer

Problems = list[tuple[str, str, str]]
ARTIFACT_LEAF = b"an artifact's only blob"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store") as store:
        yield store


@pytest.fixture
def image(store: Store) -> Digest:
    """The ID of an image with two layers, in a store with another one that shares the first."""
    store.load(
        io.BytesIO(
            docker_archive(
                {"layers": [layer("base"), layer("top")], "tags": ["a:1"]},
                {"layers": [layer("base"), layer("else")], "tags": ["b:1"]},
            )
        )
    )
    return store.get("a:1").id


def of_kind(store: Store, image: Digest, kind: str) -> list[Digest]:
    """The blobs below an image, a parent before its children."""
    view = view_of(store)
    found, ahead = [], [top.digest for top in view.tops_of(image)]
    for digest in ahead:
        state = view.blob_state(digest)
        assert state is not None
        if state.kind == kind and digest not in found:
            found.append(digest)
        ahead += [need.digest for need in view.needs_of(digest)]
    return found


def edit(store: Store, sql: str, *values: object) -> None:
    """Change the index behind casstore's back."""
    view_of(store).connection.execute(sql, values)


def problems(store: Store, image: Digest, *bad: Digest) -> Problems:
    view = view_of(store)
    (top,) = view.tops_of(image)
    reader = IndexedTree(directory_of(store).blobs, view)
    return image_problems(view, reader, image, top, frozenset(bad))


def overwrite(store: Store, digest: Digest, data: bytes) -> None:
    path = Path(directory_of(store).blobs.path(digest))
    path.chmod(0o644)
    path.write_bytes(data)


# One blob


@pytest.fixture
def blob(store: Store, image: Digest) -> BlobState:
    state = view_of(store).blob_state(image)
    assert state is not None
    return state


def test_a_blob_that_is_as_it_should_be_has_no_problem(store: Store, blob: BlobState) -> None:
    blobs = directory_of(store).blobs

    assert blob_problem(blobs, blob, content=True) is None
    assert blob_problem(blobs, blob, content=False) is None
    assert is_right(blobs, blob)


def test_a_blob_of_another_size_is_told_with_both(store: Store, blob: BlobState) -> None:
    overwrite(store, blob.digest, b"short")
    blobs = directory_of(store).blobs

    told = ("blob-size", f"5 bytes, not {blob.size}")
    assert shape_problem(blobs, blob) == told
    assert blob_problem(blobs, blob, content=True) == told
    assert not is_right(blobs, blob)


def test_wrong_bytes_are_found_by_who_reads_them(store: Store, blob: BlobState) -> None:
    overwrite(store, blob.digest, b"\0" * blob.size)
    blobs = directory_of(store).blobs

    assert blob_problem(blobs, blob, content=False) is None
    problem = blob_problem(blobs, blob, content=True)
    assert problem == ("blob-corrupt", "its content has another digest")
    assert not is_right(blobs, blob)


def test_the_right_bytes_under_a_wrong_size_are_not_right(store: Store, blob: BlobState) -> None:
    for size in (blob.size - 1, blob.size + 1):
        assert not is_right(directory_of(store).blobs, blob._replace(size=size))


def test_a_missing_blob_is_no_matter_of_its_content(store: Store, blob: BlobState) -> None:
    os.unlink(directory_of(store).blobs.path(blob.digest))
    blobs = directory_of(store).blobs

    assert blob_problem(blobs, blob, content=True) == ("blob-missing", "the file is missing")
    assert not is_right(blobs, blob)


def test_a_file_that_the_system_says_nothing_of_is_unreadable(
    store: Store, blob: BlobState, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> os.stat_result:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "lstat", fail)

    problem = shape_problem(directory_of(store).blobs, blob)
    assert problem == ("blob-unreadable", "cannot be read: input/output error")


# One image


def test_an_image_that_is_what_the_index_says_has_no_problem(store: Store, image: Digest) -> None:
    assert problems(store, image) == []


def test_a_damaged_document_is_told_of_its_manifest_unless_it_is_told_of_itself(
    store: Store, image: Digest
) -> None:
    (manifest,) = of_kind(store, image, "manifest")
    overwrite(store, image, b"{}")

    ((code, thing, text),) = problems(store, image)

    assert (code, thing) == ("manifest-bad", manifest)
    assert str(image) in text
    for known in (image, manifest, *of_kind(store, image, "layer")):
        assert problems(store, image, known) == []
    assert problems(store, image, store.get("b:1").id) == [(code, thing, text)]


def test_a_layer_whose_diff_id_is_another_than_the_config_says_is_told_as_such(
    store: Store, image: Digest
) -> None:
    (manifest,) = of_kind(store, image, "manifest")
    top = of_kind(store, image, "layer")[-1]
    edit(
        store,
        "UPDATE layer SET diff_id = ? WHERE blob = (SELECT id FROM blob WHERE digest = ?)",
        sha256(b"another").raw, top.raw,
    )  # fmt: skip

    ((code, thing, _),) = problems(store, image)

    assert (code, thing) == ("diffid-mismatch", manifest)


def test_a_layer_that_the_index_does_not_know_as_one_is_told(store: Store, image: Digest) -> None:
    edit(store, "DELETE FROM layer")

    ((code, _, text),) = problems(store, image)

    assert (code, text.endswith("is not known as a layer")) == ("manifest-bad", True)


def test_a_manifest_of_another_image_than_the_index_says_is_told(
    store: Store, image: Digest
) -> None:
    other = sha256(b"another config")
    edit(store, "UPDATE image SET digest = ? WHERE digest = ?", other.raw, image.raw)

    assert problems(store, other) == [("config-bad", other, f"the manifest means {image}")]


def without_edges(store: Store, *documents: Digest) -> None:
    for document in documents:
        edit(
            store,
            "DELETE FROM edge WHERE parent = (SELECT id FROM blob WHERE digest = ?)",
            document.raw,
        )


def loaded(store: Store, layout: Layout, top: dict[str, Any]) -> Digest:
    layout.publish(top, "index:1")
    store.load(layout.tar())
    return store.get("index:1").id


def test_every_document_that_the_index_has_other_needs_of_is_told(store: Store) -> None:
    layout = Layout()
    image = loaded(store, layout, layout.index(layout.image("one"), layout.image("two")))
    manifests = of_kind(store, image, "manifest")
    edit(store, "DELETE FROM edge WHERE position = 1")  # of each, the second need

    found = problems(store, image)

    assert [code for code, _, _ in found] == ["edge-missing"] * 3
    assert {thing for _, thing, _ in found} == {image, *manifests}


def test_the_needs_of_an_index_that_has_damaged_platforms_are_not_held_against_it(
    store: Store,
) -> None:
    layout = Layout()
    first, second = layout.image("one"), layout.image("two")
    image = loaded(store, layout, layout.index(first, second))
    gone = Digest(first["digest"])
    os.unlink(directory_of(store).blobs.path(gone))

    assert problems(store, image, gone) == []
    assert [code for code, _, _ in problems(store, image)] == ["edge-missing"]


def test_a_blob_of_an_artifact_has_the_size_that_its_manifest_says(store: Store) -> None:
    layout = Layout()
    leaf = layout.blob(ARTIFACT_LEAF, "application/vnd.example.thing")
    empty = layout.blob(b"{}", "application/vnd.oci.empty.v1+json")
    image = loaded(store, layout, layout.manifest(empty, [leaf]))
    assert problems(store, image) == []
    edit(store, "UPDATE blob SET size = size + 1 WHERE digest = ?", sha256(ARTIFACT_LEAF).raw)

    ((code, thing, text),) = problems(store, image)

    assert (code, thing) == ("manifest-bad", image)
    assert text == f"blob {sha256(ARTIFACT_LEAF)} is not in the index with its size"
