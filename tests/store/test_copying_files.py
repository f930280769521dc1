"""Files of images copied to where docker cp puts them, or as a tar."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from casstore import CasstoreError, NotFound, Refused, StorageError, Store
from tests.files.describing import seen
from tests.store.filesout import IMAGE, MTIME, entry, layer_of, store_of, symlink, usual

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "store").mkdir()
    return usual(tmp_path / "store")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Where things are copied to, with a file and a directory."""
    path = tmp_path / "here"
    (path / "directory").mkdir(parents=True)
    (path / "file").write_bytes(b"mine")
    return path


# Where it goes: the table of docker cp


def test_a_file_becomes_what_is_not_there(store: Store, here: Path) -> None:
    store.copy_files(IMAGE, "/etc/passwd", here / "new")

    assert (here / "new").read_bytes() == b"root:x:0:0\n"
    assert (here / "new").stat().st_mtime == MTIME


def test_a_file_replaces_a_file(store: Store, here: Path) -> None:
    store.copy_files(IMAGE, "/etc/passwd", here / "file")

    assert (here / "file").read_bytes() == b"root:x:0:0\n"
    assert sorted(os.listdir(here)) == ["directory", "file"]


def test_a_file_goes_into_a_directory(store: Store, here: Path) -> None:
    store.copy_files(IMAGE, "/etc/passwd", here / "directory")

    assert seen(here / "directory") == {"passwd": "file 644"}


@pytest.mark.parametrize("name", ["new/", "no/new", "no/new/"])
def test_a_file_does_not_go_into_a_directory_that_is_not_there(
    store: Store, here: Path, name: str
) -> None:
    with pytest.raises(NotFound, match="there is no directory"):
        store.copy_files(IMAGE, "/etc/passwd", f"{here}/{name}")
    assert seen(here) == {"directory": "directory 755", "file": "file 644"}


def test_a_file_does_not_go_into_a_file(store: Store, here: Path) -> None:
    with pytest.raises(Refused, match="is not a directory"):
        store.copy_files(IMAGE, "/etc/passwd", f"{here}/file/")


@pytest.mark.parametrize("path", ["/usr", "/usr/.", "/usr/"])
def test_a_directory_becomes_what_is_not_there(store: Store, here: Path, path: str) -> None:
    store.copy_files(IMAGE, path, here / "new")

    assert seen(here / "new") == {
        "bin": "directory 755", "bin/same": "file 755", "bin/tool": "file 755",
    }  # fmt: skip
    assert stat.S_IMODE((here / "new").stat().st_mode) == 0o711
    assert (here / "new/bin/same").samefile(here / "new/bin/tool")


@pytest.mark.parametrize("path", ["/usr", "/usr/", "usr", "/etc/../usr"])
def test_a_directory_goes_into_a_directory(store: Store, here: Path, path: str) -> None:
    store.copy_files(IMAGE, path, here / "directory")

    assert "usr/bin/tool" in seen(here / "directory")


@pytest.mark.parametrize("path", ["/usr/.", "/usr/bin/.."])
def test_what_is_in_a_directory_goes_into_a_directory(store: Store, here: Path, path: str) -> None:
    (here / "directory").chmod(0o700)

    store.copy_files(IMAGE, path, here / "directory")

    top = "" if path.endswith("/.") else "usr/"
    assert f"{top}bin/tool" in seen(here / "directory")
    assert stat.S_IMODE((here / "directory").stat().st_mode) == 0o700


def test_the_root_goes_into_a_directory_as_what_is_in_it(store: Store, here: Path) -> None:
    store.copy_files(IMAGE, "/", here / "directory")

    assert {"bin", "etc", "usr"} <= seen(here / "directory").keys()


@pytest.mark.parametrize("path", ["/usr", "/usr/."])
def test_a_directory_does_not_replace_a_file(store: Store, here: Path, path: str) -> None:
    with pytest.raises(Refused, match="cannot copy a directory to the file"):
        store.copy_files(IMAGE, path, here / "file")
    assert (here / "file").read_bytes() == b"mine"


def test_a_file_does_not_replace_a_directory_of_its_name(store: Store, here: Path) -> None:
    (here / "directory/passwd").mkdir()

    with pytest.raises(StorageError, match=r"/directory/passwd.*: is a directory"):
        store.copy_files(IMAGE, "/etc/passwd", here / "directory")


