"""Several threads at the same names: each name once, and no thread outlives the call."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from casstore.backends.local import blobs as blobdir
from casstore.backends.local.blobs import BlobDirectory
from casstore.files import parallel
from casstore.files.parallel import HELPERS, side_by_side
from casstore.model.digest import sha256

NAMES = [str(number) for number in range(500)]


def test_each_name_is_handled_once_and_by_several_threads() -> None:
    done: list[str] = []
    workers = set()

    def work(names: Iterator[str]) -> None:
        for name in names:
            workers.add(threading.get_ident())
            time.sleep(0.0001)
            done.append(name)

    side_by_side(work, iter(NAMES))

    assert sorted(done) == sorted(NAMES)
    assert 1 < len(workers) <= HELPERS + 1


def test_after_an_interruption_no_thread_goes_on() -> None:
    main = threading.get_ident()
    running: set[int] = set()
    done: list[str] = []

    def work(names: Iterator[str]) -> None:
        for name in names:
            if threading.get_ident() == main and len(running) > 1:
                raise KeyboardInterrupt
            running.add(threading.get_ident())
            time.sleep(0.001)
            done.append(name)
        running.discard(threading.get_ident())

    with pytest.raises(KeyboardInterrupt):
        side_by_side(work, iter(NAMES))

    assert running <= {main}
    assert len(done) < len(NAMES)


def test_where_no_thread_can_be_started_one_does_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(parallel, "start_new_thread", refuse)
    done: list[str] = []

    side_by_side(done.extend, iter(NAMES))

    assert done == NAMES


def test_blobs_on_a_disk_that_makes_unlinks_wait_all_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobdir, "_WAITING", -1.0)
    (tmp_path / "blobs" / "sha256").mkdir(parents=True)
    blobs = BlobDirectory(str(tmp_path))
    digests = [sha256(name.encode()) for name in NAMES]
    for digest in digests:
        Path(blobs.path(digest)).touch()
    Path(blobs.path(digests[300])).unlink()
    Path(blobs.path(digests[400])).unlink()
    Path(blobs.path(digests[400]), "not ours").mkdir(parents=True)

    problems = blobs.discard(digests)

    assert [problem.split()[0] for problem in problems] == [digests[400]]
    assert [path.name for path in Path(blobs.directory).iterdir()] == [digests[400].hex]
