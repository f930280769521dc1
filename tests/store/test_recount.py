"""SIZE counts the targets of symbolic links: in stores, too, that an older casstore has written.

fixtures/stores/version-2.tar.gz was written by the casstore before format version 3, and has the
images of fixtures/templates, whose sizes a real docker gave.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from casstore import Store
from casstore.backends.local.blobs import BlobDirectory, StoreFile
from casstore.backends.local.care import recount
from casstore.backends.local.edits import LocalEdits
from casstore.cli.main import main
from casstore.errors import StorageError
from casstore.model.digest import Digest
from casstore.store.session import Session
from tests.store.olderstores import recorded

FIXTURES = Path(__file__).parents[2] / "fixtures"
# docker image inspect -f '{{.Size}}' on dockerd 20.10.24 with overlay2
SIZES = {
    "dw/rich:1": 1390,
    "dw/plain:1": 150,
    "dw/rep:1": 1540,
    "dw/empty:1": 5000,
    "dw/scratch:1": 0,
}
BEFORE = SIZES | {"dw/rich:1": 1334, "dw/plain:1": 100, "dw/rep:1": 1434}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return recorded(2, tmp_path)


@pytest.fixture
def nothing_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a store that is too large to be counted by the change that upgrades it."""
    monkeypatch.setattr(recount, "LAYERS_AT_ONCE", 0)


def sizes(store: Store) -> dict[str, int]:
    return {
        name.familiar: image.size
        for image in store.images()
        for name in image.names
        if name.familiar in SIZES
    }


def uncounted(path: Path) -> int:
    with closing(sqlite3.connect(path / "casstore.db")) as connection:
        count: int = connection.execute("SELECT count(*) FROM uncounted").fetchone()[0]
    return count


