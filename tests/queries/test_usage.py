"""What an image takes: the figures are dockerd's, and the bytes are those that a removal frees."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from casstore import Store

# `docker system df -v` of dockerd 20.10.24 with overlay2 (vfs counts no symbolic links) after
# loading the archives of conftest.py, in bytes:
# image ID -> SHARED SIZE, UNIQUE SIZE
DOCKERS_ROWS = {
    "9b2e777a498d": (2653, 600),
    "baacdd8ab5d0": (2653, 0),
    "3554026484fa": (4000, 0),
    "f87cbc23fd5b": (2400, 1200),
    "f5c61ab6627e": (2400, 1200),
    "e806958b65a7": (4000, 2000),
    "25fcddd86182": (4000, 2000),
    "d9d03ae5085a": (4000, 0),
}
DOCKERS_TOTAL, DOCKERS_SIZE = 8, 16_053


def stored(store: Store) -> int:
    folder = Path(store.path, "blobs", "sha256")
    return sum(os.stat(folder / name).st_size for name in os.listdir(folder))


def test_images_shared_and_unique_sizes_are_dockers(store: Store) -> None:
    rows = store.df().rows

    assert {row.id.short: (row.file_shared, row.file_unique) for row in rows} == DOCKERS_ROWS


def test_the_number_of_images_and_their_uncompressed_size_are_dockers(store: Store) -> None:
    usage = store.df()

    assert (usage.images - usage.intermediate, usage.file_bytes) == (DOCKERS_TOTAL, DOCKERS_SIZE)


@pytest.mark.parametrize("image", DOCKERS_ROWS)
def test_the_unique_bytes_of_an_image_are_what_its_removal_frees(store: Store, image: str) -> None:
    row = next(row for row in store.df().rows if row.id.short == image)
    before = stored(store)

    done = store.remove([image], force=True)

    if done.exit_code == 0:
        assert row.unique == before - stored(store)
    else:  # it has children; not even -f takes it
        kept = store.why(image)
        assert kept is not None
        assert kept.keepers[-1].kind == "child"


def test_shared_and_unique_are_all_that_an_image_takes(store: Store) -> None:
    rows = store.df().rows

    assert rows
    assert all(row.shared + row.unique == row.stored for row in rows)
    assert all(row.file_shared + row.file_unique == row.size for row in rows)


def test_what_a_lease_holds_and_what_it_is_built_on_is_not_reclaimable(store: Store) -> None:
    store.leases.add("l", "shop/empty:1")
    usage = store.df()

    freed = store.prune(all=True).freed

    assert (usage.active, usage.reclaimable) == (1, freed)
    assert usage.stored - freed == stored(store) > 0


def test_a_lease_that_has_expired_makes_no_image_active(store: Store) -> None:
    store.leases.add("l", "shop/empty:1", ttl_seconds=-1.0)

    usage = store.df()

    assert (usage.active, usage.reclaimable) == (0, usage.stored)
    assert not any(row.leases for row in usage.rows)


def test_an_artifact_without_a_name_is_counted_with_its_subject(with_sbom: Store) -> None:
    (row,) = with_sbom.df().rows

    assert row.stored == row.unique == with_sbom.df().stored
    assert with_sbom.remove(["app:1"]).freed == row.unique


FIXTURES = Path(__file__).parents[2] / "fixtures"


def test_a_layer_that_stands_twice_in_an_image_counts_twice_as_in_its_size(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        store.load(FIXTURES / "templates" / "images.tar.gz")
        store.remove(["dw/rich:1", "dw/plain:1", "dw/plain:2", "dw/none:1"])

        (row,) = (r for r in store.df().rows if [n.familiar for n in r.names] == ["dw/rep:1"])
        assert (row.size, row.file_shared, row.file_unique) == (1540, 0, 1540)


def test_an_image_in_two_forms_is_counted_in_one(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        store.load(FIXTURES / "images" / "skopeo" / "one-id-two-manifests")

        (row,) = store.df().rows
        assert len(store.get(row.id.hex).manifests) == 2
        assert row.file_shared == 0
        assert row.file_unique == row.size > 0
