"""Whatever a power cut leaves on the disk, the store is whole; after exit status 0 nothing is lost.

Here some of the states of some commands; `tools/torture powercut` tries all of them.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import pytest

from tests.crash.planting import EXCHANGED, UNSYNCED, Bug, plant
from tests.crash.powercut import SEQUENCES, Cut, Disk, PowerCut
from tests.crash.recording import Entry, Files, Sync, Write
from tests.crash.scenarios import named

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
MOMENTS = 3
SAMPLE = 6
COMMANDS = (
    "load into nothing", "load beside", "tag that moves", "rmi", "prune of all", "import",
    "save of a large image", "save to a layout", "fsck --repair of a blob",
    "fsck --rebuild after a command", "rmi without its database", "restore in a store of version 3",
)  # fmt: skip


def sample(recorded: PowerCut) -> Iterator[Cut]:
    """Some of the states, the last with all done among them; never all of them in memory."""
    count = sum(1 for _ in recorded.cuts(MOMENTS))
    chance = random.Random(1)  # noqa: S311 - the same ones each time
    chosen = {*chance.sample(range(count), min(SAMPLE, count)), count - 1}
    return (cut for number, cut in enumerate(recorded.cuts(MOMENTS)) if number in chosen)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_power_cut_leaves_the_state_before_or_after(name: str, tmp_path: Path) -> None:
    recorded = PowerCut(named(name), tmp_path)
    for cut in sample(recorded):
        assert recorded.problem(cut) == "", recorded.describe(cut)


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_power_cut_in_a_sequence_leaves_what_was_finished(name: str, tmp_path: Path) -> None:
    recorded = SEQUENCES[name](tmp_path)
    for cut in sample(recorded):
        assert recorded.problem(cut) == "", recorded.describe(cut)


def test_a_commit_that_was_not_synced_is_synced_before_anything_follows_from_it(
    tmp_path: Path,
) -> None:
    recorded = SEQUENCES["rmi killed at its commit, tag"](tmp_path)
    for cut in islice(recorded.cuts(), None, None, 8):
        assert recorded.problem(cut) == "", recorded.describe(cut)


@pytest.mark.parametrize("bug", [*UNSYNCED, *EXCHANGED], ids=lambda bug: bug.name)
def test_the_model_finds_a_sync_that_is_missing_and_steps_exchanged(
    bug: Bug, tmp_path: Path
) -> None:
    environment = plant(bug, tmp_path)
    recorded = PowerCut(named(bug.scenario), tmp_path / "bench", environment=environment)

    # Every eleventh state first: most bugs show in many, and none is looked at twice for long.
    some = islice(recorded.cuts(30), 5, None, 11)
    assert any(recorded.problem(cut) for cut in chain(some, recorded.cuts(30)))


def states(*operations: Write | Entry | Sync) -> set[tuple[tuple[str, bytes | None], ...]]:
    """All that a disk may hold after the operations, on an empty folder."""
    disk = Disk(Files({}, {0: {}}))
    for number, operation in enumerate(operations):
        disk.add(number, operation)
    chance = random.Random(1)  # noqa: S311 - the same ones
    return {tuple(disk.after(loss).items()) for loss in disk.losses(chance)}


def test_what_is_not_synced_may_be_there_in_part() -> None:
    assert states(Entry(0, "a", 1), Write(1, 0, b"data")) == {
        (),
        (("a", b""),),
        (("a", b"data"),),
        (("a", b"da"),),
        (("a", b"\0\0\0\0"),),
    }


def test_data_that_is_synced_may_be_without_its_name() -> None:
    assert states(Entry(0, "a", 1), Write(1, 0, b"data"), Sync(1)) == {(), (("a", b"data"),)}


def test_a_name_that_is_synced_may_be_without_its_data() -> None:
    found = states(Entry(0, "a", 1), Write(1, 0, b"data"), Sync(0))

    assert () not in found
    assert (("a", b""),) in found


def test_a_renamed_file_is_never_without_any_name() -> None:
    made = (Entry(0, "a", 1), Write(1, 0, b"data"), Sync(1), Sync(0))
    found = states(*made, Entry(0, "b", 1), Entry(0, "a", None, half=True))

    assert found == {
        (("a", b"data"),),
        (("b", b"data"),),
        (("a", b"data"), ("b", b"data")),
    }
