"""fsck's reading of many blobs: every one, by several threads, the largest first."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from casstore.backends.local.blobs import BlobDirectory
from casstore.backends.local.care import content
from casstore.backends.local.care.content import ContentCheck
from casstore.model.digest import Digest, sha256
from casstore.progress import Progress
from tests.transfer.noise import noise

SIZES = [0, 1, 70_000, 128 << 10, 300_000, 128 << 11, 5]


@pytest.fixture
def blobs(tmp_path: Path) -> BlobDirectory:
    (tmp_path / "blobs" / "sha256").mkdir(parents=True)
    return BlobDirectory(str(tmp_path))


def add(blobs: BlobDirectory, data: bytes) -> tuple[Digest, int]:
    digest = sha256(data)
    Path(blobs.path(digest)).write_bytes(data)
    return digest, len(data)


def threads() -> list[str]:
    return [x.name for x in threading.enumerate() if x.name.startswith("casstore")]


def test_every_wrong_blob_is_found_and_every_byte_counted(blobs: BlobDirectory) -> None:
    sizes = [add(blobs, noise(size, seed=size)) for size in SIZES]
    wrong = {digest for digest, size in sizes if size > 4}
    for digest, size in sizes:
        if digest in wrong:
            data = bytearray(Path(blobs.path(digest)).read_bytes())
            data[size * 2 // 3] ^= 1
            Path(blobs.path(digest)).write_bytes(data)
    missing = sha256(b"missing")
    task = Progress().task("Checking")

    problems = ContentCheck(blobs, [*sizes, (missing, 7)], task).problems()

    assert {digest for digest, (code, _) in problems.items() if code == "blob-corrupt"} == wrong
    assert problems.keys() - wrong == {missing}
    assert problems[missing] == ("blob-unreadable", f"blob {missing} is missing")
    assert task.done == sum(SIZES)
    assert threads() == []


def test_the_largest_is_read_first(blobs: BlobDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    sizes = [add(blobs, noise(size)) for size in SIZES]
    opened: list[Digest] = []
    monkeypatch.setattr(
        content, "content_problem", lambda _blobs, digest, *_: opened.append(digest)
    )

    ContentCheck(blobs, sizes).problems()

    assert opened == [digest for digest, _ in sorted(sizes, key=lambda one: -one[1])]


@pytest.mark.parametrize(("cores", "count"), [(1, 1), (None, 1), (3, 3), (64, len(SIZES))])
def test_there_are_as_many_threads_as_cores_and_no_more_than_blobs(
    blobs: BlobDirectory, monkeypatch: pytest.MonkeyPatch, cores: int | None, count: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    go_on = threading.Event()
    monkeypatch.setattr(content, "content_problem", lambda *_: go_on.wait() and None)

    check = ContentCheck(blobs, [add(blobs, noise(size, seed=size)) for size in SIZES])

    try:
        assert len(threads()) == count
        # Python waits at its end for a thread that is no daemon, also where it was interrupted.
        assert all(x.daemon for x in threading.enumerate() if x.name.startswith("casstore"))
    finally:
        go_on.set()
        check.stop()


def test_who_waits_for_a_long_reading_sleeps_meanwhile(
    blobs: BlobDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(content, "content_problem", lambda *_: go_on.wait() and None)
    monkeypatch.setattr(content, "INTERVAL", 0.02)
    task = Progress().task("Checking", 4)
    pulses: list[None] = []
    monkeypatch.setattr(type(task), "pulse", lambda _: pulses.append(None))
    check = ContentCheck(blobs, [add(blobs, b"data")], task)
    threading.Timer(0.2, go_on.set).start()

    assert check.problems() == {}
    assert 0 < len(pulses) < 50


def test_who_asks_what_is_wrong_waits_for_all_of_it(
    blobs: BlobDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    wrong = ("blob-corrupt", "its content has another digest")
    monkeypatch.setattr(content, "content_problem", lambda *_: go_on.wait() and wrong)
    sizes = [add(blobs, noise(size, seed=size)) for size in SIZES]
    check = ContentCheck(blobs, sizes)
    threading.Timer(0.1, go_on.set).start()

    assert check.problems() == dict.fromkeys((digest for digest, _ in sizes), wrong)


def test_what_goes_wrong_in_a_thread_is_told(
    blobs: BlobDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("no memory")

    monkeypatch.setattr(content, "content_problem", fail)

    check = ContentCheck(blobs, [add(blobs, b"data")])

    with pytest.raises(MemoryError, match="no memory"):
        check.problems()
    check.stop()
    assert threads() == []


def test_a_check_that_is_stopped_reads_no_further_blob(
    blobs: BlobDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    begun, go_on, opened = threading.Event(), threading.Event(), []

    def slow(_blobs: object, digest: Digest, *_: object) -> None:
        opened.append(digest)
        begun.set()
        go_on.wait()

    monkeypatch.setattr(content, "content_problem", slow)
    check = ContentCheck(blobs, [add(blobs, noise(size)) for size in SIZES])
    begun.wait()
    threading.Timer(0.05, go_on.set).start()

    check.stop()

    assert len(opened) == 1
    assert threads() == []
