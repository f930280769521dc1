"""The files of images as tars: what is in them, that they are the same each time, and failures."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from casstore import Damaged, StorageError
from tests.files.describing import seen
from tests.store.filesout import IMAGE, entry, hard_link, layer_of, store_of, symlink, usual
from tests.store.test_unpacking import USUAL


def members(tar: Path | bytes) -> list[tuple[str, bytes, str]]:
    """Name, type and target of each member, in order."""
    data = tar if isinstance(tar, bytes) else tar.read_bytes()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return [(one.name, one.type, one.linkname) for one in archive]


def test_the_tar_has_what_the_layers_make_together_sorted(tmp_path: Path) -> None:
    with usual(tmp_path) as store:
        store.export(IMAGE, tmp_path / "e.tar")

    assert members(tmp_path / "e.tar") == [
        ("bin", b"2", "usr/bin"),
        ("etc", b"5", ""),
        ("etc/motd", b"0", ""),
        ("etc/mtab", b"2", "/proc/mounts"),
        ("etc/passwd", b"0", ""),
        ("etc/tool", b"0", ""),
        ("usr", b"5", ""),
        ("usr/bin", b"5", ""),
        ("usr/bin/same", b"1", "etc/tool"),
        ("usr/bin/tool", b"1", "etc/tool"),
    ]


def test_a_stream_gets_the_same_bytes_as_a_file(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with usual(tmp_path) as store:
        store.export(IMAGE, stream)
        store.export(IMAGE, tmp_path / "e.tar")

    assert stream.getvalue() == (tmp_path / "e.tar").read_bytes()


def test_the_same_files_in_other_layers_give_the_same_bytes(tmp_path: Path) -> None:
    files = [
        entry("a/"),
        *(entry(f"a/{name}", name.encode() * 5000) for name in "zyxabc"),
        entry("b", b"b"),
        symlink("c", "b"),
        hard_link("d", "b"),
    ]
    one, other = io.BytesIO(), io.BytesIO()
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()

    store_of(tmp_path / "one", layer_of(*files)).export(IMAGE, one)
    store_of(
        tmp_path / "other",
        layer_of(files[0], files[5], entry("b", b"old")),
        layer_of(*files[:3]),
        layer_of(files[4], files[3], *reversed(files[5:7]), *files[7:]),
    ).export(IMAGE, other)

    assert one.getvalue() == other.getvalue()


def test_gnu_tar_makes_of_it_what_unpack_makes(tmp_path: Path) -> None:
    with usual(tmp_path) as store:
        store.export(IMAGE, tmp_path / "e.tar")
        store.unpack(IMAGE, tmp_path / "ours")
    (tmp_path / "theirs").mkdir()

    subprocess.run(["tar", "xpf", tmp_path / "e.tar", "-C", tmp_path / "theirs"], check=True)

    assert seen(tmp_path / "theirs") == seen(tmp_path / "ours") == USUAL
    for name in USUAL:
        ours, theirs = ((tmp_path / top / name).lstat() for top in ("ours", "theirs"))
        assert ours.st_mtime_ns == theirs.st_mtime_ns


def test_what_is_exported_can_be_imported_again(tmp_path: Path) -> None:
    again, first = io.BytesIO(), io.BytesIO()
    with usual(tmp_path) as store:
        store.export(IMAGE, first)
        store.import_image(io.BytesIO(first.getvalue()), "again:1")
        store.export("again:1", again)

    assert again.getvalue() == first.getvalue()


def test_a_damaged_layer_leaves_no_file_and_an_end_to_no_stream(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with usual(tmp_path) as store:
        with store.files(IMAGE) as files:
            top = files.layers[-1]
        blob = Path(store.path, "blobs/sha256", top.removeprefix("sha256:"))
        blob.chmod(0o644)
        blob.write_bytes(blob.read_bytes()[:-9] + b"notitsend")

        with pytest.raises(Damaged):
            store.export(IMAGE, tmp_path / "e.tar")
        with pytest.raises(Damaged):
            store.export(IMAGE, stream)

    assert os.listdir(tmp_path) == ["a store"]
    assert not stream.getvalue().endswith(bytes(1024))


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with usual(tmp_path) as store, pytest.raises(StorageError, match="cannot write to") as caught:
        store.export(IMAGE, tmp_path / "no/e.tar")
    assert "\n" not in str(caught.value)


def test_a_full_device_is_one_line(tmp_path: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    with usual(tmp_path) as store, pytest.raises(StorageError, match="no space left") as caught:
        store.export(IMAGE, "/dev/full")
    assert caught.value.full
