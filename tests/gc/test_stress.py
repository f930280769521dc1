"""Two gc's in a loop beside loads, saves and removals: nobody fails, and the store is sound."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from casstore.store import Store
from tests.transfer.building import docker_archive, layer

SECONDS = 4

LOAD = """
import io, sys, time
from casstore.errors import NotFound
from casstore.store import Store
root, archives, end = sys.argv[1], sys.argv[2:], time.monotonic() + SECONDS
count = 0
with Store(root) as store:
    while time.monotonic() < end:
        for archive in archives:
            loaded = store.load(archive).images
            count += 1
            try:
                store.save([str(loaded[0].id)], io.BytesIO())
            except NotFound:
                pass  # gc was quicker
print(count)
"""
REMOVE = """
import sys, time
from casstore.errors import Conflict, NotFound
from casstore.store import Store
end = time.monotonic() + SECONDS
with Store(sys.argv[1]) as store:
    while time.monotonic() < end:
        for outcome in store.remove(["app:1", "other:1"]).outcomes:
            assert isinstance(outcome.error, None | NotFound | Conflict), outcome.error
        time.sleep(0.01)
"""
COLLECT = """
import sys, time
from casstore.gc import run as running
from casstore.store import Store
running.IMAGES_A_TURN = 1  # as many turns as can be
end = time.monotonic() + SECONDS
removed = 0
with Store(sys.argv[1]) as store:
    while time.monotonic() < end:
        result = store.collect({"max-used-space": "2kB", "min-age": "0s"})
        assert result.ended == "done", result.ended
        removed += len(result.removed)
print(removed)
"""


@pytest.fixture
def archives(tmp_path: Path) -> list[str]:
    """Two archives whose images share layers."""
    base, top = layer(os.urandom(200).hex()), layer(os.urandom(200).hex())
    side, other = layer(os.urandom(200).hex()), layer(os.urandom(200).hex())
    made = [
        docker_archive(
            {"layers": [base], "tags": ["base:1"]},
            {"layers": [base, top], "tags": ["app:1", "app:2"]},
        ),
        docker_archive(
            {"layers": [base, side], "tags": ["app:3"]},
            {"layers": [other], "tags": ["other:1"]},
            {"layers": [other, side]},
        ),
    ]
    paths = [tmp_path / f"{number}.tar" for number in range(len(made))]
    for path, archive in zip(paths, made, strict=True):
        path.write_bytes(archive)
    return [str(path) for path in paths]


def test_two_gcs_beside_loads_saves_and_removals_do_no_harm(
    tmp_path: Path, archives: list[str]
) -> None:
    root = str(tmp_path / "store")
    with Store(root) as store:
        store.load(archives[0])
    programs = [(LOAD, archives), (REMOVE, []), (COLLECT, []), (COLLECT, [])]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program.replace("SECONDS", str(SECONDS)), root, *more],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for program, more in programs
    ]  # fmt: skip
    ends = [(*process.communicate(timeout=120), process.returncode) for process in running]

    assert [(err, status) for _, err, status in ends] == [("", 0)] * len(ends)
    assert int(ends[0][0]) > 2
    assert sum(int(out) for out, _, _ in ends[2:]) > 0
    with Store(root) as store:
        assert store.gc().removed_blobs == 0
        assert store.check().findings == ()
