"""What the report says of a store is what a removal does to it, whatever is in it."""

from __future__ import annotations

import io
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from casstore import Store
from casstore.queries.inventory import take_inventory
from tests.transfer.building import docker_archive, layer

LAYERS = [layer(f"{number}" * 50 * (number + 1)) for number in range(6)]

# An image: layers of its own on top of those of an earlier one, and whether it has a name.
IMAGE = st.tuples(
    st.integers(-1, 5), st.lists(st.integers(0, 5), max_size=3), st.booleans(), st.booleans()
)


def stored(store: Store) -> int:
    folder = Path(store.path, "blobs", "sha256")
    return sum(entry.stat().st_size for entry in os.scandir(folder))


def archive(images: list[tuple[int, list[int], bool, bool]]) -> bytes:
    """A docker archive of them; some have recorded parents."""
    from casstore.model.digest import sha256
    from tests.transfer.building import config_of

    entries: list[dict[str, Any]] = []
    for number, (below, own, named, linked) in enumerate(images):
        base = entries[below] if 0 <= below < number else None
        layers = [*(base["layers"] if base else []), *(LAYERS[each] for each in own)]
        entry: dict[str, Any] = {
            "layers": layers,
            "config": config_of(*layers, author=f"{number}"),
            "tags": [f"image/{number}:1"] if named else [],
        }
        if base and linked:
            entry["parent"] = sha256(base["config"])
        entries.append(entry)
    return docker_archive(*entries)


@settings(max_examples=12, deadline=None)
@given(st.lists(IMAGE, min_size=1, max_size=6))
def test_the_page_foretells_what_each_removal_frees(
    images: list[tuple[int, list[int], bool, bool]],
) -> None:
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder, "store")) as store:
        store.load(io.BytesIO(archive(images)))
        inventory = take_inventory(store.session.backend, store.session.view(), 0)
        assert sum(blob.size for blob in inventory.blobs) == stored(store)
        held = {blob for image in inventory.images for blob in image.blobs}
        assert held == set(range(len(inventory.blobs)))

        for number, image in enumerate(inventory.images):
            store.clone(str(Path(folder, f"copy{number}")))
            with Store(Path(folder, f"copy{number}")) as copy:
                before = stored(copy)
                done = copy.remove([image.id], force=True)
                assert (done.exit_code == 0) == (image.refusal == "")
                assert before - stored(copy) == image.frees


@settings(max_examples=12, deadline=None)
@given(st.lists(IMAGE, min_size=1, max_size=6))
def test_a_tree_shows_each_image_once_and_each_row_adds_to_what_is_above(
    images: list[tuple[int, list[int], bool, bool]],
) -> None:
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder, "store")) as store:
        store.load(io.BytesIO(archive(images)))
        rows = store.tree()
        every = sorted(image.id for image in store.images(all=True))

        assert sorted(row.image for row in rows if row.image) == every
        above: list[int] = []
        for row in rows:
            del above[row.depth :]
            assert row.depth == len(above)
            assert row.size == row.own + (above[-1] if above else 0)
            above.append(row.size)


def test_the_last_use_of_an_image_is_in_the_inventory(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        store.load(io.BytesIO(archive([(-1, [0], True, False), (-1, [1], True, False)])))
        moment = time.time_ns()
        store.use("image/0:1")
        used = {
            image.names[0].familiar: image.used
            for image in take_inventory(
                store.session.backend, store.session.view(), time.time_ns()
            ).images
        }

    assert (used["image/0:1"] or 0) >= moment
    assert (used["image/1:1"] or 0) < moment
