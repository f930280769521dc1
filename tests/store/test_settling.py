"""Layers that are taken in by their digests alone, and what is found when they are read."""

from __future__ import annotations

import gzip
import io
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from casstore import (
    CasstoreError,
    Damaged,
    Locked,
    NotFound,
    Place,
    ProgressUpdate,
    Refused,
    StorageError,
    Store,
    UsageError,
)
from casstore.change import settling
from casstore.model.digest import sha256
from casstore.model.findings import BROKEN_LAYER, ERROR, MISMATCH, UNSETTLED
from casstore.model.keys import VERIFY
from tests.backends.local.behind import directory_of
from tests.transfer.building import (
    OCI_CONFIG,
    OCI_LAYER,
    Layout,
    config_of,
    docker_archive,
    layer,
)

ONE, TWO = layer("one"), layer("two")
FILES = 3  # bytes of the file in each of them


def packed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def layout(*layers: bytes, stored: tuple[bytes, ...] = (), name: str = "app:1") -> Layout:
    """An image of these layers in gzip; `stored` are the bytes that its manifest names instead."""
    made = Layout()
    config = made.blob(config_of(*layers), OCI_CONFIG)
    blobs = [made.blob(data, OCI_LAYER + "+gzip") for data in stored or tuple(map(packed, layers))]
    made.publish(made.manifest(config, blobs), name)
    return made


RIGHT = layout(ONE, TWO)
LIAR = layout(ONE, TWO, stored=(packed(ONE), packed(layer("other"))), name="liar:1")
CUT = layout(ONE, TWO, stored=(packed(ONE), packed(TWO)[:-9]), name="cut:1")
NO_GZIP = layout(ONE, TWO, stored=(packed(ONE), b"no gzip at all"), name="plain:1")
SIZES = [len(packed(ONE)), len(packed(TWO))]

OPENED: dict[str, Callable[[Path], Store]] = {
    "directory": lambda path: Store(path / "store"),
    "memory": lambda path: Store.in_memory(),
}


@pytest.fixture(params=OPENED)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with OPENED[request.param](tmp_path) as store:
        yield store


def load(store: Store, image: Layout, verify: str | None = "digest") -> None:
    store.load(image.tar(), verify=verify)


def codes(store: Store) -> list[str]:
    return [one.code for one in store.check().findings]


# Taking in


def test_an_image_whose_layers_nobody_has_read_counts_as_it_is_stored(store: Store) -> None:
    load(store, RIGHT)

    (image,) = store.images()
    assert (image.settled, image.size) == (False, sum(SIZES))
    assert not store.get("app:1").settled
    assert store.inspect("app:1")["Casstore"]["Settled"] is False
    assert store.df().file_bytes == sum(SIZES)


def test_by_default_everything_is_verified(store: Store) -> None:
    load(store, RIGHT, verify=None)

    (image,) = store.images()
    assert (image.settled, image.size) == (True, 2 * FILES)


@pytest.mark.parametrize("image", [LIAR, CUT, NO_GZIP], ids=["liar", "cut", "no gzip"])
def test_by_default_a_layer_that_lies_is_refused(store: Store, image: Layout) -> None:
    with pytest.raises(Refused):
        load(store, image, verify=None)


def test_a_blob_that_is_not_its_digest_is_refused_in_any_case(store: Store) -> None:
    wrong = layout(ONE)
    (name,) = [name for name, data in wrong.files.items() if data == packed(ONE)]
    wrong.files[name] = packed(ONE)[:-1] + b"X"

    with pytest.raises(Refused, match="other content"):
        load(store, wrong)
    assert not store.images()


def test_the_setting_of_the_store_says_what_is_verified(store: Store) -> None:
    load(store, layout(ONE), verify="all")
    store.settings.set(VERIFY, "digest")

    load(store, layout(TWO, name="two:1"), verify=None)
    load(store, layout(ONE, TWO, name="both:1"), verify="all")
    store.settings.unset(VERIFY)
    load(store, layout(layer("three"), name="three:1"), verify=None)

    assert all(image.settled for image in store.images())


