"""Tars of files: each reader finds what was written, and the same files give the same bytes."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from casstore.errors import Refused
from casstore.model.fileentry import FileEntry
from casstore.transfer.tarwriter import TarWriter
from tests.files.describing import MTIME, device, directory, fifo, file, symlink

WHOLE = MTIME // 10**9 * 10**9


def tar_of(*entries: FileEntry | tuple[FileEntry, bytes], links: dict[bytes, bytes] = {}) -> bytes:  # noqa: B006
    """A tar of entries, files with their contents, then links (name and target)."""
    out = io.BytesIO()
    writer = TarWriter(out)
    for one in entries:
        if isinstance(one, FileEntry):
            writer.add(one)
        else:
            writer.add(one[0]._replace(size=one[0].size or len(one[1])), [one[1]])
    for name, target in links.items():
        writer.link(file(name, 7), target)
    writer.finish()
    return out.getvalue()


def members(tar: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return archive.getmembers()


def plain(entry: FileEntry) -> FileEntry:
    """An entry that needs no record."""
    return entry._replace(mtime=WHOLE, uid=0, gid=0)


def test_what_ustar_can_say_needs_no_record() -> None:
    tar = tar_of(
        plain(directory(b"etc", 0o750)),
        (plain(file(b"etc/motd", mode=0o4755)), b"hello"),
        plain(symlink(b"etc/mtab", b"/proc/mounts")),
        plain(fifo(b"pipe")),
        plain(device(b"null", 1, 3)),
        plain(device(b"disk", 7, 1, block=True)),
        links={b"link": b"etc/motd"},
    )

    # six headers and one with a block of content; the link has a record of its time
    assert len(tar) == 512 * (6 + 1 + 3 + 2)
    assert [(m.name, m.type, m.mode, m.linkname) for m in members(tar)] == [
        ("etc", b"5", 0o750, ""),
        ("etc/motd", b"0", 0o4755, ""),
        ("etc/mtab", b"2", 0o777, "/proc/mounts"),
        ("pipe", b"6", 0o644, ""),
        ("null", b"3", 0o666, ""),
        ("disk", b"4", 0o666, ""),
        ("link", b"1", 0o644, "etc/motd"),
    ]
    assert [(m.devmajor, m.devminor) for m in members(tar)[4:6]] == [(1, 3), (7, 1)]


def test_the_root_is_there_where_a_layer_says_what_it_is_like() -> None:
    assert [m.name for m in members(tar_of(directory(b"", 0o711)))] == ["."]
    assert members(tar_of(directory(b"", order=0))) == []
    assert [m.name for m in members(tar_of(directory(b"a", order=0)))] == ["a"]


@pytest.mark.parametrize(
    "name",
    [
        b"x" * 100,
        b"x" * 101,
        b"d/" * 49 + b"xx",
        b"d" * 155 + b"/" + b"x" * 100,
        b"d" * 155 + b"/" + b"x" * 101,
        b"d" * 156 + b"/" + b"x" * 100,
        b"/".join([b"d" * 255] * 15) + b"/x",
        "Ünï/çødé".encode(),
        "日本".encode() * 60,
        b"new\nline =1 \\",
        b"\xff\xfe",
        b"\xff" * 101,
        b"\xff" * 155 + b"/" + b"\xff" * 100,  # whose sum is beyond 65 520
        "é".encode() + b"\xff" * 250,
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["file", "directory", "symlink", "hard link"])
def test_every_name_is_read_back(name: bytes, kind: str) -> None:
    if kind == "file":
        found = members(tar_of((file(name), b"content")))
        assert found[0].size == 7
    elif kind == "directory":
        found = members(tar_of(directory(name)))
        assert found[0].isdir()
    elif kind == "symlink":
        found = members(tar_of(symlink(name, name)))
    else:
        found = members(tar_of(links={name: name}))
        assert found[0].islnk()
    (member,) = found
    assert os.fsencode(member.name) == name
    if kind in {"symlink", "hard link"}:
        assert os.fsencode(member.linkname) == name


@pytest.mark.parametrize(
    ("mtime", "text"),
    [
        (WHOLE, None),
        (WHOLE + 5, f"{WHOLE // 10**9}.000000005"),
        (WHOLE + 500_000_000, f"{WHOLE // 10**9}.5"),
        (-1, "-0.000000001"),
        (-1_500_000_000, "-1.5"),
        (-2_000_000_000, "-2"),
        (0, None),
        ((1 << 33) * 10**9, str(1 << 33)),
    ],
)
def test_times_are_kept_to_the_nanosecond(mtime: int, text: str | None) -> None:
    (member,) = members(tar_of(plain(file(b"a"))._replace(mtime=mtime)))

    assert member.pax_headers.get("mtime") == text


def test_large_numbers_stand_in_records() -> None:
    (member,) = members(tar_of(plain(file(b"a"))._replace(uid=1 << 31, gid=1 << 21)))
    assert (member.uid, member.gid) == (1 << 31, 1 << 21)

    (member,) = members(tar_of(plain(file(b"a"))._replace(uid=0o7777777)))
    assert (member.uid, member.pax_headers) == (0o7777777, {})


def test_a_large_size_stands_in_a_record() -> None:
    out = io.BytesIO()
    writer = TarWriter(out)
    writer.add(plain(file(b"a", 1 << 33)), [])  # the header is what counts
    writer.finish()

    member = tarfile.TarInfo.frombuf(out.getvalue()[1024:1536], "utf-8", "strict")
    assert b" size=8589934592\n" in out.getvalue()
    assert member.size == 0


def test_extended_attributes_are_kept_byte_for_byte() -> None:
    every = bytes(range(256))
    xattrs = (
        (b"security.capability", every),
        (b"user.\xe9", b""),
        (b"user.n", b"a\nb"),
    )

    tar = tar_of(plain(file(b"a", xattrs=xattrs)))

    assert b" SCHILY.xattr.security.capability=%b\n" % every in tar
    assert b" SCHILY.xattr.user.\xe9=\n" in tar
    assert b"27 SCHILY.xattr.user.n=a\nb\n" in tar


@pytest.mark.parametrize("extra", range(3))
def test_the_length_of_a_record_counts_itself(extra: int) -> None:
    value = b"x" * (99 - len(b" SCHILY.xattr.u.a=\n") - 3 + extra)

    tar = tar_of(plain(file(b"a", xattrs=((b"u.a", value),))))

    record = tar[512:].split(b"\0", 1)[0]
    assert int(record.split(b" ")[0]) == len(record)


def test_holes_are_kept_and_read_back() -> None:
    tar = tar_of(
        (plain(file(b"s", 10 << 20, extents=((1 << 20, 3), (5 << 20, 4)))), b"abcdefg"),
        (plain(file(b"after")), b"x"),
    )

    assert len(tar) < 10240
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        member = archive.getmember("s")
        assert member.issparse() and member.size == 10 << 20
        data = archive.extractfile(member).read()  # type: ignore[union-attr]  # a file
        assert (data[1 << 20 :][:3], data[5 << 20 :][:4]) == (b"abc", b"defg")
        assert data.count(0) == len(data) - 7
        assert archive.getmember("after").size == 1


@pytest.mark.parametrize("extents", [(), ((0, 0),), ((4096, 0),), ((0, 5),)])
def test_a_file_of_one_hole_or_none_is_read_back(extents: tuple[tuple[int, int], ...]) -> None:
    stored = sum(length for _, length in extents)
    tar = tar_of((plain(file(b"s", 4096, extents=extents)), b"x" * stored))

    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        data = archive.extractfile("s").read()  # type: ignore[union-attr]  # a file
    assert data == (b"x" * stored).ljust(4096, b"\0")


def test_a_device_that_no_tar_can_name_is_refused() -> None:
    with pytest.raises(Refused, match='"/a": there is no device'):
        tar_of(device(b"a", 1 << 22, 0))


def test_small_files_are_written_together_and_a_large_piece_by_itself() -> None:
    sizes: list[int] = []

    class Out(io.BytesIO):
        def write(self, data: Any) -> int:
            sizes.append(len(memoryview(data)))
            return super().write(data)

    out = Out()
    writer = TarWriter(out)
    for number in range(100):
        writer.add(plain(file(b"%d" % number, 10)), [b"0123456789"])
    writer.add(plain(file(b"large", 1 << 20)), [bytes(1 << 20)])
    writer.finish()

    assert sizes == [100 * 1024 + 512, 1 << 20, 1024]
    assert len(members(out.getvalue())) == 101


def test_small_pieces_are_written_256_kib_at_a_time_and_64_kib_are_not_small() -> None:
    sizes: list[int] = []

    class Out(io.BytesIO):
        def write(self, data: Any) -> int:
            sizes.append(len(memoryview(data)))
            return super().write(data)

    writer = TarWriter(Out())
    for number in range(600):
        writer.add(plain(file(b"%d" % number, 511)), [b"x" * 511])
    writer.add(plain(file(b"large", 1 << 16)), [bytes(1 << 16)])
    writer.finish()

    assert sizes == [1 << 18, 1 << 18, 88 * 1024 + 512, 1 << 16, 1024]


# Headers


def ustar(entry: FileEntry, target: bytes = b"") -> bytes | None:
    """The header that Python makes of an entry; None where ustar has no room for it."""
    info = tarfile.TarInfo(os.fsdecode(entry.name))
    info.type = {
        "file": tarfile.LNKTYPE if target else tarfile.REGTYPE,
        "directory": tarfile.DIRTYPE,
        "symlink": tarfile.SYMTYPE,
        "fifo": tarfile.FIFOTYPE,
        "character device": tarfile.CHRTYPE,
        "block device": tarfile.BLKTYPE,
    }[entry.kind]
    info.mode, info.uid, info.gid, info.size = entry.mode, entry.uid, entry.gid, entry.size
    info.mtime = entry.mtime // 10**9
    info.linkname = os.fsdecode(target or entry.target)
    info.devmajor, info.devminor = entry.device
    try:
        made = info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")
    except (ValueError, UnicodeError):
        return None
    # Python cuts a link that is too long, and puts all of a directory's name into the prefix.
    return made if len(info.linkname) <= 100 and made[0] else None


def header(entry: FileEntry, target: bytes = b"") -> bytes:
    """What begins with the headers of an entry."""
    out = io.BytesIO()
    writer = TarWriter(out)
    if target:
        writer.link(entry, target)
    else:
        writer.add(entry)
    writer.finish()
    return out.getvalue()


def same(written: bytes, expected: bytes | None) -> bool:
    """Whether a header is as expected; None: one of records."""
    info = tarfile.TarInfo.frombuf(written[:512], "ascii", "surrogateescape")  # checks the sum
    if expected is None:
        return info.type == b"x"
    # Python leaves the numbers of a device empty where there is none.
    other = tarfile.TarInfo.frombuf(expected, "ascii", "surrogateescape")
    devices = (info.devmajor, info.devminor) == (other.devmajor, other.devminor)
    parts = slice(0, 148), slice(156, 329), slice(345, 512)
    return devices and all(written[part] == expected[part] for part in parts)


MOST, LARGEST = 0o7777777, 0o77777777777
NAMES = [
    b"x" * 99, b"x" * 100, b"x" * 101,
    b"d/" + b"x" * 99, b"d/" + b"x" * 100, b"d/" + b"x" * 101, b"dd/d/" + b"x" * 97,
    b"/".join([b"d" * 30] * 5), b"d" * 154 + b"/" + b"x" * 100, b"d" * 155 + b"/" + b"x" * 99,
    b"d" * 155 + b"/" + b"x" * 100, b"d" * 155 + b"/" + b"x" * 101, b"d" * 156 + b"/" + b"x" * 99,
    b"d" * 100 + b"/" + b"e" * 54 + b"/" + b"x" * 100, b"d" * 101 + b"/x",
]  # fmt: skip


@pytest.mark.parametrize(
    "entry",
    [
        *(plain(kind(name)) for name in NAMES for kind in (file, directory)),
        *(plain(symlink(b"l", b"t" * length)) for length in (1, 99, 100, 101)),
        *(plain(file(b"a"))._replace(uid=number) for number in (1, MOST, MOST + 1)),
        *(plain(file(b"a"))._replace(gid=number) for number in (1, MOST, MOST + 1)),
        *(
            plain(file(b"a"))._replace(mtime=seconds * 10**9)
            for seconds in (-1, 0, 1, LARGEST, LARGEST + 1)
        ),
        *(plain(file(b"a", size)) for size in (0, 1, LARGEST, LARGEST + 1)),
        *(plain(device(b"a", *numbers)) for numbers in ((0, 0), (0, 1), (1, 0), (MOST, MOST))),
        plain(device(b"a", 7, 8, block=True)),
        plain(fifo(b"a")),
        plain(file(b"a", mode=0o7777)),
    ],
)
def test_a_header_is_ustar_s_where_that_has_room_and_only_there(entry: FileEntry) -> None:
    expected = ustar(entry)

    written = header(entry)

    assert same(written, expected)


@pytest.mark.parametrize("length", [99, 100, 101])
def test_the_target_of_a_hard_link_stands_in_the_header_where_that_has_room(length: int) -> None:
    entry = plain(file(b"a", 5))

    written = header(entry, b"t" * length)

    expected = ustar(entry._replace(size=0), b"t" * length)
    assert same(written, expected)


@pytest.mark.parametrize(
    ("entry", "field", "value"),
    [
        (file(b"a", uid=1 << 30), slice(108, 116), 0),
        (file(b"a", gid=1 << 30), slice(116, 124), 0),
        (file(b"a", LARGEST + 1), slice(124, 136), 0),
        (file(b"a", mtime=-1), slice(136, 148), 0),
        (file(b"a", mtime=10**9 + 1), slice(136, 148), 1),
        (file(b"a", mtime=(LARGEST + 1) * 10**9), slice(136, 148), LARGEST),
    ],
)
def test_who_reads_no_records_gets_what_is_nearest(
    entry: FileEntry, field: slice, value: int
) -> None:
    written = header(entry)

    assert written[156:157] == b"x"
    assert int(written[1024:][field].rstrip(b"\0"), 8) == value


def test_a_header_of_records_tells_of_no_owner_and_no_time() -> None:
    written = header(file(b"a", mtime=5, uid=3, gid=4))

    assert written[100:124] == b"0000644\0" + b"0000000\0" * 2
    assert written[136:148] == b"00000000000\0"
    assert written[329:345] == b"0000000\0" * 2


ODD = "é".encode()


@pytest.mark.parametrize(
    ("entry", "keys"),
    [
        (file(ODD), {"path"}),
        (symlink(b"a", ODD), {"path", "linkpath"}),
        (symlink(ODD, b"a"), {"path", "linkpath"}),
        (symlink(ODD, b"\xff"), set()),
        (symlink(b"\xff", ODD), set()),
        (symlink(b"a", b"\xff" * 101), {"hdrcharset", "path", "linkpath"}),
        (symlink(b"a", b"t" * 101), {"path", "linkpath"}),
        (file(b"\xff" * 101), {"hdrcharset", "path"}),
        (file(b"\xff" * 100), set()),
        (symlink(b"a", b"\xff" * 100), set()),
    ],
)
def test_names_stand_in_a_record_where_they_need_one(entry: FileEntry, keys: set[str]) -> None:
    written = tar_of(plain(entry))

    assert set(records_of(written)) == keys


def records_of(tar: bytes) -> dict[str, bytes]:
    """The records of the first header."""
    if tar[156:157] != b"x":
        return {}
    size = int(tar[124:135], 8)
    data, found = tar[512 : 512 + size], dict[str, bytes]()
    while data:
        length = int(data[: data.index(b" ")])
        record, data = data[data.index(b" ") + 1 : length - 1], data[length:]
        key, _, found[key.decode()] = record.partition(b"=")
    return found


SPARSE = {"GNU.sparse.major", "GNU.sparse.minor", "GNU.sparse.name", "GNU.sparse.realsize"}


@pytest.mark.parametrize(
    ("name", "more"),
    [(b"a", set[str]()), (ODD, set[str]()), (b"\xff", {"hdrcharset"}), (b"x" * 300, set[str]())],
)
def test_the_name_of_a_sparse_file_stands_in_a_record_of_its_own(
    name: bytes, more: set[str]
) -> None:
    written = tar_of((plain(file(name, 9, extents=((0, 1),))), b"x"))

    records = records_of(written)
    assert set(records) == SPARSE | more
    assert records["GNU.sparse.name"] == name
    assert next(iter(records)) == ("hdrcharset" if more else "GNU.sparse.major")


@pytest.mark.parametrize(
    ("size", "extents", "table"),
    [
        (1, (), [1, 1, 0]),
        (2, (), [1, 2, 0]),
        (5, ((0, 5),), [1, 0, 5]),
        (6, ((0, 5),), [2, 0, 5, 6, 0]),
        (9, ((0, 1), (8, 1)), [2, 0, 1, 8, 1]),
        (10, ((0, 9), (9, 1)), [2, 0, 9, 9, 1]),
    ],
)
def test_the_map_of_a_sparse_file_ends_with_its_end(
    size: int, extents: tuple[tuple[int, int], ...], table: list[int]
) -> None:
    stored = sum(length for _, length in extents)

    written = tar_of((plain(file(b"s", size, extents=extents)), b"x" * stored))

    text = written[1536:2048].rstrip(b"\0")
    assert [int(line) for line in text.splitlines()] == table


# Other readers


def everything() -> bytes:
    long = b"/".join([b"d" * 200] * 3)
    return tar_of(
        directory(b"", 0o755),
        directory(b"bin", 0o755),
        (file(b"bin/su", mode=0o4755, mtime=MTIME, uid=1, gid=2), b"su"),
        directory(b"d" * 200),
        directory(b"/".join([b"d" * 200] * 2)),
        directory(long),
        (file(long + b"/" + b"x" * 200), b"deep"),
        symlink(b"link", long),
        (file("ünï".encode()), b"u"),
        (file(b"note", xattrs=((b"user.note", b"\1\2=\n"),)), b"n"),
        (file(b"odd\xff"), b"odd"),
        (file(b"odd" + b"\xff" * 150), b"odder"),
        (file(b"sparse", 1 << 20, extents=((65536, 3),)), b"abc"),
        links={b"su2": b"bin/su"},
    )


@pytest.mark.parametrize("program", ["tar", "bsdtar"])
def test_other_tars_write_what_is_described(tmp_path: Path, program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    top = os.fsencode(tmp_path)

    done = subprocess.run(
        [program, "-xpf", "-", "-C", tmp_path],
        input=everything(), capture_output=True, check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )  # fmt: skip

    assert done.returncode == 0
    # GNU tar 1.34 does not know that record of POSIX, and says so once
    assert (
        done.stderr.replace(b"tar: Ignoring unknown extended header keyword 'hdrcharset'\n", b"")
        == b""
    )
    status = os.stat(top + b"/bin/su")
    assert status.st_mode & 0o777 == 0o755
    assert status.st_mtime_ns == MTIME
    if os.geteuid() == 0:
        assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (1, 2, 0o4755)
    assert os.path.samefile(top + b"/bin/su", top + b"/su2")
    assert Path(os.fsdecode(top + b"/link/" + b"x" * 200)).read_bytes() == b"deep"
    assert Path(os.fsdecode(top + "/ünï".encode())).read_bytes() == b"u"
    assert Path(os.fsdecode(top + b"/odd\xff")).read_bytes() == b"odd"
    assert Path(os.fsdecode(top + b"/odd" + b"\xff" * 150)).read_bytes() == b"odder"
    assert (tmp_path / "sparse").read_bytes() == bytes(65536) + b"abc" + bytes((1 << 20) - 65539)
    assert (tmp_path / "sparse").stat().st_blocks * 512 < 1 << 19


def test_gnu_tar_reads_the_extended_attributes(tmp_path: Path) -> None:
    try:
        os.setxattr(tmp_path, "user.here", b"")
    except OSError:
        pytest.skip("the file system has no extended attributes for users")

    subprocess.run(["tar", "--xattrs", "-xf", "-", "-C", tmp_path], input=everything(), check=True)

    assert os.getxattr(tmp_path / "note", "user.note") == b"\1\2=\n"


def test_the_same_files_give_the_same_bytes() -> None:
    assert everything() == everything()
