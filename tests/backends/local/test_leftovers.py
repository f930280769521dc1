"""What dead loads leave in ingest/: rubbish goes at once, parts have a day, the living keep all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from casstore.backends.local import leftovers
from casstore.backends.local.leftovers import (
    measure,
    put_parts_to_rest,
    remove_leftovers,
    rescue_dead,
)
from casstore.backends.local.tokens import Token
from casstore.backends.resting import REST_SECONDS

NOW = 2_000_000_000
PARTS = [f"part-{digit * 64}" for digit in "0123456789abcdef"]


@pytest.fixture
def area(tmp_path: Path) -> Path:
    (tmp_path / "ingest").mkdir()
    return tmp_path / "ingest"


def load(area: Path, name: str, **files: int) -> Path:
    """The directory of a load whose process has died, with files of so many bytes."""
    (area / f"{name}.lock").touch()
    (area / name).mkdir()
    for file, size in files.items():
        (area / name / file).write_bytes(name[-1:].encode() * size)
    return area / name


@contextmanager
def living(area: Path, **files: int) -> Iterator[Path]:
    """The directory of a load whose process lives."""
    token = Token(str(area), "load")
    directory = area / token.name
    directory.mkdir()
    for file, size in files.items():
        (directory / file).write_bytes(bytes(size))
    yield directory
    token.release()


def found(area: Path) -> list[str]:
    return [os.path.relpath(path, area) for path in leftovers.leftovers(str(area.parent))]


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


# What is left over


def test_what_no_live_process_holds_is_left_over_and_comes_by_name(area: Path) -> None:
    for name in ("load-c", "load-a", "load-b"):
        load(area, name, draft=1)
    (area / "stray").touch()
    (area / "lost+found").mkdir()
    with living(area, draft=1):
        assert found(area) == [
            *(f"load-{letter}{end}" for letter in "abc" for end in ("", ".lock")), "stray"
        ]  # fmt: skip


def test_in_a_store_without_ingest_nothing_is_left_over(tmp_path: Path) -> None:
    assert leftovers.leftovers(str(tmp_path)) == []
    assert remove_leftovers(str(tmp_path)) == (0, 0)


@pytest.mark.parametrize(
    ("name", "age", "kept"),
    [
        (PARTS[0], 0, True),
        (PARTS[0], REST_SECONDS - 1, True),
        (PARTS[0], REST_SECONDS, False),
        ("part-of-something", 0, False),
        ("upload-" + "0" * 32, REST_SECONDS - 1, True),
        ("upload-" + "0" * 32, REST_SECONDS, False),
        ("upload-" + "0" * 64, 0, False),
        ("blob-" + "0" * 64, REST_SECONDS - 1, True),
        ("blob-" + "0" * 64, REST_SECONDS, False),
        ("blob-" + "0" * 32, 0, False),
        ("a" * 64, 0, False),
        ("a" * (64 + len("part-")), 0, False),
    ],
)
def test_what_is_at_rest_has_a_day_and_nothing_else_has(
    area: Path, monkeypatch: pytest.MonkeyPatch, name: str, age: float, *, kept: bool
) -> None:
    monkeypatch.setattr(leftovers, "current_time", lambda: NOW * 10**9)
    (area / name).touch()
    os.utime(area / name, (NOW - age, NOW - age))

    assert found(area) == ([] if kept else [name])


def test_a_part_that_a_load_takes_meanwhile_is_not_left_over(
    area: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "listdir", lambda _: [PARTS[0]])

    assert found(area) == []


# Removing it


def test_what_is_counted_beforehand_goes_and_what_lives_stays(area: Path) -> None:
    load(area, "load-1", draft=10, other=200)
    load(area, "load-2", draft=3000)
    (area / "stray").write_bytes(bytes(40000))
    (area / "elsewhere").symlink_to(area.parent)
    (area.parent / "blob").write_bytes(bytes(500000))
    os.link(area.parent / "blob", area / "load-2" / "pinned")
    counted = [measure(path) for path in leftovers.leftovers(str(area.parent))]
    link = (area / "elsewhere").lstat().st_size
    before = open_files()

    with living(area, draft=1) as directory:
        gone = remove_leftovers(str(area.parent))

        assert sorted(os.listdir(area)) == sorted([directory.name, f"{directory.name}.lock"])
        assert os.listdir(directory) == ["draft"]
    assert gone == (8, 43210 + link)
    assert gone == (sum(files for files, _ in counted), sum(size for _, size in counted))
    assert open_files() == before
    assert (area.parent / "blob").stat().st_size == 500000


def test_what_has_gone_counts_for_nothing(area: Path) -> None:
    assert measure(str(area / "none")) == (0, 0)


def test_a_load_that_comes_to_life_meanwhile_keeps_no_other_from_going(
    area: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(area, "load-z", draft=1)
    with living(area, draft=1) as directory:
        seen = [str(directory), str(area / "load-z")]
        monkeypatch.setattr(leftovers, "leftovers", lambda _: seen)

        assert remove_leftovers(str(area.parent)) == (2, 1)
        assert os.listdir(directory) == ["draft"]


def test_the_parts_of_a_dead_load_come_to_rest_and_are_not_counted(area: Path) -> None:
    load(area, "load-1", draft=10, **{PARTS[0]: 70})
    counted = sum(size for _, size in map(measure, leftovers.leftovers(str(area.parent))))

    assert remove_leftovers(str(area.parent)) == (2, 10) and counted == 10
    assert os.listdir(area) == [PARTS[0]]
    assert (area / PARTS[0]).stat().st_size == 70


# Parts


def test_of_two_parts_of_a_blob_the_one_that_came_further_stays(area: Path) -> None:
    sizes = dict(zip(PARTS, (4, 6, 5, 6) * 4, strict=True))
    for part in PARTS[:-1]:
        (area / part).write_bytes(b"r" * 5)
    directory = load(area, "load-m", **sizes, draft=1)

    put_parts_to_rest(str(directory), str(area))

    now = [(area / part).read_bytes() for part in PARTS]
    assert now == [b"r" * 5, b"m" * 6] * 8
    assert sorted(os.listdir(directory)) == ["draft", *PARTS[::2]]


def test_a_load_that_has_no_directory_has_no_parts(area: Path) -> None:
    put_parts_to_rest(str(area / "none"), str(area))

    assert os.listdir(area) == []


def test_only_the_dead_are_robbed_of_their_parts(area: Path) -> None:
    load(area, "load-0-first", **{PARTS[0]: 7})
    (area / "load-1.lock").touch()  # it died before it had a directory
    (area / "load-2.lock").touch()
    (area / "load-2").touch()  # what no load makes
    load(area, "load-zlast", **{PARTS[1]: 8})
    before = open_files()

    with living(area, **{PARTS[2]: 9}) as directory:
        rescue_dead(str(area))

        assert sorted(name for name in os.listdir(area) if name.startswith("part")) == PARTS[:2]
        assert os.listdir(directory) == [PARTS[2]]
    assert open_files() == before