def test_what_is_set_holds_where_nothing_else_is_said(store: Store) -> None:
    load(store, layout(ONE))
    store.settings.set(VERIFY, "digest")

    load(store, layout(TWO, name="two:1"), verify=None)

    assert not store.get("two:1").settled


@pytest.mark.parametrize("value", ["", "none", "Digest"])
def test_what_shall_be_verified_has_two_words(store: Store, value: str) -> None:
    with pytest.raises(UsageError, match="all or digest is needed"):
        load(store, RIGHT, verify=value)
    with pytest.raises(UsageError, match="all or digest is needed"):
        store.settings.set(VERIFY, value)


def test_an_image_that_is_to_be_verified_has_its_promised_layers_read(store: Store) -> None:
    load(store, RIGHT)

    load(store, layout(TWO, ONE, name="other:1"), verify="all")

    assert [image.settled for image in store.images()] == [True, True]
    assert {image.size for image in store.images()} == {2 * FILES}


def test_a_promise_that_differs_from_another_is_held_against_the_bytes(store: Store) -> None:
    other = layer("other")
    load(store, LIAR)

    load(store, layout(ONE, other, name="honest:1"))
    with pytest.raises(Refused, match="invalid diffID"):
        load(store, layout(TWO, stored=(packed(other),), name="again:1"))

    assert {image.names[0].familiar for image in store.images()} == {"liar:1", "honest:1"}


def test_a_promise_stands_for_no_layer_of_an_archive(store: Store) -> None:
    load(store, LIAR)

    store.load(io.BytesIO(docker_archive({"layers": [ONE, TWO], "tags": ["app:1"]})))

    out = io.BytesIO()
    store.save(["app:1"], out)
    again = Store.in_memory()
    again.load(io.BytesIO(out.getvalue()))
    with again.open_layer(sha256(TWO)) as tar:
        assert tar.read() == TWO


