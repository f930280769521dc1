"""fsck --repair-from puts back the bytes that were wanted, and no others."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from casstore.errors import NotFound
from casstore.store import Store
from tests.backends.local.behind import directory_of
from tests.transfer.building import Layout, docker_archive, layer, skopeo_dir, write_files

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
