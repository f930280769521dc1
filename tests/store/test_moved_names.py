"""A name leaves a manifest while another name comes to it, in one change: the end counts."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from casstore.backends.local.edits import LocalEdits
from casstore.errors import NotFound
from casstore.model.digest import Digest, sha256
from casstore.store import Store
from casstore.transfer.place import parse_place
from tests.backends.local.behind import directory_of
from tests.transfer.building import OCI_MANIFEST, Layout, config_of, docker_archive, layer

OLD, NEW = layer("old"), layer("new")
OLD_CONFIG, NEW_CONFIG = config_of(OLD), config_of(NEW)
OLD_ID, NEW_ID = sha256(OLD_CONFIG), sha256(NEW_CONFIG)
DAY = 86400.0


def entry(content: bytes, *tags: str) -> dict[str, Any]:
    return {"layers": [content], "config": config_of(content), "tags": list(tags) or None}


def archive(*entries: dict[str, Any]) -> io.BytesIO:
    return io.BytesIO(docker_archive(*entries))


class Forms(Layout):
    """A layout of both images, with gzip layers: another manifest than an archive's."""

    def __init__(self) -> None:
        super().__init__()
        self.old = self.image("old", config=OLD_CONFIG)
        self.new = self.image("new", config=NEW_CONFIG)

    def add(self, store: Store, digest: Digest) -> dict[str, Any]:
        """Add a manifest of a store with all below it; returns its descriptor."""
        data = store.session.backend.blobs.read(digest)
        document = json.loads(data)
        for child in (document["config"], *document["layers"]):
            self.blob(
                store.session.backend.blobs.read(Digest(child["digest"])),
                child["mediaType"],
            )
        return self.blob(data, OCI_MANIFEST)


