"""Many processes on one store: here for some seconds, in `tools/torture soak` for minutes."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import pytest

from casstore import Store
from casstore.backends.local.ingest import Ingest
from tests.backends.local.behind import directory_of
from tests.crash.soak import soak
from tests.transfer.building import docker_archive, layer

ARCHIVE = docker_archive({"layers": [layer("one"), layer("two")], "tags": ["a:1"]})


def test_processes_that_work_and_die_on_one_store_leave_it_right(tmp_path: Path) -> None:
    commands, killed, wrong = soak(tmp_path, seconds=5, processes=3, seed=1)

    assert wrong == []
    assert commands > killed


def test_a_blob_that_a_load_found_present_is_there_after_an_rmi_and_gc_before_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "store")
    with Store(path) as store, Store(path) as other:
        store.load(io.BytesIO(ARCHIVE))
        flush = Ingest.flush

        def meanwhile(ingest: Ingest) -> None:
            assert ingest.pinned()  # it relies on what is there
            other.remove(["a:1"])
            other.gc()
            assert os.listdir(directory_of(other).blobs.directory) == []
            flush(ingest)

        monkeypatch.setattr(Ingest, "flush", meanwhile)
        store.load(io.BytesIO(ARCHIVE))

        assert [name.familiar for name in store.images()[0].names] == ["a:1"]
        assert store.check().findings == ()


def test_gc_in_a_loop_takes_nothing_from_loads_beside_it(tmp_path: Path) -> None:
    path = str(tmp_path / "store")
    ended = threading.Event()
    with Store(path) as store:
        store.load(io.BytesIO(docker_archive()))

        def sweep() -> None:
            with Store(path) as sweeper:
                while not ended.is_set():
                    sweeper.gc()

        sweeping = threading.Thread(target=sweep)
        sweeping.start()
        try:
            for number in range(20):
                layers = [layer("shared"), layer(f"own {number}")]
                store.load(io.BytesIO(docker_archive({"layers": layers, "tags": [f"a:{number}"]})))
        finally:
            ended.set()
            sweeping.join()

        assert len(store.images()) == 20
        assert store.check().findings == ()
