"""A directory that is being written cannot be taken for a whole one, and is written again."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from casstore.errors import NotFound, Refused, StorageError
from casstore.files.partialtree import MARKER, PartialTree
from tests.files.describing import seen

MARK = MARKER.decode()


def fill(place: PartialTree, name: str = "a") -> None:
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=place.descriptor))


def killed(path: Path, what: str = "image 1", *, force: bool = False, name: str = "half") -> None:
    """A process that is killed while it writes there."""
    child = os.fork()
    if child == 0:
        with PartialTree(str(path), what, force=force) as place:
            fill(place, name)
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_directory_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a tree"

    with PartialTree(str(path), "image 1") as place:
        fill(place)
        assert not path.exists()
        assert [one.split("-")[:2] for one in os.listdir(tmp_path)] == [
            ["a tree.casstore", "partial"]
        ]
        assert stat.S_IMODE(os.fstat(place.descriptor).st_mode) == 0o700
        place.prepare()

    assert seen(tmp_path) == {"a tree": "directory 755", "a tree/a": "file 644"}


def test_an_empty_directory_is_replaced_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.mkdir()
    path.chmod(0o2770)

    with PartialTree(str(path), "image 1") as place:
        fill(place)
        assert os.listdir(path) == []
        place.prepare()

    assert seen(tmp_path) == {"t": "directory 2770", "t/a": "file 644"}


def test_a_link_to_an_empty_directory_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "t").symlink_to("real")

    with PartialTree(str(tmp_path / "t"), "image 1") as place:
        fill(place)

    assert (tmp_path / "t").is_symlink()
    assert os.listdir(tmp_path / "real") == ["a"]


def interrupted(path: Path, name: str, *, force: bool = False) -> None:
    """Somebody presses Ctrl-C while it is written."""
    place = PartialTree(str(path), "image 1", force=force).__enter__()
    os.mkdir("closed", 0o000, dir_fd=place.descriptor)
    fill(place, name)
    place.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()

    interrupted(tmp_path / "t", "half")

    assert seen(tmp_path) == {"t": "directory 755"}


def test_an_interruption_after_the_rename_leaves_the_whole_tree(tmp_path: Path) -> None:
    place = PartialTree(str(tmp_path / "t"), "image 1").__enter__()
    fill(place)
    (staging,) = tmp_path.iterdir()
    staging.rename(tmp_path / "t")
    place.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)

    assert os.listdir(tmp_path / "t") == ["a"]


def test_what_a_killed_process_has_left_says_so_and_goes_next_time(tmp_path: Path) -> None:
    killed(tmp_path / "t")
    (left,) = os.listdir(tmp_path)
    assert left.startswith("t.casstore-partial-")

    with PartialTree(str(tmp_path / "t"), "image 2") as place:
        fill(place)

    assert sorted(seen(tmp_path)) == ["t", "t/a"]


def test_what_a_killed_process_has_left_goes_whatever_stands_beside_it(tmp_path: Path) -> None:
    for number in range(20):  # some are listed before it, some after
        killed(tmp_path / "t", name=f"half-{number}")
        os.rename(*(tmp_path / name for name in (*_partial(tmp_path), f"kept-{number}")))
    for number in range(20):
        os.rename(tmp_path / f"kept-{number}", tmp_path / f"t.casstore-partial-{number}")
        (tmp_path / f"other-{number}").write_bytes(b"")
        (tmp_path / f"t.casstore-partial-file-{number}").write_bytes(b"")

    with PartialTree(str(tmp_path / "t"), "image 1"):
        pass

    assert [one.name for one in tmp_path.iterdir() if one.is_dir()] == ["t"]


def _partial(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith("t.casstore-partial-")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_directory_that_is_replaced_keeps_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.mkdir()
    os.chown(path, 1000, 1001)

    with PartialTree(str(path), "image 1") as place:
        place.prepare()

    assert (path.stat().st_uid, path.stat().st_gid) == (1000, 1001)


@pytest.mark.parametrize("force", [False, True])
def test_what_cannot_begin_leaves_nothing_open(tmp_path: Path, *, force: bool) -> None:
    path = tmp_path / "t"
    path.mkdir()
    if force:
        (path / MARK).mkdir()
    else:
        path.rmdir()
        path = Path("/proc/self/t")
    before = sorted(os.listdir("/proc/self/fd"))

    with pytest.raises(StorageError), PartialTree(str(path), "image 1", force=force):
        pass

    assert sorted(os.listdir("/proc/self/fd")) == before


def test_what_another_process_is_writing_is_left_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "t")
    one = PartialTree(path, "image 1").__enter__()
    fill(one)
    with PartialTree(path, "image 1") as other:
        fill(other, "b")

    with pytest.raises(Refused, match="has come into being"):
        one.__exit__(None, None, None)

    assert sorted(seen(tmp_path)) == ["t", "t/b"]


def test_what_only_looks_like_a_left_over_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "t.casstore-partial-1").symlink_to(tmp_path / "kept")
    (tmp_path / "t.casstore-partial-2").write_bytes(b"")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_bytes(b"")

    with PartialTree(str(tmp_path / "t"), "image 1") as place:
        fill(place)

    assert sorted(seen(tmp_path)) == [
        "kept", "kept/file", "t", "t.casstore-partial-1", "t.casstore-partial-2", "t/a",
    ]  # fmt: skip


def test_a_long_name_leaves_room_for_the_other(tmp_path: Path) -> None:
    with PartialTree(str(tmp_path / ("x" * 255)), "image 1") as place:
        fill(place)

    assert os.listdir(tmp_path) == ["x" * 255]


# In place


def test_a_directory_that_has_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")

    with pytest.raises(Refused, match="is not empty; --force writes into it"):
        PartialTree(str(tmp_path), "image 1")
    assert os.listdir(tmp_path) == ["a"]


def test_by_force_a_directory_that_has_files_is_marked_while_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"")
    os.utime(tmp_path, ns=(1, 1))

    with PartialTree(str(tmp_path), "image 1", force=True) as place:
        fill(place)
        assert place.in_place
        assert (tmp_path / MARK).read_text().splitlines() == [
            "image 1",
            "This directory is not complete. The same command again completes it.",
        ]
        os.utime(place.descriptor, ns=(2, 2))

    assert sorted(os.listdir(tmp_path)) == ["a", "mine"]
    assert tmp_path.stat().st_mtime_ns == 2  # as it was written, and not as the mark went


@pytest.mark.parametrize("end", ["fails", "is killed"])
def test_a_directory_that_was_written_in_place_stays_marked_where_that(
    tmp_path: Path, end: str
) -> None:
    (tmp_path / "mine").write_bytes(b"")
    if end == "is killed":
        killed(tmp_path, force=True)
    else:
        interrupted(tmp_path, "half", force=True)
        (tmp_path / "closed").rmdir()
    assert sorted(os.listdir(tmp_path)) == [MARK, "half", "mine"]

    with pytest.raises(Refused, match=r'holds a part of something else \("image 1"\): empty it'):
        PartialTree(str(tmp_path), "image 2")
    with PartialTree(str(tmp_path), "image 1") as place:
        fill(place, "half")
    assert sorted(os.listdir(tmp_path)) == ["half", "mine"]


def test_the_working_directory_is_written_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with PartialTree(".", "image 1") as place:
        fill(place)
        assert place.in_place

    assert os.listdir() == ["a"]  # of the directory that the process is in


def test_a_mark_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    top = tmp_path / "t"
    top.mkdir()
    (tmp_path / "kept").write_text("image 1\n")
    (top / MARK).symlink_to(tmp_path / "kept")

    with pytest.raises(Refused, match="is not empty"):
        PartialTree(str(top), "image 1")
    with PartialTree(str(top), "image 1", force=True) as place:
        fill(place)
    assert (tmp_path / "kept").read_text() == "image 1\n"


def test_two_processes_do_not_write_to_one_directory(tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"")

    with (
        PartialTree(str(tmp_path), "image 1", force=True),
        pytest.raises(Refused, match="another process is writing"),
        PartialTree(str(tmp_path), "image 1", force=True),
    ):
        pass


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    """An empty directory that is a mount point."""
    path = tmp_path / "m"
    path.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs root and mount")
    return path


def test_a_mount_point_is_written_in_place(mounted: Path) -> None:
    script = (
        "import sys; from casstore.files.partialtree import PartialTree\n"
        "with PartialTree(sys.argv[1], 'image 1') as place:\n"
        "    open(sys.argv[1] + '/a', 'w').close()\n"
        "    print(place.in_place)\n"
        "import os; print(os.listdir(sys.argv[1]))\n"
    )
    command = 'mount -t tmpfs tmpfs "$1" && exec "$2" -c "$3" "$1"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", command, "sh", mounted, sys.executable, script],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip("nothing can be mounted here")
    assert done.stdout.splitlines() == ["True", "['a']"], done.stderr


# What cannot be


def test_without_the_directory_above_it_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no directory"):
        PartialTree(str(tmp_path / "no" / "t"), "image 1")
    assert os.listdir(tmp_path) == []


def test_what_is_above_it_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(StorageError, match="not a directory"):
        PartialTree(str(tmp_path / "file" / "t"), "image 1")


def test_a_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"mine")

    with pytest.raises(Refused, match="is not a directory"):
        PartialTree(str(tmp_path / "t"), "image 1", force=True)


def test_where_nothing_may_be_written_there_is_one_line(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        target = "/proc/sys/t"
    else:
        tmp_path.chmod(0o555)
        target = str(tmp_path / "t")

    with (
        pytest.raises(StorageError, match="cannot write to") as caught,
        PartialTree(target, "image 1"),
    ):
        pass
    assert "\n" not in str(caught.value)
