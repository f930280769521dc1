"""Files of images in directories: what is there, what is said, and that nothing else is touched."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from casstore import Damaged, NotFound, Refused, StorageError, UsageError
from tests.files.describing import seen
from tests.store.filesout import (
    IMAGE,
    MTIME,
    entry,
    hard_link,
    layer_of,
    store_of,
    symlink,
    usual,
)

USUAL = {
    "bin": "link -> usr/bin",
    "etc": "directory 755",
    "etc/motd": "file 644",
    "etc/mtab": "link -> /proc/mounts",
    "etc/passwd": "file 644",
    "etc/tool": "file 755",
    "usr": "directory 711",
    "usr/bin": "directory 755",
    "usr/bin/same": "file 755",
    "usr/bin/tool": "file 755",
}
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


def test_an_image_is_unpacked_as_its_layers_make_it(tmp_path: Path) -> None:
    with usual(tmp_path) as store:
        written = store.unpack(IMAGE, tmp_path / "out")

    out = tmp_path / "out"
    assert seen(out) == USUAL
    assert (written.entries, written.devices, written.xattrs, written.setids) == (10, 0, 0, 0)
    assert (out / "usr/bin/tool").read_bytes() == b"#!tool" * 1000
    assert (out / "etc/motd").read_text() == "hello\n"
    assert (out / "usr").stat().st_mtime == (out / "etc/motd").stat().st_mtime == MTIME
    names = ("etc/tool", "usr/bin/same", "usr/bin/tool")
    assert len({(out / name).stat().st_ino for name in names}) == 1


def test_a_layer_can_be_unpacked_by_itself(tmp_path: Path) -> None:
    with usual(tmp_path) as store:
        with store.files(IMAGE) as files:
            bottom = files.layers[0]
        store.unpack(bottom, tmp_path / "out")

    assert "etc/gone" in seen(tmp_path / "out")


def test_a_directory_that_has_files_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_bytes(b"mine")

    with usual(tmp_path) as store, pytest.raises(Refused, match="is not empty; --force writes"):
        store.unpack(IMAGE, tmp_path / "out")

    assert seen(tmp_path / "out") == {"mine": "file 644"}


def test_by_force_it_is_written_over_what_is_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "etc").mkdir(parents=True)
    (out / "etc/passwd").write_bytes(b"mine")
    (out / "mine").write_bytes(b"mine")

    with usual(tmp_path) as store:
        store.unpack(IMAGE, out, force=True)
        assert seen(out) == {**USUAL, "mine": "file 644"}
        store.unpack(IMAGE, out, force=True)

    assert seen(out) == {**USUAL, "mine": "file 644"}
    assert (out / "etc/passwd").read_bytes() == b"root:x:0:0\n"


def test_a_damaged_layer_leaves_no_directory(tmp_path: Path) -> None:
    with usual(tmp_path) as store:
        with store.files(IMAGE) as files:
            list(files.walk())  # the tables are kept
            bottom = files.layers[0]
        blob = Path(store.path, "blobs/sha256", bottom.removeprefix("sha256:"))
        blob.chmod(0o644)
        blob.write_bytes(blob.read_bytes()[:-9] + b"notitsend")

        with pytest.raises(Damaged):
            store.unpack(IMAGE, tmp_path / "out")

    assert os.listdir(tmp_path) == ["a store"]


@ROOT_ONLY
def test_root_keeps_owners_devices_and_setid_bits(tmp_path: Path) -> None:
    store = store_of(tmp_path, odd_layer())

    written = store.unpack(IMAGE, tmp_path / "out")

    su = (tmp_path / "out/su").stat()
    assert (su.st_uid, su.st_gid, stat.S_IMODE(su.st_mode)) == (5, 6, 0o4755)
    assert (tmp_path / "out/null").stat().st_rdev == os.makedev(1, 3)
    assert (written.devices, written.setids) == (0, 0)


def odd_layer() -> bytes:
    return layer_of(
        entry("su", mode=0o4755, owner=(5, 6)),
        entry("null", kind=tarfile.CHRTYPE, device=(1, 3)),
        entry("pipe", kind=tarfile.FIFOTYPE),
    )


def test_rootless_is_as_an_ordinary_user_with_a_note_of_owners(tmp_path: Path) -> None:
    store = store_of(tmp_path, odd_layer())

    written = store.unpack(IMAGE, tmp_path / "out", rootless=True)

    assert seen(tmp_path / "out") == {"su": "file 755", "pipe": "special 644"}
    assert (written.devices, written.setids) == (1, 1)
    assert (tmp_path / "out/su").stat().st_uid == os.geteuid()
    if not written.xattrs:
        assert os.getxattr(tmp_path / "out/su", "user.rootlesscontainers") == b"\x08\5\x10\6"


def test_setid_bits_stay_where_that_is_wanted(tmp_path: Path) -> None:
    store = store_of(tmp_path, odd_layer())

    store.unpack(IMAGE, tmp_path / "out", rootless=True, keep_setid=True)

    assert seen(tmp_path / "out")["su"] == "file 4755"


# Hostile images


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "outside"
    path.mkdir()
    (path / "kept").write_bytes(b"kept")
    before = path.stat().st_mtime_ns, path.stat().st_mode
    yield path
    assert (path.stat().st_mtime_ns, path.stat().st_mode) == before
    assert seen(path) == {"kept": "file 644"}
    assert (path / "kept").read_bytes() == b"kept"
    assert (path / "kept").stat().st_nlink == 1


def hostile(outside: Path) -> dict[str, list[bytes]]:
    """Images that try to write elsewhere, as lists of layers."""
    there = str(outside)
    up = "../" * 40 + there.lstrip("/")
    return {
        "up": [layer_of(entry(f"{up}/evil", b"evil"))],
        "up from a directory": [layer_of(entry("a/"), entry(f"a/{up}/evil", b"evil"))],
        "absolute": [layer_of(entry(f"{there}/evil", b"evil"))],
        "link, then through it": [layer_of(symlink("a", there), entry("a/evil", b"evil"))],
        "link of a lower layer": [layer_of(symlink("a", there)), layer_of(entry("a/evil", b"x"))],
        "link up": [layer_of(symlink("a", up), entry("a/evil", b"evil"))],
        "link to a link": [
            layer_of(symlink("a", "b"), symlink("b", there), entry("a/evil", b"evil"))
        ],
        "link over a directory": [
            layer_of(entry("a/"), entry("a/f")), layer_of(symlink("a", there)),
            layer_of(entry("a/evil", b"evil")),
        ],
        "file over a link": [layer_of(symlink("a", f"{there}/kept"), entry("a", b"evil"))],
        "file over a lower link": [
            layer_of(symlink("a", f"{there}/kept")), layer_of(entry("a", b"evil"))
        ],
        "directory over a link": [
            layer_of(symlink("a", there)), layer_of(entry("a/", mode=0o777), entry("a/evil"))
        ],
        "hard link out": [layer_of(hard_link("a", f"{there}/kept"), entry("a", b"evil"))],
        "hard link up": [layer_of(hard_link("a", f"{up}/kept"))],
        "hard link through a link": [layer_of(symlink("l", there), hard_link("a", "l/kept"))],
        "links in a circle": [
            layer_of(symlink("a", "b"), symlink("b", "a"), entry("a/evil", b"evil"))
        ],
        "link to itself": [layer_of(symlink("a", "a"), entry("a/evil", b"evil"))],
        "opaque marker through a link": [
            layer_of(symlink("a", there)), layer_of(entry("a/.wh..wh..opq"))
        ],
        "whiteout through a link": [layer_of(symlink("a", there)), layer_of(entry("a/.wh.kept"))],
        "whiteout of what is above": [layer_of(entry(".wh...")), layer_of(entry(".wh.."))],
    }  # fmt: skip


@pytest.mark.parametrize("name", hostile(Path("/outside")))
@pytest.mark.parametrize("how", ["new", "force", "copy"])
def test_a_hostile_image_writes_nothing_outside(
    tmp_path: Path, outside: Path, name: str, how: str
) -> None:
    out = tmp_path / "out"
    if how == "force":
        out.mkdir()
        (out / "a").symlink_to(outside)
        (out / "outside").symlink_to(outside)
    try:
        with store_of(tmp_path, *hostile(outside)[name]) as store:
            if how == "copy":
                store.copy_files(IMAGE, "/.", out)
            else:
                store.unpack(IMAGE, out, force=how == "force")
    except (Refused, StorageError) as error:
        assert "\n" not in str(error)  # noqa: PT017 - some are refused, some are made harmless
    assert set(os.listdir(tmp_path)) <= {"a store", "out", "outside"}


def test_a_link_that_is_there_is_not_followed_by_force(tmp_path: Path, outside: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "etc").symlink_to(outside)
    (out / "usr").symlink_to("etc")

    with usual(tmp_path) as store:
        store.unpack(IMAGE, out, force=True)

    assert seen(out) == USUAL


def test_a_path_of_4096_bytes_is_written(tmp_path: Path) -> None:
    names = ["/".join(["d" * 31] * depth) + "/" for depth in range(1, 128)]
    deep = names[-1] + "x" * (4096 - len(names[-1]))
    store = store_of(tmp_path, layer_of(*map(entry, names), entry(deep, b"deep")))

    store.unpack(IMAGE, tmp_path / "out")

    below = os.open(tmp_path / "out", os.O_RDONLY)
    for _ in names:
        deeper = os.open("d" * 31, os.O_RDONLY, dir_fd=below)
        os.close(below)
        below = deeper
    (name,) = os.listdir(below)
    os.close(below)
    assert name == "x" * (4096 - len(names[-1]))


def test_a_name_that_no_file_system_takes_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    store = store_of(tmp_path, layer_of(entry("a"), entry("x" * 300)))

    with pytest.raises(StorageError, match=r"cannot write \".*/out/xxx.*\": file name too long"):
        store.unpack(IMAGE, tmp_path / "out")

    assert os.listdir(tmp_path) == ["a store"]


def test_an_image_with_the_name_of_the_mark_is_refused_in_place_alone(tmp_path: Path) -> None:
    store = store_of(tmp_path, layer_of(entry(".casstore-partial", b"x")))
    store.unpack(IMAGE, tmp_path / "out")

    with pytest.raises(Refused, match="a name for what is not complete"):
        store.unpack(IMAGE, tmp_path / "out", force=True)


def test_without_the_directory_above_nothing_is_made(tmp_path: Path) -> None:
    with usual(tmp_path) as store, pytest.raises(NotFound, match="there is no directory"):
        store.unpack(IMAGE, tmp_path / "no/out")


def test_no_directory_is_not_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")

    with usual(tmp_path) as store:
        with pytest.raises(UsageError, match="a directory is needed"):
            store.unpack(IMAGE, "")
        with pytest.raises(UsageError, match="a destination is needed"):
            store.copy_files(IMAGE, "/etc", "")

    assert os.listdir(tmp_path / "empty") == []
