"""Several processes at once on one store."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from casstore.store import Store
from tests.transfer.building import Layout, docker_archive, layer

LOAD = """
import io, sys, time
from casstore.store import Store
archive = open(sys.argv[2], "rb").read()
end = time.monotonic() + 3
with Store(sys.argv[1]) as store:
    while time.monotonic() < end:
        store.load(io.BytesIO(archive))
"""
REMOVE = """
import sys, time
from casstore.errors import NotFound
from casstore.store import Store
end = time.monotonic() + 3
with Store(sys.argv[1]) as store:
    while time.monotonic() < end:
        for outcome in store.remove(["a:1", "b:1"]).outcomes:
            assert outcome.error is None or isinstance(outcome.error, NotFound), outcome.error
"""


def docker_images() -> bytes:
    shared = layer("shared")
    return docker_archive(
        {"layers": [shared, layer("a")], "tags": ["a:1"]},
        {"layers": [shared, layer("b")], "tags": ["b:1"]},
    )


def oci_images() -> bytes:
    layout = Layout()
    layout.publish(layout.image("shared", "a"), "a:1")
    layout.publish(layout.index(layout.image("shared", "b")), "b:1")
    return layout.tar().getvalue()


@pytest.mark.parametrize("images", [docker_images, oci_images])
def test_a_load_and_an_rmi_in_a_loop_beside_each_other_leave_a_sound_store(
    tmp_path: Path, images: Callable[[], bytes]
) -> None:
    root, archive = str(tmp_path / "store"), tmp_path / "archive.tar"
    archive.write_bytes(images())
    with Store(root) as store:
        store.load(str(archive))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    running = [
        subprocess.Popen([sys.executable, "-c", script, root, str(archive)], env=env)
        for script in (LOAD, LOAD, REMOVE)
    ]

    assert [process.wait(60) for process in running] == [0, 0, 0]
    with Store(root) as store:
        store.gc()
        assert store.check().clean
        store.load(str(archive))
        assert store.check().clean
