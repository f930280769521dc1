"""Trees written below a directory: what they are then, and that nothing outside is touched."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path

import pytest

from casstore.errors import Refused, StorageError
from casstore.files.attributes import AS_ROOT, AS_USER, Rights
from casstore.files.emptying import empty_directory
from casstore.files.treewriter import TreeWriter, WrittenFiles
from casstore.model.fileentry import FileEntry
from tests.files.describing import (
    MTIME,
    device,
    directory,
    fifo,
    file,
    opened,
    seen,
    symlink,
)

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
MINE = AS_ROOT if os.geteuid() == 0 else AS_USER
STAGED = b".staged"


def write(
    top: Path,
    *entries: FileEntry | tuple[FileEntry, bytes],
    rights: Rights = MINE,
    over: bool = False,
) -> WrittenFiles:
    """Write entries; a file with its content as a pair, a link to a file with that one's name."""
    with (
        opened(top) as descriptor,
        TreeWriter(descriptor, rights, over=STAGED if over else None) as writer,
    ):
        for one in entries:
            if isinstance(one, FileEntry):
                writer.add(one)
            else:
                writer.add(one[0], [one[1]] if one[1] else [])
        return writer.finish()


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A directory that must stay as it is, beside the one that is written to."""
    path = tmp_path / "outside"
    path.mkdir()
    (path / "kept").write_bytes(b"kept")
    before = path.stat().st_mtime_ns, path.stat().st_mode
    yield path
    assert (path.stat().st_mtime_ns, path.stat().st_mode) == before
    assert seen(path) == {"kept": "file 644"}
    assert (path / "kept").read_bytes() == b"kept"


def test_files_directories_and_links_are_as_they_are_described(tmp_path: Path) -> None:
    top = tmp_path / "a tree"

    write(
        top,
        directory(b"etc", 0o750),
        (file(b"etc/motd", 5, 0o640), b"hello"),
        symlink(b"etc/mtab", b"/proc/mounts"),
        fifo(b"pipe", 0o622),
    )

    assert seen(top) == {
        "etc": "directory 750",
        "etc/motd": "file 640",
        "etc/mtab": "link -> /proc/mounts",
        "pipe": "special 622",
    }
    assert (top / "etc/motd").read_bytes() == b"hello"


def test_each_has_its_time_to_the_nanosecond_directories_too(tmp_path: Path) -> None:
    write(
        tmp_path / "t",
        directory(b"d", mtime=MTIME - 1),
        file(b"d/f", mtime=MTIME - 2),
        symlink(b"d/l", b"x", mtime=MTIME - 3),
        directory(b"d/s", mtime=-5),
    )

    times = [(tmp_path / "t" / name).lstat().st_mtime_ns for name in ("d", "d/f", "d/l", "d/s")]
    assert times == [MTIME - 1, MTIME - 2, MTIME - 3, -5]


def test_the_root_gets_what_a_layer_says_of_it_and_else_stays(tmp_path: Path) -> None:
    described, silent = tmp_path / "described", tmp_path / "silent"
    silent.mkdir(mode=0o700)

    write(described, directory(b"", 0o711), file(b"a"))
    write(silent, directory(b"", 0o711, order=0), file(b"a"))

    assert stat.S_IMODE(described.stat().st_mode) == 0o711
    assert described.stat().st_mtime_ns == MTIME
    assert stat.S_IMODE(silent.stat().st_mode) == 0o700


def test_the_directory_that_is_written_to_can_be_left_as_it_is(tmp_path: Path) -> None:
    top = tmp_path / "t"
    top.mkdir(mode=0o700)
    with (
        opened(top) as descriptor,
        TreeWriter(descriptor, MINE, over=STAGED, keep_top=True) as writer,
    ):
        writer.add(directory(b"", 0o777))
        writer.add(directory(b"a", 0o777))
        writer.finish()

    assert stat.S_IMODE(top.stat().st_mode) == 0o700
    assert seen(top) == {"a": "directory 777"}


def test_names_are_bytes(tmp_path: Path) -> None:
    write(tmp_path / "t", directory(b"\xff"), file(b"\xff/\x01\n\xfe"))

    assert os.listdir(os.fsencode(tmp_path / "t") + b"/\xff") == [b"\x01\n\xfe"]


def test_a_hard_link_is_another_name_of_the_same_file(tmp_path: Path) -> None:
    with opened(tmp_path / "t") as top, TreeWriter(top, MINE) as writer:
        writer.add(directory(b"a"))
        writer.add(file(b"a/one", 3), [b"one"])
        writer.add(directory(b"b"))
        writer.link(file(b"b/two", 3), b"a/one")
        writer.finish()

    assert (tmp_path / "t/a/one").samefile(tmp_path / "t/b/two")


def test_a_hard_link_to_a_symbolic_link_is_one_to_the_link(tmp_path: Path, outside: Path) -> None:
    target = os.fsencode(outside / "kept")
    with opened(tmp_path / "t") as top, TreeWriter(top, MINE) as writer:
        writer.add(symlink(b"a", target))
        writer.link(symlink(b"b", target), b"a")
        writer.finish()

    assert (tmp_path / "t/b").lstat().st_ino == (tmp_path / "t/a").lstat().st_ino
    assert (outside / "kept").stat().st_nlink == 1


def test_holes_stay_holes(tmp_path: Path) -> None:
    sparse = file(b"s", 10 << 20, extents=((1 << 20, 3), (5 << 20, 4)))
    with opened(tmp_path / "t") as top, TreeWriter(top, MINE) as writer:
        writer.add(sparse, [b"ab", b"cdef", b"g"])
        writer.finish()

    path = tmp_path / "t/s"
    data = path.read_bytes()
    assert (data[1 << 20 :][:3], data[5 << 20 :][:4]) == (b"abc", b"defg")
    assert len(data) == 10 << 20 and data.count(0) == len(data) - 7
    assert path.stat().st_blocks * 512 < 1 << 20


@ROOT_ONLY
def test_root_keeps_owners_setid_bits_and_devices(tmp_path: Path) -> None:
    write(
        tmp_path / "t",
        directory(b"d", 0o2755, uid=1, gid=2),
        file(b"d/su", mode=0o4755, uid=3, gid=4),
        symlink(b"d/l", b"su", uid=5, gid=6),
        device(b"null", 1, 3),
        device(b"disk", 7, 0, block=True),
        device(b"whiteout", 0, 0),
    )

    found = {}
    for name in ("d", "d/su", "d/l", "null", "disk", "whiteout"):
        status = (tmp_path / "t" / name).lstat()
        found[name] = stat.filemode(status.st_mode), status.st_uid, status.st_gid
        if name in {"null", "disk", "whiteout"}:
            assert status.st_rdev == {"null": os.makedev(1, 3), "disk": os.makedev(7, 0)}.get(
                name, os.makedev(0, 0)
            )
    assert found == {
        "d": ("drwxr-sr-x", 1, 2),
        "d/su": ("-rwsr-xr-x", 3, 4),
        "d/l": ("lrwxrwxrwx", 5, 6),
        "null": ("crw-rw-rw-", 0, 0),
        "disk": ("brw-rw-rw-", 0, 0),
        "whiteout": ("crw-rw-rw-", 0, 0),
    }


def test_without_rights_owners_devices_and_setid_bits_are_dropped_and_counted(
    tmp_path: Path,
) -> None:
    written = write(
        tmp_path / "t",
        file(b"a", mode=0o6755, uid=12345, gid=12345),
        device(b"null", 1, 3),
        rights=AS_USER,
    )

    assert seen(tmp_path / "t") == {"a": "file 755"}
    assert (tmp_path / "t/a").stat().st_uid == os.geteuid()
    assert (written.devices, written.setids) == (1, 1)


def test_setid_bits_can_be_kept_without_the_owners(tmp_path: Path) -> None:
    kept = Rights(owners=False, devices=False, setid=True)

    write(tmp_path / "t", file(b"a", mode=0o4755), rights=kept)

    assert seen(tmp_path / "t") == {"a": "file 4755"}


def test_a_link_to_a_device_that_was_left_out_is_left_out(tmp_path: Path) -> None:
    null = device(b"b", 1, 3)
    with opened(tmp_path / "t") as top, TreeWriter(top, AS_USER) as writer:
        writer.add(null._replace(name=b"a"))
        writer.link(null, b"a")

        assert writer.finish().devices == 2
    assert seen(tmp_path / "t") == {}


def test_owners_can_be_noted_as_umoci_and_proot_take_them(tmp_path: Path) -> None:
    noting = AS_USER._replace(owner_notes=True)

    written = write(
        tmp_path / "t",
        file(b"a", uid=1000, gid=0),
        file(b"b", uid=0, gid=300),
        file(b"c", uid=0, gid=0),
        rights=noting,
    )

    if written.xattrs:
        pytest.skip("the file system has no extended attributes for users")
    name = "user.rootlesscontainers"
    assert os.getxattr(tmp_path / "t/a", name) == b"\x08\xe8\x07\x10\xff\xff\xff\xff\x0f"
    assert os.getxattr(tmp_path / "t/b", name) == b"\x08\xff\xff\xff\xff\x0f\x10\xac\x02"
    assert name not in os.listxattr(tmp_path / "t/c")


def test_extended_attributes_are_kept_and_those_that_cannot_be_are_counted(tmp_path: Path) -> None:
    written = write(
        tmp_path / "t",
        file(b"a", mode=0o444, xattrs=((b"no.such.space", b""), (b"user.note", b"\0x"))),
    )

    if written.xattrs == 2:
        pytest.skip("the file system has no extended attributes for users")
    assert written.xattrs == 1
    assert os.getxattr(tmp_path / "t/a", "user.note") == b"\0x"


@ROOT_ONLY
def test_without_owners_a_program_has_no_capabilities_unless_they_are_wanted(
    tmp_path: Path,
) -> None:
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    ping = file(b"ping", xattrs=((b"security.capability", capability),))

    cleared = write(tmp_path / "cleared", ping, rights=AS_USER)
    kept = write(tmp_path / "kept", ping, rights=AS_USER._replace(setid=True))

    assert (cleared.xattrs, kept.xattrs) == (1, 0)
    assert os.listxattr(tmp_path / "cleared/ping") == []
    assert os.getxattr(tmp_path / "kept/ping", "security.capability") == capability


@ROOT_ONLY
def test_capabilities_survive_the_change_of_owner(tmp_path: Path) -> None:
    capability = bytes.fromhex("0100000200200000000000000000000000000000")

    write(tmp_path / "t", file(b"ping", uid=1, xattrs=((b"security.capability", capability),)))

    assert os.getxattr(tmp_path / "t/ping", "security.capability") == capability


def test_a_directory_that_its_owner_may_not_enter_is_filled_first(tmp_path: Path) -> None:
    top = tmp_path / "t"
    with opened(top) as descriptor, TreeWriter(descriptor, MINE) as writer:
        writer.add(directory(b"a", 0o000))
        writer.add(directory(b"a/b", 0o400))
        writer.add(file(b"a/b/f", 1), [b"x"])
        writer.add(directory(b"c", 0o500))
        writer.link(file(b"c/f", 1), b"a/b/f")
        writer.finish()

    assert stat.S_IMODE((top / "a").stat().st_mode) == 0
    (top / "a").chmod(0o700)
    assert stat.S_IMODE((top / "a/b").stat().st_mode) == 0o400
    (top / "a/b").chmod(0o700)
    assert (top / "a/b/f").samefile(top / "c/f")


def test_a_path_may_be_longer_than_the_system_takes(tmp_path: Path) -> None:
    names = [b"/".join([b"d"] * depth) for depth in range(1, 2400)]
    top = tmp_path / "t"
    with opened(top) as descriptor, TreeWriter(descriptor, MINE) as writer:
        for name in names:
            writer.add(directory(name))
        writer.add(file(names[-1] + b"/f", 1), [b"x"])
        writer.link(file(names[-1] + b"/g", 1), names[-1] + b"/f")
        for name in reversed(names[:100]):
            writer.add(file(name + b"/late"))
        writer.finish()

    depth = 0
    below = os.open(top, os.O_RDONLY)
    while "d" in (found := os.listdir(below)):
        assert (os.stat("d", dir_fd=below).st_mtime_ns) == MTIME
        assert ("late" in found) == (0 < depth <= 100)
        deeper = os.open("d", os.O_RDONLY, dir_fd=below)
        os.close(below)
        below, depth = deeper, depth + 1
    assert (depth, sorted(found)) == (2399, ["f", "g"])
    os.close(below)
    with opened(top) as descriptor:
        empty_directory(descriptor)
    assert seen(top) == {}


def test_no_more_than_some_directories_are_open_at_a_time(tmp_path: Path) -> None:
    most, before = 0, len(os.listdir("/proc/self/fd"))
    with opened(tmp_path / "t") as descriptor, TreeWriter(descriptor, MINE) as writer:
        for depth in range(1, 400):
            writer.add(directory(b"/".join([b"d"] * depth)))
            most = max(most, len(os.listdir("/proc/self/fd")))
        writer.finish()

    assert most - before <= 64 + 4  # the first directory, its descriptor here, and one being opened


# What is there already


def test_nothing_that_is_there_is_replaced_unless_that_is_wanted(tmp_path: Path) -> None:
    top = tmp_path / "t"
    top.mkdir()
    (top / "a").write_bytes(b"mine")

    with pytest.raises(StorageError, match='cannot write "/a": the file system takes it for'):
        write(top, (file(b"a", 6), b"theirs"))
    assert (top / "a").read_bytes() == b"mine"


def test_over_a_tree_files_replace_files_and_directories_keep_what_they_have(
    tmp_path: Path,
) -> None:
    top = tmp_path / "t"
    (top / "d").mkdir(parents=True)
    (top / "d/kept").write_bytes(b"kept")
    (top / "d/f").write_bytes(b"old")
    (top / "link").symlink_to("d")
    (top / "plain").write_bytes(b"")

    write(
        top,
        directory(b"d", 0o711),
        (file(b"d/f", 3, 0o600), b"new"),
        directory(b"link"),
        symlink(b"plain", b"d"),
        over=True,
    )

    assert seen(top) == {
        "d": "directory 711",
        "d/kept": "file 644",
        "d/f": "file 600",
        "link": "directory 755",
        "plain": "link -> d",
    }
    assert (top / "d/f").read_bytes() == b"new"


def test_over_a_tree_a_link_replaces_what_has_its_name(tmp_path: Path) -> None:
    top = tmp_path / "t"
    for _ in range(2):
        with opened(top) as descriptor, TreeWriter(descriptor, MINE, over=STAGED) as writer:
            writer.add(file(b"a", 1), [b"x"])
            writer.link(file(b"b", 1), b"a")
            writer.finish()

    assert (top / "a").samefile(top / "b")
    assert sorted(os.listdir(top)) == ["a", "b"]


def test_a_file_does_not_replace_a_directory(tmp_path: Path) -> None:
    top = tmp_path / "t"
    (top / "a").mkdir(parents=True)

    with pytest.raises(StorageError, match='cannot write "/a": is a directory'):
        write(top, file(b"a"), over=True)
    assert seen(top) == {"a": "directory 755"}


def test_a_file_that_is_replaced_is_the_old_one_until_the_new_one_is_whole(tmp_path: Path) -> None:
    top = tmp_path / "t"
    top.mkdir()
    (top / "a").write_bytes(b"old")

    def torn() -> Iterator[bytes]:
        yield b"new"
        assert (top / "a").read_bytes() == b"old"
        raise KeyboardInterrupt

    with (
        opened(top) as descriptor,
        TreeWriter(descriptor, MINE, over=STAGED) as writer,
        pytest.raises(KeyboardInterrupt),
    ):
        writer.add(file(b"a", 6), torn())
    assert (top / "a").read_bytes() == b"old"
    assert os.listdir(top) == ["a"]


# What hostile trees try


def test_nothing_is_written_through_a_link_of_the_tree(tmp_path: Path, outside: Path) -> None:
    with pytest.raises((Refused, StorageError)):
        write(tmp_path / "t", symlink(b"a", os.fsencode(outside)), file(b"a/evil"))


@pytest.mark.parametrize("over", [False, True])
def test_nothing_is_written_through_a_link_that_is_there(
    tmp_path: Path, outside: Path, *, over: bool
) -> None:
    top = tmp_path / "t"
    top.mkdir()
    (top / "a").symlink_to(outside)
    (top / "b").symlink_to(outside / "kept")

    try:
        write(
            top,
            directory(b"a"),
            file(b"a/evil"),
            (file(b"b", 4), b"evil"),
            over=over,
        )
    except StorageError:
        assert not over
    else:
        assert seen(top) == {"a": "directory 755", "a/evil": "file 644", "b": "file 644"}


def test_a_hard_link_leads_to_a_file_of_the_tree_alone(tmp_path: Path, outside: Path) -> None:
    top = tmp_path / "t"
    top.mkdir()
    (top / "out").symlink_to(outside)
    with opened(top) as descriptor, TreeWriter(descriptor, MINE, over=STAGED) as writer:
        for target in (b"out/kept", b"../outside/kept", os.fsencode(outside / "kept")):
            with pytest.raises((Refused, StorageError)):
                writer.link(file(b"evil"), target)

    assert (outside / "kept").stat().st_nlink == 1


@pytest.mark.parametrize("name", [b"../evil", b"a/../../evil", b"//evil", b"a//evil", b"./evil"])
def test_a_name_that_is_not_normal_is_refused(tmp_path: Path, outside: Path, name: bytes) -> None:
    with pytest.raises((Refused, StorageError)):
        write(tmp_path / "t", directory(b"a"), file(name))
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("name", [b"..", b".", b"a/..", b"a/."])
@pytest.mark.parametrize("kind", [directory, file])
def test_a_name_that_leads_elsewhere_is_refused_over_a_tree_too(
    tmp_path: Path, outside: Path, name: bytes, kind: Callable[[bytes], FileEntry]
) -> None:
    mode = tmp_path.stat().st_mode

    with pytest.raises(Refused, match="a file cannot have the name"):
        write(tmp_path / "t", directory(b"a"), kind(name), over=True)
    assert tmp_path.stat().st_mode == mode


def test_a_directory_that_becomes_a_link_meanwhile_is_not_followed(
    tmp_path: Path, outside: Path
) -> None:
    top = tmp_path / "t"

    def swapped() -> Iterator[bytes]:
        (top / "a").rename(top / "moved")
        (top / "a").symlink_to(outside)
        yield b"x"

    with opened(top) as descriptor, TreeWriter(descriptor, MINE) as writer:
        writer.add(directory(b"a", 0o777))
        writer.add(file(b"a/f", 1), swapped())
        writer.add(file(b"a/g", 1), [b"y"])
        writer.finish()

    assert sorted(os.listdir(top / "moved")) == ["f", "g"]


@pytest.mark.parametrize("opening", [0, 1])
def test_a_directory_that_becomes_a_link_right_before_it_is_opened_is_not_followed(
    tmp_path: Path, outside: Path, opening: int
) -> None:
    top, opens = tmp_path / "t", count()
    (top / "a").mkdir(parents=True)
    mode = outside.stat().st_mode
    outside.chmod(0o500)  # what the owner may not write is opened up, in the tree

    def exchange(_frame: object, event: str, called: object) -> None:
        if event == "c_call" and called is os.open and next(opens) == opening:
            (top / "a").rename(top / "moved")
            (top / "a").symlink_to(outside)

    with opened(top) as descriptor, TreeWriter(descriptor, MINE, over=STAGED) as writer:
        sys.setprofile(exchange)
        try:
            with pytest.raises(StorageError, match="cannot write"):
                writer.add(directory(b"a", 0o777))
        finally:
            sys.setprofile(None)

    assert (top / "moved").is_dir()
    assert stat.S_IMODE(outside.stat().st_mode) == 0o500
    outside.chmod(mode)


def test_a_directory_that_is_moved_away_does_not_lead_to_another_place(
    tmp_path: Path, outside: Path
) -> None:
    top = tmp_path / "t"
    names = [b"/".join([b"d"] * depth) for depth in range(1, 80)]
    with opened(top) as descriptor, TreeWriter(descriptor, MINE) as writer:
        for name in names:
            writer.add(directory(name))
        (top / "d/d/d").rename(tmp_path / "away")

        with pytest.raises(StorageError, match="moved meanwhile"):
            writer.finish()


def test_a_number_that_no_system_has_is_one_line(tmp_path: Path) -> None:
    for entry in (
        file(b"a", uid=1 << 40),
        file(b"a", gid=0xFFFFFFFF),
        file(b"a", uid=-1),
    ):
        with pytest.raises(Refused, match='cannot write "/a"'):
            write(tmp_path / "t", entry, rights=AS_ROOT)
        (tmp_path / "t/a").unlink()


@pytest.mark.parametrize("mtime", [1 << 70, -(1 << 70), (1 << 63) - 1, -(1 << 63)])
def test_a_time_past_what_the_system_has_becomes_the_nearest(tmp_path: Path, mtime: int) -> None:
    write(tmp_path / "t", file(b"a", mtime=mtime), symlink(b"l", b"x", mtime=mtime))

    assert (tmp_path / "t/a").exists()


def test_a_name_that_is_too_long_for_the_file_system_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="file name too long") as caught:
        write(tmp_path / "t", file(b"x" * 256))
    assert "\n" not in str(caught.value)


def test_a_file_larger_than_the_file_system_takes_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match='cannot write "/s": '):
        write(tmp_path / "t", file(b"s", (1 << 63) - 1, extents=()))


def test_a_control_character_of_a_name_is_not_in_the_message(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        write(tmp_path / "t", file(b"\x1b[2J" + b"x" * 256))
    assert "\x1b" not in str(caught.value)


def test_what_a_killed_process_has_left_of_a_file_goes(tmp_path: Path) -> None:
    top = tmp_path / "t"
    top.mkdir()
    (top / os.fsdecode(STAGED)).write_bytes(b"half")

    write(top, (file(b"a", 1), b"x"), symlink(b"b", b"a"), over=True)

    assert seen(top) == {"a": "file 644", "b": "link -> a"}


def test_over_a_tree_a_file_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    names = []

    def content() -> Iterable[bytes]:
        names.append(os.listdir(tmp_path / "t"))
        yield b"x"

    with (
        opened(tmp_path / "t") as descriptor,
        TreeWriter(descriptor, MINE, over=STAGED) as writer,
    ):
        writer.add(file(b"a", 1), content())
        writer.finish()

    assert names == [[".staged"]]
    assert os.listdir(tmp_path / "t") == ["a"]


def test_a_directory_is_its_owner_s_alone_while_it_is_filled(tmp_path: Path) -> None:
    seen_modes = []

    def content() -> Iterable[bytes]:
        seen_modes.append(stat.S_IMODE((tmp_path / "t/d").stat().st_mode))
        yield b"x"

    with opened(tmp_path / "t") as descriptor, TreeWriter(descriptor, MINE) as writer:
        writer.add(directory(b"d", 0o777))
        writer.add(file(b"d/f", 1), content())
        writer.finish()

    assert seen_modes == [0o700]
