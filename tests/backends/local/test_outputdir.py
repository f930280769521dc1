"""An output directory: whole, or not there; and the next command for it works."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from casstore.errors import Refused
from casstore.files import durable
from casstore.files.outputdir import OutputDirectory

LAST = "oci-layout"


def fill(staging: str) -> None:
    os.mkdir(os.path.join(staging, "blobs"))
    for name in ("blobs/one", "index.json", "oci-layout"):
        Path(staging, name).write_text(name)


def write(path: Path) -> None:
    with OutputDirectory(str(path), LAST) as staging:
        fill(staging)


def killed(action: Callable[[], object]) -> None:
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def tree(path: Path) -> list[str]:
    return sorted(str(one.relative_to(path)) for one in path.rglob("*"))


WHOLE = ["blobs", "blobs/one", "index.json", "oci-layout"]


def absent(path: Path) -> None:
    pass


def empty(path: Path) -> None:
    path.mkdir(mode=0o750)


def with_a_systems_file(path: Path) -> None:
    path.mkdir()
    (path / "lost+found").mkdir()


def stop_after(calls: int, action: Callable[[], None]) -> None:
    """Do it, in a process that is killed at the call with that number to whatever makes it last."""
    left = [calls]
    places: list[tuple[object, str]] = [
        (os, "rename"), (durable, "publish"), (durable, "sync_directory"), (durable, "sync_files")
    ]  # fmt: skip
    for place, name in places:
        do = getattr(place, name)

        def counted(*words: object, do: Callable[..., object] = do) -> object:
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return do(*words)

        setattr(place, name, counted)
    action()


@pytest.mark.parametrize("there", [absent, empty, with_a_systems_file])
@pytest.mark.parametrize("calls", range(14))
def test_a_process_that_is_killed_leaves_all_or_nothing_and_the_next_one_works(
    tmp_path: Path, there: Callable[[Path], None], calls: int
) -> None:
    out = tmp_path / "out"
    there(out)
    before = tree(tmp_path)

    killed(lambda: stop_after(calls, lambda: write(out)))
    is_layout = (out / "oci-layout").exists()
    if is_layout:
        with pytest.raises(Refused, match="an empty directory"):
            write(out)
    else:
        write(out)

    strangers = [name for name in before if name != "out"]
    assert tree(tmp_path) == sorted(["out", *(f"out/{name}" for name in WHOLE), *strangers])


@pytest.mark.parametrize("calls", range(14))
def test_what_another_output_left_half_written_in_place_goes_whatever_its_parts(
    tmp_path: Path, calls: int
) -> None:
    out = tmp_path / "out"
    with_a_systems_file(out)

    def write_other() -> None:
        with OutputDirectory(str(out), "manifest.json") as staging:
            for name in ("manifest.json", "0a1b", "version"):
                Path(staging, name).write_text(name)

    killed(lambda: stop_after(calls, write_other))
    is_whole = (out / "manifest.json").exists()
    if is_whole:
        with pytest.raises(Refused, match="an empty directory"):
            write(out)
    else:
        write(out)

    parts = ["0a1b", "manifest.json", "version"] if is_whole else WHOLE
    assert tree(out) == sorted(["lost+found", *parts])


def test_a_list_that_a_stranger_left_in_the_place_removes_nothing(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root gives a directory away")
    out = tmp_path / "out"
    with_a_systems_file(out)
    killed(lambda: stop_after(8, lambda: write(out)))
    assert "index.json" in tree(out) and LAST not in tree(out)
    (planted,) = out.glob(".casstore-*")
    os.chown(planted, 1, 1)

    with pytest.raises(Refused, match="an empty directory"):
        write(out)
    assert "index.json" in tree(out)


def test_a_directory_that_is_replaced_keeps_its_mode(tmp_path: Path) -> None:
    empty(tmp_path / "out")
    write(tmp_path / "out")

    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o750


def write_and_fail(path: Path) -> None:
    with OutputDirectory(str(path), LAST) as staging:
        fill(staging)
        raise ZeroDivisionError


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        write_and_fail(tmp_path / "out")

    assert tree(tmp_path) == []


def test_what_another_process_is_writing_is_left_alone(tmp_path: Path) -> None:
    with OutputDirectory(str(tmp_path / "out"), LAST) as staging:
        fill(staging)
        second = OutputDirectory(str(tmp_path / "out"), LAST)
        fill(second.__enter__())
        assert tree(Path(staging)) == WHOLE
    with pytest.raises(Refused):
        second.__exit__(None, None, None)

    assert tree(tmp_path) == ["out", *(f"out/{name}" for name in WHOLE)]


def test_the_root_of_a_file_system_is_filled_in_place(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    if (
        os.geteuid()
        or subprocess.run(
            ["mount", "-t", "tmpfs", "none", out], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("no mount here")
    try:
        write(out)
        assert tree(out) == WHOLE
    finally:
        subprocess.run(["umount", out], check=True)


def test_what_is_not_empty_is_refused_and_stays(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "index.json").write_text("mine")
    with pytest.raises(Refused, match="an empty directory"):
        write(tmp_path / "out")

    assert tree(tmp_path) == ["out", "out/index.json"]
