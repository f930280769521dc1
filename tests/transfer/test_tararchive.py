from __future__ import annotations

import io
import tarfile

import pytest

from casstore.errors import Refused
from casstore.transfer import tararchive
from casstore.transfer.tararchive import TarArchive
from tests.transfer.building import member, tar_of, tar_of_members

FILE = (member("dir/file"), b"content")


def archive_of(*members: tuple[tarfile.TarInfo, bytes]) -> TarArchive:
    return TarArchive(io.BytesIO(tar_of_members(*members)), "a.tar", "a")


def link(name: str, to: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, kind, to), b""


def test_a_member_is_read_by_its_name_however_it_is_spelled() -> None:
    archive = archive_of((member("./dir//file"), b"content"))

    assert archive.read("dir/file", 100) == b"content"
    assert archive.read("./dir/./file", 100) == b"content"
    assert archive.size("dir/file") == 7


def test_an_opened_member_can_be_read_in_pieces_and_sought() -> None:
    file = archive_of(FILE, (member("behind"), b"more")).open("dir/file")

    assert file.read(3) == b"con"
    assert file.read() == b"tent" and file.read(1) == b""
    file.seek(-4, io.SEEK_END)
    assert file.read(100) == b"tent"


def test_two_readers_do_not_disturb_each_other() -> None:
    archive = archive_of(FILE)
    one, two = archive.open("dir/file"), archive.open("dir/file")

    assert (one.read(2), two.read(2), one.read(2)) == (b"co", b"co", b"nt")


def test_a_member_over_the_limit_is_not_read() -> None:
    with pytest.raises(Refused, match='"dir/file" exceeds the limit of 6 bytes'):
        archive_of(FILE).read("dir/file", 6)


@pytest.mark.parametrize(
    "links",
    [
        [link("to", "dir/file")],
        [link("other/to", "../dir/file"), link("to", "other/to")],
        [link("to", "dir/file", tarfile.LNKTYPE)],
        [link("here", "dir"), link("to", "here/file")],
        [link("a/to", "../dir/file"), link("to", "a/to", tarfile.LNKTYPE)],
    ],
)
def test_links_inside_the_archive_are_followed(links: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    archive = archive_of(FILE, *links)

    assert archive.has("to")
    assert archive.read("to", 100) == b"content"


@pytest.mark.parametrize(
    ("links", "says"),
    [
        ([link("to", "/etc/passwd")], "out of the archive"),
        ([link("to", "../../etc/passwd")], "out of the archive"),
        ([link("to", "/etc/passwd", tarfile.LNKTYPE)], "no such file"),
        ([link("to", "to")], "leads to itself"),
        ([link("to", "fro"), link("fro", "to")], "leads to itself"),
        ([link("to", "nowhere")], "open to: no such file or directory"),
        ([link("to", "dir")], "no such file"),
        ([link("to", "")], "no such file"),
    ],
)
def test_links_that_lead_anywhere_else_are_refused(
    links: list[tuple[tarfile.TarInfo, bytes]], says: str
) -> None:
    archive = archive_of(FILE, *links)

    assert not archive.has("to")
    with pytest.raises(Refused, match=says):
        archive.open("to")


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, b"Z"])
def test_what_is_no_file_is_refused_when_it_is_needed_and_only_then(kind: bytes) -> None:
    archive = archive_of(FILE, (member("odd", kind), b""))

    assert archive.read("dir/file", 100) == b"content"
    with pytest.raises(Refused, match="not a regular file"):
        archive.read("odd", 100)


@pytest.mark.parametrize("name", ["../a", "/../a", "dir/../dir/file", "", "/", ".", "a\0b"])
def test_a_name_that_leads_out_is_refused(name: str) -> None:
    archive = archive_of(FILE, (member("../a"), b"x"))

    assert not archive.has(name)
    with pytest.raises(Refused, match="invalid path"):
        archive.open(name)


def test_a_slash_at_the_beginning_of_a_name_means_nothing() -> None:
    archive = archive_of(
        (member("/a"), b"x"), (member("//b/c"), b"y"), link("/d", "/b/c", tarfile.LNKTYPE)
    )

    assert [archive.read(name, 9) for name in ("a", "/a", "b/c", "/b/c", "/d")] == [
        b"x", b"x", b"y", b"y", b"y",
    ]  # fmt: skip
    with pytest.raises(Refused, match='"a" twice, with different content'):
        archive_of((member("/a"), b"x"), (member("a"), b"y"))


def test_a_member_may_come_twice_if_it_is_the_same() -> None:
    archive = archive_of(FILE, FILE, (member("./dir/file"), b"content"), link("l", "x"))

    assert archive.read("dir/file", 100) == b"content"


@pytest.mark.parametrize(
    "again",
    [
        (member("dir/file"), b"Content"),
        (member("dir/file"), b"contents"),
        (member("./dir/file"), b"Content"),
        link("dir/file", "elsewhere"),
    ],
)
def test_a_member_that_comes_twice_and_differs_is_refused(
    again: tuple[tarfile.TarInfo, bytes],
) -> None:
    with pytest.raises(Refused, match='"dir/file" twice'):
        archive_of(FILE, again)


def test_too_many_members_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tararchive, "MAX_MEMBERS", 10)

    with pytest.raises(Refused, match="limit of 10 members"):
        TarArchive(io.BytesIO(tar_of({str(n): b"" for n in range(11)})), "a", "a")
