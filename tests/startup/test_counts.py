"""What everyday commands take, in numbers that no machine changes: one more fails here.

A number that grows needs a reason, and one that shrinks is noted here. The store is one in daily
use: its log has been there for long, and holds changes.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from casstore import Store
from casstore.startup.imports import ROOMS
from tests.architecture.sources import ROOT
from tests.startup import counting

ARCHIVES = ROOT / "fixtures" / "images" / "docker-save"
LOG = "casstore.db-wal"
PUBLISHED = [LOG, "ingest/index.json", "."]


class Cost(NamedTuple):
    """What a command may take."""

    statements: int
    opened: int  # files and directories of the store, by Python
    modules: int  # of casstore, that are read; a change on a tmpfs imports one more than on a disk
    calls: int  # on files of the store that are not SQLite's
    read: int  # bytes of those files
    read_of_index: int  # KiB of casstore.db and its log
    syncs: list[str]
    locked_syncs: list[str]


NONE: list[str] = []
COSTS = {
    # One statement writes the events of a change.
    "tag shop/committed:1 new:1": Cost(30, 10, 39, 74, 1755, 92, PUBLISHED, PUBLISHED[:2]),
    "rmi other:1": Cost(30, 10, 42, 78, 2781, 88, PUBLISHED, PUBLISHED[:2]),
    "rmi shop/imported:1": Cost(33, 10, 42, 78, 2874, 96, PUBLISHED, PUBLISHED[:2]),
    # The log has a page of events with each change, and is read whole by who opens it first.
    # One page says that all layers are settled. What rmi and tag do not ask stands in modules of
    # their own, of which others import two to five.
    "images": Cost(6, 2, 36, 12, 31, 60, NONE, NONE),
    "images -q": Cost(7, 2, 23, 12, 31, 52, NONE, NONE),
    "inspect shop/committed:1": Cost(14, 3, 40, 17, 1342, 84, NONE, NONE),
    "load -q -i ARCHIVE": Cost(
        84, 31, 106, 213, 6561, 112,
        [*["draft"] * 6, "blobs/sha256", *PUBLISHED], ["blobs/sha256", *PUBLISHED[:2]],
    ),
    # It empties the log: SQLite flushes that, the directory that it is in, and the database.
    # One statement, and a page, ask which layers nobody has read. One directory may have tables of
    # contents, whose module is imported to see. At its end it notes an event, in a file.
    "gc": Cost(27, 9, 77, 99, 384, 92, [LOG, ".", "casstore.db"], [LOG, ".", "casstore.db"]),
}  # fmt: skip


def words_of(command: str) -> list[str]:
    return [word.replace("ARCHIVE", str(ARCHIVES / "single.tar")) for word in command.split()]


@pytest.fixture(scope="module")
def in_use(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a log, as a command leaves it."""
    path = tmp_path_factory.mktemp("counts") / "store"
    with Store(path) as store:
        store.load(ARCHIVES / "commit.tar")
        store.tag("shop/committed:1", "other:1")
    counting.inside(path, path.with_name("report"), "tag", "shop/committed:1", "more:1")
    assert (path / LOG).stat().st_size > 0
    return path


@pytest.fixture
def store(in_use: Path, tmp_path: Path) -> Path:
    shutil.copytree(in_use, tmp_path / "store")
    return tmp_path / "store"


@pytest.mark.parametrize("command", COSTS)
def test_what_a_command_opens_and_imports(command: str, store: Path, tmp_path: Path) -> None:
    cost = COSTS[command]
    took = counting.inside(store, tmp_path / "report", *words_of(command))

    assert len(took.opened) <= cost.opened, took.opened
    read = set(took.modules).difference(f"casstore.{room}" for room in ROOMS)
    ours = sorted(name for name in read if name.partition(".")[0] == "casstore")
    assert len(ours) <= cost.modules, ours


@pytest.mark.parametrize("command", COSTS)
def test_what_a_command_asks_of_sqlite(command: str, store: Path, tmp_path: Path) -> None:
    said = counting.statements(store, tmp_path / "report", *words_of(command))

    assert len(said) == COSTS[command].statements, "\n".join(said)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("command", COSTS)
def test_what_a_command_does_to_the_disk(command: str, store: Path, tmp_path: Path) -> None:
    cost = COSTS[command]
    took = counting.outside(store, tmp_path / "trace", *words_of(command))
    syncs = ["draft" if "draft" in name else name for name in took.syncs]

    assert syncs == cost.syncs
    assert took.locked_syncs == cost.locked_syncs
    assert len(took.calls) <= cost.calls, "\n".join(took.calls)
    assert took.read_elsewhere <= cost.read
    assert took.read <= (cost.read_of_index + 4) << 10  # a page more or less is SQLite's business


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_next_command_after_blobs_have_gone_flushes_nothing_for_them(
    store: Path, tmp_path: Path
) -> None:
    counting.inside(store, tmp_path / "report", "rmi", "-f", "shop/imported:1", "other:1")
    took = counting.outside(store, tmp_path / "trace", "tag", "shop/committed:1", "new:1")

    assert (took.syncs, took.locked_syncs) == (PUBLISHED, PUBLISHED[:2])
