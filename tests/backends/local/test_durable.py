"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from casstore.files import durable
from casstore.files.newfile import create_file
from casstore.files.output import replace_output


def test_a_replaced_file_has_the_new_content_and_leaves_no_staging(tmp_path: Path) -> None:
    target, staging = tmp_path / "target", tmp_path / "staging"
    target.write_bytes(b"old")
    with durable.replace_file(str(target), str(staging)) as new:
        new.file.write(b"new")
        assert target.read_bytes() == b"old"

    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["target"]


def test_a_replacement_that_fails_leaves_the_old_file_and_no_staging(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"old")

    replacement = durable.replace_file(str(target), str(tmp_path / "staging"))
    replacement.file.write(b"new")
    replacement.__exit__(ValueError, ValueError(), None)

    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["target"]


def test_staging_follows_no_symbolic_link(tmp_path: Path) -> None:
    victim, staging = tmp_path / "victim", tmp_path / "staging"
    victim.write_bytes(b"precious")
    staging.symlink_to(victim)

    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        durable.replace_file(str(tmp_path / "target"), str(staging))

    assert victim.read_bytes() == b"precious"


def test_content_is_flushed_before_its_name_appears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    fsync, rename = os.fsync, os.rename

    def noted_fsync(fd: int) -> None:
        steps.append("fsync")
        fsync(fd)

    def noted_rename(old: str, new: str) -> None:
        steps.append("rename")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "rename", noted_rename)

    with durable.replace_file(str(tmp_path / "target"), str(tmp_path / "staging")) as new:
        new.file.write(b"new")

    assert steps == ["fsync", "rename", "fsync"]


def test_published_names_are_flushed_once_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(durable, "sync_directory", flushed.append)
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()

    durable.publish([(str(tmp_path / n), str(tmp_path / (n * 2))) for n in "ab"], str(tmp_path))

    assert flushed == [str(tmp_path)]
    assert sorted(os.listdir(tmp_path)) == ["aa", "bb"]


def test_a_thousand_files_are_flushed_with_few_of_them_open(tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(1000)]
    for path in paths:
        path.touch()
    before = len(os.listdir("/proc/self/fd"))

    durable.sync_files(map(str, paths))

    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("waiting", [-1.0, 1e9], ids=["a slow disk", "a fast disk"])
def test_each_file_is_flushed_once_and_a_failure_among_many_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waiting: float
) -> None:
    monkeypatch.setattr(durable, "_WAITING", waiting)
    paths = [str(tmp_path / str(number)) for number in range(100)]
    for path in paths:
        Path(path).touch()
    flushed: list[str] = []

    def flush(descriptor: int) -> None:
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        flushed.append(name)
        if name == failing:
            raise OSError(errno.EIO, "a bad sector")

    monkeypatch.setattr(os, "fsync", flush)
    failing = ""
    durable.sync_files(paths)
    assert sorted(flushed) == sorted(paths)

    failing = paths[60]
    opened = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="a bad sector"):
        durable.sync_files(paths)
    assert len(os.listdir("/proc/self/fd")) == opened


def test_sharing_gives_a_second_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")

    assert durable.share(str(tmp_path / "a"), str(tmp_path / "b"))
    assert (tmp_path / "a").samefile(tmp_path / "b")


def test_an_error_is_one_line_with_the_reason() -> None:
    full = OSError(errno.ENOSPC, "whatever")

    assert str(durable.storage_error(full, "cannot load")) == (
        "cannot load: no space left on device"
    )


def test_a_read_only_file_system_is_called_a_read_only_store() -> None:
    error = durable.storage_error(OSError(errno.EROFS, "x"), "cannot load")

    assert str(error) == "cannot load: the store is read-only"


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
def test_a_new_file_has_its_mode_and_leaves_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(durable, "share", lambda _source, _target: False)
    create_file(str(tmp_path / "key"), b"secret", 0o600)

    assert os.listdir(tmp_path) == ["key"]
    assert (tmp_path / "key").read_bytes() == b"secret"
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
@pytest.mark.parametrize("dangling", [True, False], ids=["a link to nothing", "a file"])
def test_a_new_file_never_replaces_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, links: bool, dangling: bool
) -> None:
    if not links:
        monkeypatch.setattr(durable, "share", lambda _source, _target: False)
    if dangling:
        (tmp_path / "key").symlink_to("nowhere")
    else:
        (tmp_path / "key").write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        create_file(str(tmp_path / "key"), b"secret", 0o600)

    assert os.listdir(tmp_path) == ["key"]
    assert dangling or (tmp_path / "key").read_bytes() == b"precious"


def test_an_output_has_no_name_before_it_is_complete(tmp_path: Path) -> None:
    with replace_output(str(tmp_path / "target")) as new:
        new.file.write(b"new")
        new.file.flush()
        assert os.listdir(tmp_path) == []

    assert (tmp_path / "target").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["target"]


def test_an_output_takes_the_place_of_a_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"old")
    with replace_output(str(target), 0o600) as new:
        new.file.write(b"new")
        assert target.read_bytes() == b"old"

    assert (target.read_bytes(), stat.S_IMODE(target.stat().st_mode)) == (b"new", 0o600)
    assert os.listdir(tmp_path) == ["target"]


def test_an_output_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    new = replace_output(str(tmp_path / "target"))
    new.file.write(b"new")
    new.__exit__(ValueError, ValueError(), None)

    assert (tmp_path / "target").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["target"]


@pytest.mark.parametrize("lacks", ["unnamed files", "links"])
def test_an_output_is_written_where_the_file_system_can_do_less(
    lacks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def named_only(path: str, flags: int, *rest: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return real(path, flags, *rest)

    def no_link(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if lacks == "links":
        monkeypatch.setattr(os, "link", no_link)
    else:
        monkeypatch.setattr(os, "open", named_only)
    with replace_output(str(tmp_path / "target")) as new:
        new.file.write(b"new")

    assert (tmp_path / "target").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["target"]


@pytest.fixture
def another_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[IO[bytes]]:
    """A new file of root's, in a directory of another user."""
    owner = os.stat(tmp_path)
    above = os.stat_result((*owner[:4], 4711, *owner[5:10]))
    with (tmp_path / "file").open("wb") as file, monkeypatch.context() as patched:
        patched.setattr(os, "geteuid", lambda: 0)
        patched.setattr(os, "stat", lambda _: above)
        yield file


@pytest.mark.parametrize("names", [1, 2])
def test_what_root_makes_in_another_user_s_directory_is_that_user_s_unless_it_has_another_name(
    another_s: IO[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: int
) -> None:
    given = []
    monkeypatch.setattr(os, "fchown", lambda _, user, group: given.append((user, group)))
    if names == 2:
        os.link(another_s.name, tmp_path / "other")

    durable.share_with_group(another_s.fileno(), another_s.name)

    assert given == [(4711, -1)] * (names == 1)


def test_a_root_that_may_not_give_files_away_goes_on(
    another_s: IO[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)

    durable.share_with_group(another_s.fileno(), another_s.name)

    assert os.fstat(another_s.fileno()).st_nlink == 1