def test_a_device_is_not_replaced(store: Store) -> None:
    with pytest.raises(Refused, match="is not a regular file, which could be replaced"):
        store.copy_files(IMAGE, "/etc/passwd", "/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_link_at_the_destination_is_followed(store: Store, here: Path) -> None:
    (here / "link").symlink_to("file")
    (here / "dangling").symlink_to("new")
    (here / "there").symlink_to("directory")

    for name in ("link", "dangling", "there"):
        store.copy_files(IMAGE, "/etc/passwd", here / name)

    assert (here / "link").is_symlink() and (here / "dangling").is_symlink()
    assert (here / "file").read_bytes() == (here / "new").read_bytes() == b"root:x:0:0\n"
    assert (here / "directory/passwd").exists()


def test_below_the_destination_no_link_is_followed(store: Store, here: Path) -> None:
    (here / "directory/usr").symlink_to(here)

    store.copy_files(IMAGE, "/usr", here / "directory")

    assert seen(here)["directory/usr"] == "directory 711"
    assert not (here / "bin").exists()


# What is copied


def test_a_link_is_copied_as_a_link_unless_it_is_followed(store: Store, here: Path) -> None:
    store.copy_files(IMAGE, "/bin", here / "link")
    store.copy_files(IMAGE, "/bin", here / "followed", follow_link=True)
    store.copy_files(IMAGE, "/bin/", here / "slash")

    assert os.readlink(here / "link") == "usr/bin"
    assert sorted(os.listdir(here / "followed")) == ["same", "tool"]
    assert sorted(os.listdir(here / "slash")) == ["same", "tool"]


def test_links_on_the_way_are_followed_within_the_image(store: Store, here: Path) -> None:
    store.copy_files(IMAGE, "/bin/tool", here / "directory")

    assert (here / "directory/tool").read_bytes() == b"#!tool" * 1000


@pytest.mark.parametrize(
    "path", ["/no", "/etc/gone", "/etc/passwd/x", "/etc/passwd/", "/etc/motd/."]
)
def test_a_path_that_is_not_there_is_not_found(store: Store, here: Path, path: str) -> None:
    with pytest.raises(NotFound):
        store.copy_files(IMAGE, path, here / "new")
    assert not (here / "new").exists()


@ROOT_ONLY
def test_owners_are_those_of_the_caller_unless_they_are_wanted(tmp_path: Path, here: Path) -> None:
    store = store_of(
        tmp_path, layer_of(entry("d/", owner=(5, 6)), entry("d/su", mode=0o4755, owner=(7, 8)))
    )

    plain = store.copy_files(IMAGE, "/d", here / "plain")
    kept = store.copy_files(IMAGE, "/d", here / "kept", owners=True)

    assert plain is not None and kept is not None
    assert [(here / "plain" / name).stat().st_uid for name in ("", "su")] == [0, 0]
    assert seen(here / "plain") == {"su": "file 755"}
    assert plain.setids == 1
    assert [(here / "kept" / name).stat().st_uid for name in ("", "su")] == [5, 7]
    assert seen(here / "kept") == {"su": "file 4755"}
    assert kept.setids == 0


# As a tar


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/etc/passwd", ["passwd"]),
        ("/usr", ["usr", "usr/bin", "usr/bin/same", "usr/bin/tool"]),
        ("/usr/.", [".", "bin", "bin/same", "bin/tool"]),
        ("/bin", ["bin"]),
        ("/bin/", ["bin", "bin/same", "bin/tool"]),
    ],
)
def test_a_tar_has_names_that_begin_with_the_last_one(
    store: Store, path: str, names: list[str]
) -> None:
    out = io.BytesIO()

    assert store.copy_files(IMAGE, path, out) is None

    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
        assert archive.getnames() == names


def test_in_a_part_of_an_image_a_link_s_target_is_in_that_part(store: Store) -> None:
    out = io.BytesIO()

    store.copy_files(IMAGE, "/usr", out)

    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
        assert archive.getmember("usr/bin/tool").linkname == "usr/bin/same"
        assert archive.getmember("usr/bin/same").isreg()


def test_what_fails_leaves_no_half_file(store: Store, here: Path) -> None:
    with store.files(IMAGE) as files:
        top = files.layers[-1]
    blob = Path(store.path, "blobs/sha256", top.removeprefix("sha256:"))
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[:-9] + b"notitsend")

    with pytest.raises(CasstoreError):
        store.copy_files(IMAGE, "/etc/motd", here / "new")
    with pytest.raises(CasstoreError):
        store.copy_files(IMAGE, "/etc/motd", here / "file")

    assert sorted(os.listdir(here)) == ["directory", "file"]
    assert (here / "file").read_bytes() == b"mine"


def test_many_files_of_a_layer_are_read_in_one_pass(tmp_path: Path, here: Path) -> None:
    files = {f"d/{number}": str(number).encode() * 1000 for number in range(50)}
    store = store_of(tmp_path, layer_of(*(entry(*one) for one in files.items()), symlink("l", "d")))

    store.copy_files(IMAGE, "/l/.", here / "new")

    assert {f"d/{path.name}": path.read_bytes() for path in (here / "new").iterdir()} == files