WAYS: dict[str, Callable[[Store, Path], object]] = {
    "an OCI layout": lambda store, path: store.load(path / "layout", verify="digest"),
    "links to an OCI layout": lambda store, path: store.load(
        path / "layout", verify="digest", link=True
    ),
    "an OCI archive": lambda store, path: store.load(path / "oci.tar", verify="digest"),
    "files of skopeo's": lambda store, path: store.load(path / "dir", verify="digest"),
    "a copy": lambda store, path: store.copy_in(
        Place("oci", str(path / "layout"), "app:1"), "app:1", verify="digest"
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_in_holds_layers_to_their_digests_where_that_is_asked_for(
    tmp_path: Path, way: str
) -> None:
    RIGHT.write(str(tmp_path / "layout"))
    with Store(tmp_path / "other") as other:
        load(other, RIGHT, "all")
        other.save(["app:1"], tmp_path / "oci.tar", format="oci")
        other.save(["app:1"], tmp_path / "dir", format="dir")
    with Store(tmp_path / "store") as store:
        WAYS[way](store, tmp_path)

        assert not store.images()[0].settled
        assert store.settle().settled == 2
        assert store.check().clean


def test_a_link_to_bytes_that_are_wrong_is_refused(tmp_path: Path) -> None:
    RIGHT.write(str(tmp_path / "layout"))
    path = tmp_path / "layout" / "blobs" / "sha256" / sha256(packed(ONE)).hex
    path.write_bytes(packed(ONE)[:-1] + b"X")

    with Store(tmp_path / "store") as store, pytest.raises(Refused, match="other content"):
        store.load(tmp_path / "layout", verify="digest", link=True)


def test_why_a_promised_layer_is_there_is_told_by_its_diff_id(store: Store) -> None:
    load(store, RIGHT)

    assert store.why(sha256(ONE)) == store.why(store.get("app:1").layers[0])


def test_layers_that_come_uncompressed_are_verified_whole(store: Store) -> None:
    archive = docker_archive({"layers": [ONE], "tags": ["app:1"]})

    store.load(io.BytesIO(archive), verify="digest")
    load(store, layout(TWO, stored=(TWO,), name="plain:1"))

    assert all(image.settled for image in store.images())


# Reading


READERS: dict[str, Callable[[Store], object]] = {
    "save": lambda store: store.save(["app:1"], io.BytesIO()),
    "fsck": lambda store: store.check(),
    "gc": lambda store: store.gc(),
    "settle": lambda store: store.settle(),
}


@pytest.mark.parametrize("reader", READERS)
def test_whoever_reads_layers_settles_them(store: Store, reader: str) -> None:
    load(store, RIGHT)

    READERS[reader](store)

    (image,) = store.images()
    assert (image.settled, image.size) == (True, 2 * FILES)
    assert store.check().findings == ()


@pytest.mark.parametrize("by", ["blob", "diff ID"])
def test_a_layer_that_is_opened_is_settled(store: Store, by: str) -> None:
    load(store, RIGHT)
    digest = store.get("app:1").layers[0] if by == "blob" else sha256(ONE)

    with store.open_layer(digest) as tar:
        assert tar.read() == ONE

    assert store.get("app:1").size == FILES + SIZES[1]


def test_what_is_saved_as_an_oci_layout_is_not_read(store: Store, tmp_path: Path) -> None:
    load(store, RIGHT)

    store.save(["app:1"], tmp_path / "out.tar", format="oci")

    assert not store.get("app:1").settled


def test_settling_says_how_many_are_right_and_how_many_are_left(store: Store) -> None:
    load(store, RIGHT)

    nothing = store.settle(seconds=0)
    everything = store.settle()

    assert (nothing.settled, nothing.left) == (0, 2)
    assert (everything.settled, everything.left) == (2, 0)


def test_a_gc_that_would_only_look_reads_nothing(store: Store) -> None:
    load(store, RIGHT)

    assert store.gc(dry_run=True).settled == 0
    assert not store.get("app:1").settled


def test_gc_with_a_policy_settles_too(store: Store) -> None:
    load(store, RIGHT)

    assert store.collect({"keep": 1}).garbage.settled == 2


def test_a_quick_check_reads_nothing_and_notes_it(store: Store) -> None:
    load(store, RIGHT)

    result = store.check(content=False)

    assert result.clean
    assert [one.code for one in result.findings] == [UNSETTLED] * 2


def test_the_bytes_that_are_read_are_counted(store: Store) -> None:
    load(store, RIGHT)
    updates: list[ProgressUpdate] = []
    store.progress = updates.append

    store.settle()

    assert (updates[-1].name, updates[-1].done) == (settling.SETTLING, sum(SIZES))


# What is wrong


WRONG = pytest.mark.parametrize(
    ("image", "code"),
    [(LIAR, MISMATCH), (CUT, BROKEN_LAYER), (NO_GZIP, MISMATCH)],
    ids=["liar", "cut", "no gzip"],
)


@WRONG
def test_a_layer_that_is_wrong_is_damage_of_its_image_by_name(
    store: Store, image: Layout, code: str
) -> None:
    load(store, image)
    (name,) = store.get(store.images()[0].id).names

    result = store.settle()

    assert result.settled == 1
    assert len(result.damaged) == 1
    assert result.damaged[0].endswith(f"needed by {name.familiar}")
    assert store.gc().damaged == ()  # it is told once, and by fsck each time


@WRONG
def test_fsck_finds_it_when_it_reads_it_and_whenever_it_looks_again(
    tmp_path: Path, image: Layout, code: str
) -> None:
    with Store(tmp_path / "store") as store:
        load(store, image)

        first, second, quick = store.check(), store.check(), store.check(content=False)

    assert [[one.code for one in found.findings] for found in (first, second, quick)] == [
        [code]
    ] * 3
    assert first.damaged
    names = ("needed by liar:1", "needed by cut:1", "needed by plain:1")
    assert all(found.findings[0].text.endswith(names) for found in (first, second, quick))


@WRONG
def test_no_archive_is_made_of_it(store: Store, image: Layout, code: str) -> None:
    load(store, image)
    name = store.images()[0].names[0]

    for _ in range(2):
        with pytest.raises(Damaged):
            store.save([name], io.BytesIO())


def test_an_image_in_two_forms_is_told_by_the_name_of_the_wrong_one(store: Store) -> None:
    load(store, RIGHT)
    load(store, LIAR)

    (line,) = store.settle().damaged

    assert line.endswith("needed by liar:1")
    assert store.images()[0].names == ("docker.io/library/app:1", "docker.io/library/liar:1")


def test_gc_tells_what_it_finds(store: Store) -> None:
    load(store, LIAR)

    (line,) = store.gc().damaged

    assert "invalid diffID" in line


def test_a_layer_that_is_another_tar_is_found_by_what_it_is(store: Store) -> None:
    load(store, LIAR)

    with pytest.raises(Damaged, match="invalid diffID"):
        store.open_layer(sha256(TWO))
    with pytest.raises(NotFound):
        store.open_layer(sha256(TWO))
    with store.open_layer(sha256(layer("other"))) as tar:
        assert tar.read() == layer("other")


def test_a_layer_that_does_not_decompress_cannot_be_opened(store: Store) -> None:
    load(store, CUT)
    blob = store.get("cut:1").layers[1]

    for _ in range(2):
        with pytest.raises(Damaged):
            store.open_layer(blob)


def test_an_image_with_a_wrong_layer_can_be_removed(store: Store) -> None:
    load(store, CUT)
    store.settle()

    store.remove(["cut:1"])

    assert not store.images()
    assert store.check().findings == ()


def test_what_is_known_to_be_broken_is_refused_from_then_on(store: Store) -> None:
    load(store, CUT)
    store.settle()
    store.tag("cut:1", "kept:1")

    with pytest.raises(Refused):
        load(store, layout(TWO, stored=(packed(TWO)[:-9],), name="more:1"))


def test_a_blob_that_has_been_damaged_since_says_nothing_of_its_layer(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        load(store, RIGHT)
        path = Path(directory_of(store).blobs.path(store.get("app:1").layers[0]))
        path.chmod(0o644)
        path.write_bytes(packed(ONE)[:-1] + b"X")

        result = store.settle()

        assert (result.settled, result.left, result.damaged) == (1, 1, ())
        assert "another digest" in result.warnings[0]
        assert "blob-corrupt" in codes(store)


def test_a_layer_past_the_limit_stays_until_the_limit_is_raised(store: Store) -> None:
    load(store, RIGHT)
    store.max_layer_size = len(ONE) - 1

    limited = store.settle()
    with pytest.raises(Refused, match="exceeds the limit"):
        store.save(["app:1"], io.BytesIO())
    clean = store.check().clean
    store.max_layer_size = len(ONE)

    assert (limited.settled, limited.left, len(limited.warnings)) == (0, 2, 2)
    assert clean  # a large layer is no damage
    assert store.settle().settled == 2


# Others at work


def test_a_layer_that_goes_while_it_is_read_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(tmp_path / "store") as store, Store(tmp_path / "store") as other:
        load(store, RIGHT)
        read, begun, gone = settling.read_layer, threading.Event(), threading.Event()

        def slowly(*args: object) -> object:
            found = read(*args)  # type: ignore[arg-type]  # as it was called
            begun.set()
            assert gone.wait(60)
            return found

        def remove() -> None:
            assert begun.wait(60)
            other.remove(["app:1"])
            gone.set()

        monkeypatch.setattr(settling, "read_layer", slowly)
        thread = threading.Thread(target=remove)
        thread.start()
        result = store.settle()
        thread.join()

        assert (result.left, result.damaged, result.warnings) == (0, (), ())
        assert store.check().findings == ()


def test_a_layer_that_is_gone_before_it_is_read_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(tmp_path / "store") as store, Store(tmp_path / "store") as other:
        load(store, RIGHT)
        read = settling.read_layer
        removed: list[object] = []

        def late(*args: object) -> object:
            if not removed:
                removed.append(other.remove(["app:1"]))
            return read(*args)  # type: ignore[arg-type]  # as it was called

        monkeypatch.setattr(settling, "cores", lambda: 1)
        monkeypatch.setattr(settling, "read_layer", late)
        result = store.settle()

    assert (result.settled, result.damaged, result.warnings) == (0, (), ())


def test_a_store_that_cannot_be_written_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(tmp_path / "store") as store:
        load(store, RIGHT)
        monkeypatch.setattr(type(store.session.backend), "is_writable", lambda _: False)
        out = io.BytesIO()

        store.save(["app:1"], out)

        assert out.getvalue()
        assert not store.get("app:1").settled
        assert codes(store) == [UNSETTLED] * 2


@pytest.mark.parametrize("error", [Locked("locked"), StorageError("full", full=True)])
def test_what_cannot_be_written_is_used_and_told_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: CasstoreError
) -> None:
    with Store(tmp_path / "store") as store:
        load(store, RIGHT)
        load(store, CUT)

        def fail(*_: object) -> None:
            raise error

        monkeypatch.setattr(store.session, "change_that_frees", fail)
        store.save(["app:1"], io.BytesIO())
        result = store.settle()

        assert (result.settled, result.left, len(result.damaged)) == (2, 3, 1)


def test_reading_ends_when_somebody_ends_it(store: Store) -> None:
    load(store, layout(layer("".join(map(str, range(400_000))))))

    def stop(update: ProgressUpdate) -> None:
        raise KeyboardInterrupt

    store.progress = stop
    with pytest.raises(KeyboardInterrupt):
        store.settle()
    store.progress = None

    assert store.settle().settled == 1


def test_nothing_is_settled_in_a_store_that_is_damaged_otherwise(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        load(store, RIGHT)
        Path(directory_of(store).blobs.path(store.get("app:1").layers[0])).unlink()

        assert set(codes(store)) == {"blob-missing", UNSETTLED}
        assert not store.get("app:1").settled


# Other ways


def test_a_rebuild_reads_every_layer(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        load(store, RIGHT)
        (Path(store.path) / "casstore.db").unlink()

        assert store.check(rebuild=True).clean
        assert store.get("app:1").settled


@WRONG
def test_after_a_rebuild_a_wrong_layer_is_not_taken_for_right(
    tmp_path: Path, image: Layout, code: str
) -> None:
    with Store(tmp_path / "store") as store:
        load(store, image)

        found = store.check(rebuild=True)

        assert [one.code for one in found.findings] == [code]
        assert len(store.images()) == 1


def test_a_copy_within_the_store_promises_the_same(store: Store) -> None:
    load(store, RIGHT)

    store.copy_in(Place("casstore", "app:1", ""), "copy:1")

    assert not store.get("copy:1").settled


def test_an_image_in_the_trash_comes_back_with_the_size_found_meanwhile(store: Store) -> None:
    load(store, RIGHT)
    store.remove(["app:1"], keep=3600.0)

    store.settle()
    store.trash.restore("app:1")

    assert (store.get("app:1").size, store.get("app:1").settled) == (2 * FILES, True)


def test_large_layers_are_settled_as_small_ones_are(store: Store) -> None:
    noise = layer("".join(map(str, range(400_000))))
    load(store, layout(noise))

    assert store.settle().settled == 1
    with store.open_layer(sha256(noise)) as tar:
        assert tar.read() == noise


def test_a_promise_in_the_index_that_no_image_makes_is_found(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        load(store, RIGHT)
        with closing(sqlite3.connect(tmp_path / "store" / "casstore.db")) as connection:
            connection.execute("UPDATE layer SET diff_id = zeroblob(32)")
            connection.commit()

        found = store.session.backend.checks.check([], content=True).findings

    assert [one.code for one in found if one.level == ERROR] == [MISMATCH]


def test_promises_are_no_damage_to_who_reads_no_layer(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        load(store, RIGHT)

        found = store.session.backend.checks.check([], content=True).findings

    assert {one.code for one in found} == {UNSETTLED}
