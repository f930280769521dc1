"""What is unpacked, and what is exported, of random images is what is seen by looking into them."""

from __future__ import annotations

import fcntl
import io
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from casstore import Refused, Store
from tests.look.casstoretree import loaded, of_store
from tests.look.peers import Tree, of_directory, of_tar
from tests.look.randomimages import Drawing, any_odd_image

SEEDS = range(25)
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root keeps owners and devices")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def on_disk(tree: Tree) -> Tree:
    """A tree as Linux has it: its symbolic links have no modes."""
    return {
        name: replace(seen, mode=0o777) if seen.kind == "symlink" else seen
        for name, seen in tree.items()
    }


@ROOT_ONLY
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("oddly", [False, True])
def test_what_is_unpacked_is_what_is_seen(
    store: Store, tmp_path: Path, seed: int, *, oddly: bool
) -> None:
    layers = any_odd_image(seed) if oddly else Drawing(seed).image()
    image = loaded(store, layers)
    try:
        seen = of_store(store, image)
    except Refused:
        with pytest.raises(Refused):
            store.unpack(image, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        return

    written = store.unpack(image, tmp_path / "out")

    assert of_directory(tmp_path / "out") == on_disk(seen)
    assert (written.devices, written.setids) == (0, 0)
    store.unpack(image, tmp_path / "out", force=True)  # over itself
    assert of_directory(tmp_path / "out") == on_disk(seen)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("oddly", [False, True])
def test_what_is_exported_is_what_is_seen(store: Store, seed: int, *, oddly: bool) -> None:
    layers = any_odd_image(seed) if oddly else Drawing(seed).image()
    image, out = loaded(store, layers), io.BytesIO()
    try:
        seen = of_store(store, image)
    except Refused:
        with pytest.raises(Refused):
            store.export(image, out)
        return

    store.export(image, out)

    assert of_tar(out.getvalue()) == seen


def test_a_pipe_that_an_export_goes_to_holds_more(store: Store) -> None:
    image = loaded(store, Drawing(0).image())
    reading, writing = os.pipe()
    with open(reading, "rb"), open(writing, "wb") as stream:
        before = fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ)
        store.export(image, stream)

        assert fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ) > before


@ROOT_ONLY
@pytest.mark.parametrize("seed", range(8))
def test_gnu_tar_makes_of_an_export_what_unpack_makes(
    store: Store, tmp_path: Path, seed: int
) -> None:
    image = loaded(store, Drawing(seed).image())
    (tmp_path / "theirs").mkdir()

    store.unpack(image, tmp_path / "ours")
    store.export(image, tmp_path / "e.tar")
    subprocess.run(
        ["tar", "--xattrs", "--xattrs-include=*", "-xpf", tmp_path / "e.tar",
         "-C", tmp_path / "theirs"],
        check=True, capture_output=True,
    )  # fmt: skip

    assert of_directory(tmp_path / "theirs") == of_directory(tmp_path / "ours")