def test_sizes_are_dockers(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        store.load(FIXTURES / "templates" / "images.tar.gz")

        assert sizes(store) == SIZES
        assert store.inspect("dw/rich:1")["Size"] == 1390
        assert [row.size for row in store.history("dw/rich:1")] == [1240, 150]
        assert store.prune(all=True).reclaimed == 1390 + 5301


def test_looking_at_an_older_store_shows_what_it_knows_and_changes_nothing(old: Path) -> None:
    before = (old / "casstore.db").read_bytes()
    with Store(old) as store:
        assert sizes(store) == BEFORE
        assert store.check().clean

    assert (old / "casstore.db").read_bytes() == before


def test_an_older_store_that_cannot_be_written_is_read(old: Path) -> None:
    paths = [old, *old.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        with Store(old) as store:
            assert sizes(store) == BEFORE
    finally:
        for path in paths:
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_the_change_that_upgrades_counts_a_small_store_again(old: Path) -> None:
    with Store(old) as store:
        store.tag("dw/plain:1", "other:1")

        assert sizes(store) == SIZES
        assert store.check().clean
    assert uncounted(old) == 0


def test_a_change_is_made_although_it_could_not_count_again(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(index: LocalEdits, _: object) -> None:
        index.connection.execute("DELETE FROM uncounted")
        index.connection.execute("DELETE FROM nothing_of_that_name")

    monkeypatch.setattr(recount, "_write", fail)

    with Store(old) as store:
        store.tag("dw/plain:1", "new:1")

        assert store.get("new:1").id == store.get("dw/plain:1").id
    assert uncounted(old) > 0


@pytest.mark.usefixtures("nothing_at_once")
def test_a_large_store_is_counted_by_gc_and_not_by_a_small_command(old: Path) -> None:
    with Store(old) as store:
        store.tag("dw/plain:1", "other:1")
        assert sizes(store) == BEFORE
        assert uncounted(old) > 0

        result = store.gc()

        assert sizes(store) == SIZES
        assert any("measured again" in text for text in result.findings)
        assert store.gc().findings == ()
        assert store.check().clean


@pytest.mark.usefixtures("nothing_at_once")
def test_a_dry_run_of_gc_counts_nothing(old: Path) -> None:
    with Store(old) as store:
        store.gc(dry_run=True)

        assert sizes(store) == BEFORE


@pytest.mark.usefixtures("nothing_at_once")
@pytest.mark.parametrize("how", ["repair", "rebuild"])
def test_fsck_counts_again_when_it_mends(old: Path, how: str) -> None:
    with Store(old) as store:
        store.check(repair=how == "repair", rebuild=how == "rebuild")

        assert sizes(store) == SIZES
    assert uncounted(old) == 0


@pytest.mark.usefixtures("nothing_at_once")
def test_what_is_in_the_trash_is_counted_again_too(old: Path) -> None:
    with Store(old) as store:
        store.gc()
        assert main(["--store", str(old), "restore", "dw/hc:1"]) == 0
        assert store.inspect("dw/hc:1")["Size"] == 5301


@pytest.mark.usefixtures("nothing_at_once")
def test_a_layer_that_is_damaged_keeps_its_number_and_the_others_are_counted(old: Path) -> None:
    with Store(old) as store:
        store.tag("dw/plain:1", "other:1")
        (layer,) = store.get("dw/empty:1").layers
        blob = old / "blobs" / "sha256" / layer.hex
        blob.chmod(0o644)
        blob.write_bytes(b"damaged")

        store.gc()

        assert sizes(store) == SIZES
    assert uncounted(old) == 0


@pytest.mark.usefixtures("nothing_at_once")
def test_a_layer_that_cannot_be_read_just_now_is_left_for_the_next_gc(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(old) as store:
        store.tag("dw/plain:1", "other:1")
        whole = uncounted(old)
        with monkeypatch.context() as patch:
            patch.setattr(
                "casstore.backends.local.blobs.BlobDirectory.open",
                lambda *_: (_ for _ in ()).throw(StorageError("input/output error")),
            )
            store.gc()
        assert uncounted(old) == whole

        store.gc()
        assert sizes(store) == SIZES


def test_a_layer_that_goes_is_not_listed_any_more(old: Path) -> None:
    shutil.copytree(old, old.with_name("copy"))
    with Store(old) as store:
        store.prune(all=True)
    assert uncounted(old) == 0


def listed(old: Path) -> list[tuple[str, int]]:
    """Name and size of the layers that an upgrade lists, in their order."""
    with closing(sqlite3.connect(old / "casstore.db")) as connection:
        rows = connection.execute(
            "SELECT lower(hex(digest)), size FROM layer JOIN blob ON id = blob ORDER BY id"
        ).fetchall()
    return [(name, size) for name, size in rows]


@pytest.mark.parametrize("limit", ["LAYERS_AT_ONCE", "BYTES_AT_ONCE"])
@pytest.mark.parametrize("less", [0, 1])
def test_what_is_within_the_limits_is_counted_at_once(
    old: Path, monkeypatch: pytest.MonkeyPatch, limit: str, less: int
) -> None:
    layers = listed(old)
    most = len(layers) if limit == "LAYERS_AT_ONCE" else sum(size for _, size in layers)
    monkeypatch.setattr(recount, limit, most - less)

    with Store(old) as store:
        store.tag("dw/plain:1", "other:1")

        assert sizes(store) == (BEFORE if less else SIZES)
    assert uncounted(old) == (len(layers) if less else 0)


@pytest.mark.usefixtures("nothing_at_once")
@pytest.mark.parametrize("failing", [None, 0, 1, -1])
def test_gc_counts_all_in_as_many_turns_as_it_takes_but_what_the_disk_does_not_give(
    old: Path, monkeypatch: pytest.MonkeyPatch, failing: int | None
) -> None:
    monkeypatch.setattr(recount, "LAYERS_A_TURN", 2)
    layers = listed(old)
    bad = None if failing is None else layers[failing][0]
    real = os.open

    def broken(path: str, *rest: int, **more: int) -> int:
        if bad is not None and str(path).endswith(bad):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "open", broken)
    with Store(old) as store:
        findings = store.gc().findings

        left = 0 if bad is None else 1
        told = f"{len(layers) - left} layers measured again: sizes count symbolic links now"
        assert told in findings
    assert uncounted(old) == left


@pytest.mark.usefixtures("nothing_at_once")
def test_a_layer_that_goes_while_it_is_counted_is_no_matter(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = recount._count

    def and_meanwhile(*args: Any) -> list[recount.Counted]:
        counted = list(count(*args))
        with Store(old) as other:
            other.remove(["dw/rich:1"])
        return counted

    with Store(old) as store:
        store.tag("dw/plain:1", "other:1")
        monkeypatch.setattr(recount, "_count", and_meanwhile)
        store.gc()

        assert sizes(store) == {name: size for name, size in SIZES.items() if name != "dw/rich:1"}
        assert store.check().clean
    assert uncounted(old) == 0


def while_a_layer_is_read(
    patch: pytest.MonkeyPatch, number: int, does: Callable[[], object]
) -> None:
    """Do something, once, when so many layers have been opened."""
    opened, count = BlobDirectory.open, iter(range(1, 1000))

    def open_(blobs: BlobDirectory, digest: Digest) -> StoreFile:
        if next(count) == number:
            does()
        return opened(blobs, digest)

    patch.setattr(BlobDirectory, "open", open_)


@pytest.mark.usefixtures("nothing_at_once")
@pytest.mark.parametrize("unlinked", [True, False])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_what_goes_while_layers_are_counted_is_passed_over_and_the_others_are_counted(
    old: Path, number: int, monkeypatch: pytest.MonkeyPatch, *, unlinked: bool
) -> None:
    def remove() -> None:
        with Store(old) as other, monkeypatch.context() as patch:
            if not unlinked:  # its bytes are there a little longer
                patch.setattr(BlobDirectory, "discard_some", lambda *_: (0, []))
                patch.setattr(Session, "_unlink_more", lambda _: False)
            other.remove(["dw/rep:1", "dw/rich:1"], keep=0)

    with Store(old) as store:
        store.tag("dw/plain:1", "other:1")
        with monkeypatch.context() as patch:
            while_a_layer_is_read(patch, number, remove)
            store.gc()

        gone = {"dw/rep:1", "dw/rich:1"}
        assert sizes(store) == {name: SIZES[name] for name in SIZES.keys() - gone}
        assert store.check().clean
    assert uncounted(old) == 0
