"""fsck --repair-from puts back the bytes that were wanted, and no others."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from casstore.errors import NotFound
from casstore.files import durable
from casstore.model.digest import Digest
from casstore.store import Store
from tests.backends.local.behind import directory_of
from tests.transfer.building import (
    OCI_CONFIG,
    OCI_LAYER,
    Layout,
    config_of,
    docker_archive,
    layer,
    skopeo_dir,
    tar_of,
    write_files,
)
from tests.transfer.test_hybrid import Hybrid

LAYERS = [layer("a"), layer(" ".join(str(n * n) for n in range(20_000)))]
ARCHIVE = docker_archive({"layers": LAYERS, "tags": ["a:1"]})


def oci() -> Layout:
    layout = Layout()
    layout.publish(layout.image("one", "two"), "a:1")
    return layout


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store")) as store:
        yield store


@pytest.fixture
def archive(tmp_path: Path) -> str:
    path = tmp_path / "a.tar"
    path.write_bytes(ARCHIVE)
    return str(path)


def missing(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.chmod(0o644)
    os.truncate(path, path.stat().st_size - 1)


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.chmod(0o644)
    path.write_bytes(data)


def a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "file").touch()


def a_symbolic_link(path: Path) -> None:
    other = path.parent.parent.parent.parent / "elsewhere"
    other.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(other)


DAMAGES = [missing, cut, flipped, a_fifo, a_directory, a_symbolic_link]


def blobs(store: Store) -> list[Path]:
    return sorted(Path(directory_of(store).blobs.directory).iterdir())


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_store_is_whole_again_from_the_archive_it_was_loaded_from(
    store: Store, archive: str, damage: Callable[[Path], None]
) -> None:
    store.load(archive)
    before = {path.name: path.read_bytes() for path in blobs(store)}
    for path in blobs(store):
        damage(path)
    bad = store.check()
    assert {f.object[7:] for f in bad.findings if f.level == "error"} == set(before)
    assert all("a:1" in f.text for f in bad.findings if f.code.startswith("blob-"))
    result = store.check(repair_from=[archive])

    assert [f for f in result.findings if f.level != "note"] == []
    assert len(result.repaired) == len(before)
    assert {path.name: path.read_bytes() for path in blobs(store)} == before
    assert {path.stat().st_mode & 0o777 for path in blobs(store)} == {0o444}


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_layers_that_a_load_packed_otherwise_are_packed_so_again(
    store: Store, archive: str, compression: str
) -> None:
    store.load(archive, compression=compression)
    for path in blobs(store):
        path.unlink()

    assert store.check(repair_from=[archive]).findings == ()


@pytest.mark.parametrize("form", ["directory", "archive", "store"])
def test_blobs_are_taken_from_a_layout_by_their_digest(
    store: Store, tmp_path: Path, form: str
) -> None:
    source = oci().write(str(tmp_path / "layout"))
    store.load(source)
    if form == "archive":
        (tmp_path / "oci.tar").write_bytes(oci().tar().getvalue())
        source = str(tmp_path / "oci.tar")
    elif form == "store":
        with Store(str(tmp_path / "other")) as other:
            other.load(source)
            source = other.path
    for path in blobs(store):
        flipped(path)

    assert store.check(repair_from=[source]).findings == ()


def test_blobs_are_taken_from_a_directory_of_files(store: Store, tmp_path: Path) -> None:
    layout = Layout()
    source = write_files(str(tmp_path / "files"), skopeo_dir(layout, layout.image("one", "two")))
    store.load(source)
    assert len(blobs(store)) == 4
    for path in blobs(store):
        flipped(path)

    assert store.check(repair_from=[source]).findings == ()


def test_each_of_several_sources_gives_what_it_has(store: Store, tmp_path: Path) -> None:
    whole = oci().write(str(tmp_path / "layout"))
    store.load(whole)
    names = [path.name for path in blobs(store)]
    halves = []
    for number, kept in enumerate((names[::2], names[1::2])):
        half = Path(oci().write(str(tmp_path / f"half{number}")))
        for path in (half / "blobs" / "sha256").iterdir():
            if path.name not in kept:
                path.unlink()
        halves.append(str(half))
    for path in blobs(store):
        path.unlink()

    assert store.check(repair_from=halves[:1]).findings != ()
    assert store.check(repair_from=halves).findings == ()


def test_wrong_bytes_in_a_source_are_not_taken(store: Store, tmp_path: Path) -> None:
    source = Path(oci().write(str(tmp_path / "layout")))
    store.load(str(source))
    victim = blobs(store)[0]
    victim.unlink()
    flipped(source / "blobs" / "sha256" / victim.name)
    result = store.check(repair_from=[str(source)])

    assert result.repaired == ()
    assert not victim.exists()


def test_a_layer_that_is_there_in_another_form_only_is_told(
    store: Store, tmp_path: Path, archive: str
) -> None:
    store.load(archive, compression="zstd:19")
    victim = max(blobs(store), key=lambda path: path.stat().st_size)
    flipped(victim)
    result = store.check(repair_from=[archive])

    assert [f.object for f in result.findings] == ["sha256:" + victim.name]
    assert "compressed otherwise" in store.notices[0]
    store.check(repair=True)
    store.load(archive)
    store.gc()
    assert store.check().findings == ()


def test_of_an_archive_with_both_lists_what_either_lists_is_put_back(
    store: Store, tmp_path: Path
) -> None:
    hybrid = Hybrid(packed=False)
    hybrid.add("one", ["a:1"], None, listed=False)
    hybrid.add("two", ["b:1"], "b:1")
    archive = tmp_path / "both.tar"
    archive.write_bytes(hybrid.tar().getvalue())
    store.load(archive)
    for blob in blobs(store):
        missing(blob)

    assert store.check(repair_from=[str(archive)]).clean
    assert store.check().clean


def test_layers_in_another_form_only_are_told_by_digest(store: Store, tmp_path: Path) -> None:
    layers = [layer(f"layer {number}") for number in range(6)]
    archive = tmp_path / "a.tar"
    archive.write_bytes(docker_archive({"layers": layers, "tags": ["a:1"]}))
    store.load(archive, compression="zstd:19")
    held = [one.digest for one in store.session.view().all_layers()]
    for digest in held:
        flipped(tmp_path / "store" / "blobs" / "sha256" / digest.hex)

    store.check(repair_from=[str(archive)])

    told = [line.partition(" ")[0] for line in store.notices if "compressed otherwise" in line]
    assert told == sorted(held)


def test_a_source_that_is_no_archive_is_told_and_the_others_are_used(
    store: Store, tmp_path: Path, archive: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.load(archive)
    blobs(store)[0].unlink()
    (tmp_path / "junk").write_bytes(b"junk" * 999)
    monkeypatch.chdir(tmp_path)  # a long path would be cut in the message
    result = store.check(repair_from=["junk", archive])

    assert result.findings == ()
    assert "junk" in store.notices[0]


def test_a_source_that_is_not_there_is_an_error(store: Store, archive: str) -> None:
    store.load(archive)

    with pytest.raises(NotFound):
        store.check(repair_from=["/nosuch"])


def test_a_lost_database_and_lost_blobs_are_mended_together(store: Store, archive: str) -> None:
    store.load(archive)
    before = store.images()
    store.close()
    Path(directory_of(store).database).unlink()
    for path in blobs(store):
        path.unlink()
    result = store.check(repair_from=[archive])

    assert result.findings == ()
    assert store.images() == before


def test_nothing_is_left_behind(store: Store, archive: str) -> None:
    store.load(archive)
    blobs(store)[0].unlink()
    store.check(repair_from=[archive])

    assert os.listdir(directory_of(store).ingest) == []


def test_a_whole_store_needs_nothing(store: Store, archive: str) -> None:
    store.load(io.BytesIO(ARCHIVE))

    assert store.check(repair_from=[archive]).repaired == ()


def test_each_blob_is_told_with_its_source_and_who_needs_it_by_digest(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a long path would be cut in the message
    source = oci().write("layout")
    store.load(source)
    for path in blobs(store):
        flipped(path)

    repaired = store.check(repair_from=[source]).repaired

    assert list(repaired) == [
        f'sha256:{path.name} put back from "{source}"; needed by a:1' for path in blobs(store)
    ]
    assert not Path(store.path, "quarantine").exists()


def test_what_is_put_back_is_on_the_disk_before_it_has_its_name(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = oci().write(str(tmp_path / "layout"))
    store.load(source)
    names = {path.name for path in blobs(store)}
    for path in blobs(store):
        path.unlink()
    unflushed: set[str] = set()
    flushed: set[int] = set()
    fsync, rename = os.fsync, os.rename

    def note(descriptor: int) -> None:
        flushed.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def renamed(before: str, after: str) -> None:
        if os.stat(before).st_ino not in flushed:
            unflushed.add(os.path.basename(after))
        rename(before, after)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(os, "rename", renamed)
    store.check(repair_from=[source])

    assert names == {path.name for path in blobs(store)}
    assert not unflushed & names


def kept_aside(store: Store, *layouts: Layout) -> str:
    """List the images of layouts, none of whose blobs are here, as one that was not taken in."""
    entries = [entry for layout in layouts for entry in layout.entries]
    path = Path(store.path, "index.json.foreign-0")
    path.write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    return path.name


def test_an_image_that_was_kept_aside_is_taken_in_once_its_blobs_are_there(
    store: Store, tmp_path: Path, archive: str
) -> None:
    store.load(archive)
    layout = Layout()
    layout.publish(layout.index(layout.index(layout.image("one", "two"))), "kept:1")
    source = layout.write(str(tmp_path / "layout"))
    name = kept_aside(store, layout)

    result = store.check(repair_from=[source, archive])

    assert result.findings == ()
    assert [line for line in result.repaired if "put back" not in line] == [
        f"kept:1 taken into the store from {name}",
        f"{name} removed: all that it lists is in the store",
    ]
    back = [line for line in result.repaired if "put back" in line]
    assert len(back) == len(layout.files) - 1  # all but oci-layout
    assert all(line.endswith("; needed by what was kept aside") for line in back)
    assert {name.familiar for image in store.images() for name in image.names} == {"a:1", "kept:1"}


@pytest.mark.parametrize("damage", [cut, flipped])
def test_what_is_damaged_of_an_image_that_was_kept_aside_is_replaced(
    store: Store, tmp_path: Path, archive: str, damage: Callable[[Path], None]
) -> None:
    store.load(archive)
    layout = oci()
    source = layout.write(str(tmp_path / "layout"))
    (top,) = layout.entries
    bad = Path(directory_of(store).blobs.path(Digest(top["digest"])))
    bad.write_bytes(layout.of(top))
    damage(bad)
    kept_aside(store, layout)

    result = store.check(repair_from=[source])

    assert result.findings == ()
    assert bad.read_bytes() == layout.of(top)


def test_what_goes_while_a_source_is_read_is_not_put_back_and_hides_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layouts = {name: Layout() for name in ("gone:1", "here:1")}
    everything = Layout()
    for name, layout in layouts.items():
        layout.publish(layout.image(*[f"{name} {n}" for n in range(4)]), name)
        everything.files |= layout.files
        everything.entries += layout.entries
    source = everything.write(str(tmp_path / "layout"))
    store.load(source)
    for path in blobs(store):
        path.unlink()
    sync_files = durable.sync_files

    def meanwhile(paths: Iterable[str]) -> None:
        monkeypatch.undo()
        with Store(store.path) as other:
            other.remove(["gone:1"])
        sync_files(paths)

    monkeypatch.setattr(durable, "sync_files", meanwhile)
    result = store.check(repair_from=[source])

    assert [finding.code for finding in result.findings] == []
    assert all(line.endswith("; needed by here:1") for line in result.repaired)
    assert len(result.repaired) == len(layouts["here:1"].files) - 1


def test_a_source_without_some_blobs_gives_all_others(store: Store, tmp_path: Path) -> None:
    source = Path(oci().write(str(tmp_path / "layout")))
    store.load(str(source))
    first, *others = (path.name for path in blobs(store))
    for path in blobs(store):
        path.unlink()
    (source / "blobs" / "sha256" / first).unlink()

    store.check(repair_from=[str(source)])

    assert [path.name for path in blobs(store)] == others


def test_a_source_that_was_not_needed_at_first_is_asked_for_what_shows_later(
    store: Store, tmp_path: Path, archive: str
) -> None:
    store.load(archive)
    layout = Layout()
    layout.publish(layout.index(layout.image("one", "two")), "kept:1")
    (top,) = layout.entries
    rest = Path(layout.write(str(tmp_path / "rest")))
    (rest / "blobs" / "sha256" / top["digest"][7:]).unlink()
    alone = Layout()
    alone.files |= {name: data for name, data in layout.files.items() if top["digest"][7:] in name}
    alone.entries = layout.entries
    kept_aside(store, layout)

    result = store.check(repair_from=[alone.write(str(tmp_path / "alone")), str(rest)])

    assert result.findings == ()


def test_a_large_layer_of_what_was_kept_aside_is_no_document(
    store: Store, tmp_path: Path, archive: str
) -> None:
    store.load(archive)
    layout = Layout()
    large = tar_of({"file": os.urandom(5 << 20)})
    config = layout.blob(config_of(large), OCI_CONFIG)
    layout.publish(layout.manifest(config, [layout.blob(large, OCI_LAYER)]), "kept:1")
    source = layout.write(str(tmp_path / "layout"))
    for name, data in layout.files.items():
        if name.startswith("blobs/") and data is not layout.of(config):
            Path(store.path, name).write_bytes(data)
    kept_aside(store, layout)

    assert store.check(repair_from=[source]).findings == ()
