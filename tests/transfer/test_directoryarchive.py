from __future__ import annotations

import os
import socket

import pytest

from casstore.errors import Refused
from casstore.transfer.directoryarchive import DirectoryArchive


@pytest.fixture
def inside(tmp_path: object) -> str:
    """A directory with one file, and a secret beside it; both are the working directory's."""
    root = os.path.join(str(tmp_path), "layout")
    os.makedirs(os.path.join(root, "dir"))
    for path, content in ((os.path.join(root, "dir/file"), "content"), (root + "-x", "secret")):
        with open(path, "w") as file:
            file.write(content)
    return root


def test_a_file_is_read_by_its_name(inside: str) -> None:
    archive = DirectoryArchive(inside)

    assert archive.has("dir/file") and archive.size("dir/file") == 7
    assert archive.read("./dir/file", 7) == b"content"
    assert archive.path("dir/file") == os.path.join(os.path.realpath(inside), "dir/file")
    assert set(archive.names) == {"dir", "dir/file"}
    assert archive.stem == "layout"


def test_a_file_over_the_limit_is_refused(inside: str) -> None:
    with pytest.raises(Refused, match="exceeds the limit of 6"):
        DirectoryArchive(inside).read("dir/file", 6)


def test_a_link_that_stays_inside_is_followed(inside: str) -> None:
    os.symlink("dir/file", os.path.join(inside, "to"))
    os.symlink("dir", os.path.join(inside, "there"))

    assert DirectoryArchive(inside).read("to", 10) == b"content"
    assert DirectoryArchive(inside).read("there/file", 10) == b"content"


@pytest.mark.parametrize("target", ["../layout-x", "/etc/passwd", "../layout/../layout-x"])
def test_a_link_that_leads_out_is_refused(inside: str, target: str) -> None:
    os.symlink(target, os.path.join(inside, "to"))
    archive = DirectoryArchive(inside)

    assert not archive.has("to")
    with pytest.raises(Refused, match="leads out"):
        archive.open("to")


def test_a_directory_that_is_a_link_out_is_refused(inside: str) -> None:
    os.symlink("..", os.path.join(inside, "up"))

    with pytest.raises(Refused, match="leads out"):
        DirectoryArchive(inside).open("up/layout-x")


def test_a_fifo_is_refused_without_waiting_for_its_writer(inside: str) -> None:
    os.mkfifo(os.path.join(inside, "fifo"))
    archive = DirectoryArchive(inside)

    assert not archive.has("fifo")
    with pytest.raises(Refused, match="not a regular file"):
        archive.open("fifo")


def test_sockets_and_directories_are_refused(inside: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(inside)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")

        for name in ("socket", "dir"):
            with pytest.raises(Refused, match="not a regular file"):
                DirectoryArchive(inside).open(name)


@pytest.mark.parametrize("name", ["../layout-x", "/../layout-x", "", "/", "dir/../dir/file"])
def test_a_name_that_leads_out_is_refused(inside: str, name: str) -> None:
    with pytest.raises(Refused, match="invalid path"):
        DirectoryArchive(inside).open(name)


def test_a_slash_at_the_beginning_of_a_name_means_nothing(inside: str) -> None:
    assert DirectoryArchive(inside).read("/dir/file", 7) == b"content"
    with pytest.raises(Refused, match="no such file"):
        DirectoryArchive(inside).open("/etc/passwd")


@pytest.mark.parametrize("name", ["nosuch", "dir/file/below", "dir/nosuch", "loop"])
def test_what_is_not_there_is_told_in_dockers_words(inside: str, name: str) -> None:
    os.symlink("loop", os.path.join(inside, "loop"))

    with pytest.raises(Refused, match=f"^open {name}: no such file or directory$"):
        DirectoryArchive(inside).open(name)