GZIP = Digest(Forms().old["digest"])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The old image as a:1, with zstd layers, and as b:1, with gzip layers."""
    with Store(str(tmp_path / "store")) as store:
        store.load(archive(entry(OLD, "a:1")))
        load(store, old="b:1")
        yield store


def load(store: Store, **names: str) -> None:
    """Load the gzip forms under these names."""
    layout = Forms()
    for image, name in names.items():
        layout.publish(getattr(layout, image), name)
    store.load(layout.tar())


def zstd_of(store: Store) -> Digest:
    """The manifest of the old image with zstd layers."""
    (own,) = {one.digest for one in store.session.view().tops_of(OLD_ID)} - {GZIP}
    return own


def manifests(store: Store) -> dict[str, Digest]:
    """The manifest of each name."""
    view = store.session.view()
    named = {name.familiar: view.top_named(name) for name in view.all_names()}
    return {name: top.digest for name, top in named.items() if top is not None}


def images(store: Store) -> dict[str, Digest]:
    return {name.familiar: image.id for image in store.images(all=True) for name in image.names}


def blobs(store: Store) -> set[str]:
    return set(os.listdir(directory_of(store).blobs.directory))


def assert_whole(store: Store, tmp_path: Path) -> None:
    """The store is clean, nothing unneeded is in it, and each name can be saved."""
    assert store.check().findings == ()
    gone = store.gc()
    assert (gone.removed_blobs, gone.removed_files) == (0, 0)
    for number, name in enumerate(images(store)):
        store.save([name], str(tmp_path / f"saved-{number}.tar"), format="oci")


def test_a_manifest_that_loses_one_name_and_gets_another_in_the_same_load_stays(
    store: Store, tmp_path: Path
) -> None:
    zstd = zstd_of(store)

    store.load(archive(entry(NEW, "a:1"), entry(OLD, "c:1")))

    assert images(store) == {"a:1": NEW_ID, "b:1": OLD_ID, "c:1": OLD_ID}
    assert manifests(store)["c:1"] == zstd
    assert_whole(store, tmp_path)


def test_a_manifest_that_an_index_keeps_is_held_by_the_image_that_its_new_name_names(
    store: Store, tmp_path: Path
) -> None:
    first = Forms()
    zstd = first.add(store, zstd_of(store))
    first.publish(first.index(zstd), "i:1")
    store.load(first.tar())
    second = Forms()
    second.publish(second.new, "a:1")
    second.publish(second.add(store, Digest(zstd["digest"])), "c:1")

    store.load(second.tar())

    assert_whole(store, tmp_path)
    store.remove(["i:1"])
    assert images(store) == {"a:1": NEW_ID, "b:1": OLD_ID, "c:1": OLD_ID}
    assert_whole(store, tmp_path)


def test_the_order_of_the_names_in_a_load_makes_no_difference(store: Store, tmp_path: Path) -> None:
    with Store(str(tmp_path / "other")) as other:
        other.load(archive(entry(OLD, "a:1")))
        load(other, old="b:1")

        store.load(archive(entry(NEW, "a:1"), entry(OLD, "b:1")))
        other.load(archive(entry(OLD, "b:1"), entry(NEW, "a:1")))

        assert manifests(store) == manifests(other)
        assert blobs(store) == blobs(other)
        assert_whole(store, tmp_path)
        assert_whole(other, tmp_path)


def test_a_manifest_that_loses_all_its_names_in_one_load_goes(store: Store, tmp_path: Path) -> None:
    store.tag("a:1", "a:2")
    zstd = zstd_of(store)

    store.load(archive(entry(NEW, "a:1", "a:2")))

    assert zstd.hex not in blobs(store)
    assert images(store) == {"a:1": NEW_ID, "a:2": NEW_ID, "b:1": OLD_ID}
    assert_whole(store, tmp_path)


def test_two_manifests_of_an_image_can_exchange_their_names_in_one_load(
    store: Store, tmp_path: Path
) -> None:
    layout = Forms()
    zstd = layout.add(store, zstd_of(store))
    layout.publish(layout.old, "a:1")
    layout.publish(zstd, "b:1")

    store.load(layout.tar())

    assert manifests(store) == {"a:1": GZIP, "b:1": zstd["digest"]}
    assert_whole(store, tmp_path)


def test_an_image_that_has_no_name_in_between_keeps_only_the_manifest_that_is_named_then(
    tmp_path: Path,
) -> None:
    with Store(str(tmp_path / "store")) as store:
        store.load(archive(entry(OLD, "a:1")))
        zstd = zstd_of(store)

        load(store, new="a:1", old="c:1")

        assert manifests(store)["c:1"] == GZIP
        assert zstd.hex not in blobs(store)
        assert_whole(store, tmp_path)


def test_a_manifest_that_comes_without_a_name_stays_though_its_name_moves_away(
    store: Store, tmp_path: Path
) -> None:
    zstd = zstd_of(store)

    store.load(archive(entry(OLD), entry(NEW, "a:1")))

    assert {top.digest for top in store.session.view().tops_of(OLD_ID)} == {zstd, GZIP}
    assert_whole(store, tmp_path)


def test_the_layers_that_a_load_relied_on_stay_when_their_manifest_goes(
    store: Store, tmp_path: Path
) -> None:
    config = config_of(OLD, NEW)
    both = {"layers": [OLD, NEW], "config": config, "tags": ["d:1"]}

    store.load(archive(entry(NEW, "a:1"), entry(NEW, "b:1"), both))

    assert images(store)["d:1"] == sha256(config)
    assert_whole(store, tmp_path)


def test_a_name_that_another_tool_moved_leaves_the_manifest_that_it_named_elsewhere(
    store: Store, tmp_path: Path
) -> None:
    path = Path(directory_of(store).layout.path)
    zstd = zstd_of(store)
    layout = Forms()
    for name, data in layout.files.items():
        if name.startswith("blobs/") and not (Path(store.path) / name).exists():
            (Path(store.path) / name).write_bytes(data)
    index = json.loads(path.read_text())
    (old,) = (one for one in index["manifests"] if one["digest"] == zstd)
    moved = {**layout.new, "annotations": old["annotations"]}
    named = "org.opencontainers.image.ref.name"
    index["manifests"] = [
        moved,
        {**old, "annotations": {named: "c:1"}},
        *(one for one in index["manifests"] if one is not old),
    ]
    path.write_text(json.dumps(index, indent=1))

    store.tag("b:1", "d:1")  # any change takes in first what is in index.json

    assert manifests(store) == {"a:1": layout.new["digest"], "b:1": GZIP, "c:1": zstd, "d:1": GZIP}
    assert_whole(store, tmp_path)


def test_a_name_copied_onto_another_leaves_the_manifest_that_nothing_else_names(
    store: Store, tmp_path: Path
) -> None:
    zstd = zstd_of(store)

    store.copy_in(parse_place("casstore:b:1"), "a:1")

    assert manifests(store) == {"a:1": GZIP, "b:1": GZIP}
    assert zstd.hex not in blobs(store)
    assert_whole(store, tmp_path)


def test_a_restored_name_brings_its_manifest_while_the_image_lives_on_under_another(
    store: Store, tmp_path: Path
) -> None:
    zstd = zstd_of(store)
    store.remove(["a:1"], keep=DAY)
    assert [top.digest for top in store.session.view().tops_of(OLD_ID)] == [GZIP]

    store.trash.restore("a:1")

    assert manifests(store) == {"a:1": zstd, "b:1": GZIP}
    assert_whole(store, tmp_path)


@pytest.mark.parametrize("lost", [False, True])
def test_a_rebuild_leaves_to_the_trash_what_only_the_trash_keeps(
    store: Store, tmp_path: Path, *, lost: bool
) -> None:
    store.remove(["a:1"], keep=DAY)

    if lost:
        (Path(store.path) / "casstore.db").unlink()
        store.close()
        store.tag("b:1", "b:2")
    else:
        store.check(rebuild=True)

    assert [top.digest for top in store.session.view().tops_of(OLD_ID)] == [GZIP]
    if not lost:
        store.trash.empty()
        assert_whole(store, tmp_path)


def test_a_name_that_goes_and_comes_back_in_one_load_is_the_newest_also_after_a_rebuild(
    tmp_path: Path,
) -> None:
    with Store(str(tmp_path / "store")) as store:
        store.load(archive(entry(OLD, "a:1", "a:2")))
        store.load(archive(entry(NEW, "a:1"), entry(OLD, "a:1")))
        before = store.get(OLD_ID).names
        assert [name.familiar for name in before] == ["a:2", "a:1"]

        store.check(rebuild=True)

        assert store.get(OLD_ID).names == before


def test_prune_counts_the_manifest_of_an_image_that_lives_on_under_another(
    store: Store, tmp_path: Path
) -> None:
    store.leases.add("held", "a:1")
    size = sum(entry.stat().st_size for entry in os.scandir(directory_of(store).blobs.directory))

    result = store.prune(all=True)

    left = sum(entry.stat().st_size for entry in os.scandir(directory_of(store).blobs.directory))
    assert set(images(store)) == {"b:1"}
    assert result.freed == size - left
    assert_whole(store, tmp_path)


def test_repair_keeps_a_name_whose_image_an_earlier_release_let_lose_its_manifest(
    store: Store, tmp_path: Path
) -> None:
    layout = Forms()
    zstd = layout.add(store, zstd_of(store))
    layout.publish(layout.index(zstd), "i:1")
    store.load(layout.tar())
    with store.session.change() as change:
        assert isinstance(change.index, LocalEdits)
        change.index._touch(OLD_ID)
        change.index._do("drop_holding", OLD_ID.raw, Digest(zstd["digest"]).raw)
        change.commit()
    assert [one.code for one in store.check().findings] == ["ref-dangling"]

    result = store.check(repair=True)

    assert result.repaired == ("a:1 is held by its image again",)
    assert images(store) == {"a:1": OLD_ID, "b:1": OLD_ID, "i:1": images(store)["i:1"]}
    store.remove(["i:1"])
    assert_whole(store, tmp_path)


def key() -> bytes:
    own = ec.generate_private_key(ec.SECP256R1())
    return own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize("kind", ["tag", "referrer"])
def test_what_refers_to_a_manifest_goes_with_it_when_its_name_moves_as_with_rmi(
    store: Store, tmp_path: Path, kind: str
) -> None:
    store.sign(["a:1"], key(), kind=kind)

    store.load(archive(entry(NEW, "a:1")))

    assert images(store) == {"a:1": NEW_ID, "b:1": OLD_ID}
    assert len(store.images(all=True)) == 2
    assert_whole(store, tmp_path)


def test_what_refers_to_a_manifest_stays_where_the_manifest_gets_another_name(
    store: Store, tmp_path: Path
) -> None:
    store.sign(["a:1"], key())

    store.load(archive(entry(NEW, "a:1"), entry(OLD, "c:1")))

    assert f"a:sha256-{zstd_of(store).hex}.sig" in images(store)
    assert_whole(store, tmp_path)


def test_an_artifact_of_signatures_can_be_signed_in_the_change_in_which_it_grows(
    store: Store, tmp_path: Path
) -> None:
    store.sign(["a:1"], key())
    signatures = f"a:sha256-{zstd_of(store).hex}.sig"

    signed = store.sign(["a:1", signatures], key())

    assert signed[1].digest == manifests(store)[signatures]
    assert_whole(store, tmp_path)


def test_a_name_is_never_given_to_a_manifest_that_its_image_does_not_hold(store: Store) -> None:
    with pytest.raises(NotFound, match="has no manifest"), store.session.change() as change:
        change.index.attach(next(iter(change.index.all_names())), OLD_ID, NEW_ID, tagged=0)

    assert set(images(store)) == {"a:1", "b:1"}


def calls(action: Callable[[], object]) -> int:
    """Python's and SQLite's steps that something takes, as far as they can be counted."""
    count = 0

    def counted(frame: object, event: str, arg: object) -> None:
        nonlocal count
        count += 1

    sys.setprofile(counted)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


def test_removing_many_names_of_one_image_costs_what_the_names_cost(tmp_path: Path) -> None:
    costs = []
    for number in (200, 400):
        with Store(str(tmp_path / f"{number}")) as store:
            store.load(archive(entry(OLD, *(f"a:{tag}" for tag in range(number)))))
            costs.append(calls(partial(store.remove, ["a:*"], glob=True)))
            assert store.images(all=True) == []

    assert costs[1] < 2.2 * costs[0]


def test_moving_many_names_of_one_image_costs_what_the_names_cost(tmp_path: Path) -> None:
    costs = []
    for number in (200, 400):
        tags = [f"a:{tag}" for tag in range(number)]
        with Store(str(tmp_path / f"{number}")) as store:
            store.load(archive(entry(OLD, *tags, "b:1")))
            costs.append(calls(partial(store.load, archive(entry(NEW, *tags)))))

    assert costs[1] < 2.2 * costs[0]
