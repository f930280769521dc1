"""How long gc takes under --max-used-space, and how long a writer beside it waits for the lock.

    tools/benchmarks/gc.py [--images N] [--python PYTHON] [--keep-store]

A store of N images (tools/largestore) is brought to half of its size. Meanwhile a process tags an
image again and again: each tag is a change of the store, so it waits for the lock; how long all of
a tag takes is compared with the same loop while no gc runs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tools"))
    sys.dont_write_bytecode = True

from benchmarks.measure import Contender, Row, compare  # noqa: E402
from benchmarks.workloads import Bench  # noqa: E402

# Tags the newest image in turn by two names, until its input ends; prints milliseconds of each tag.
WRITER = """
import select, sys, time
from casstore import Store
with Store(sys.argv[1]) as store:
    image = str(store.images()[0].id)
    print("ready", flush=True)
    number = 0
    while not select.select([sys.stdin], [], [], 0.02)[0]:
        started = time.perf_counter()
        store.tag(image, f"bench/writer:{number % 2}")
        print((time.perf_counter() - started) * 1000, flush=True)
        number += 1
"""


class Writer:
    """The process that tags."""

    def __init__(self, python: str, store: Path) -> None:
        self._process = subprocess.Popen(
            [python, "-c", WRITER, str(store)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def end(self) -> list[float]:
        """Stop it; milliseconds of each tag, sorted."""
        out, _ = self._process.communicate("")
        return sorted(float(line) for line in out.split())


def figures(times: list[float]) -> str:
    """Median, 99th percentile and maximum."""
    high = times[min(len(times) - 1, len(times) * 99 // 100)]
    median = statistics.median(times)
    return f"{len(times):>5} tags {median:>8.1f} {high:>8.1f} {times[-1]:>8.1f} ms"


def make_store(path: Path, images: int) -> int:
    """A store of so many images; returns the bytes of its blobs."""
    subprocess.run(
        [sys.executable, str(ROOT / "tools" / "largestore"), "--images", str(images),
         "--layers-per-image", "4", str(path)],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return sum(one.stat().st_size for one in (path / "blobs" / "sha256").iterdir())


def measure(python: str, folder: Path, images: int) -> None:
    """Print the figures."""
    store = folder / "store"
    size = make_store(store, images)
    writer = Writer(python, store)
    time.sleep(5)
    print(f"{'a tag alone':<44} {figures(writer.end())}")
    options = [
        "gc",
        "--max-used-space",
        str(size // 2),
        "--min-age",
        "0s",
        "--nice",
        "0",
        "--format",
        "json",
    ]
    started = time.perf_counter()
    subprocess.run(
        [python, "-m", "casstore", "--store", str(store), *options, "--dry-run"],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT,
    )  # fmt: skip
    print(f"{f'dry run of {images} images':<44} {time.perf_counter() - started:>8.1f} s")
    writer = Writer(python, store)
    started = time.perf_counter()
    done = subprocess.run(
        [python, "-m", "casstore", "--store", str(store), *options],
        check=True, stdout=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    times = writer.end()
    report = json.loads(done.stdout)
    print(f"{f'gc of {images} images to half the bytes':<44} {seconds:>8.1f} s")
    print(f"{'a tag beside it (median, 99 %, most)':<44} {figures(times)}")
    print(
        f"{len(report['removed'])} images and {report['freed']} bytes removed in"
        f" {report['turns']} turns; the longest held the lock for {report['longestTurn']:.3f} s"
    )
    subprocess.run(
        [python, "-m", "casstore", "--store", str(store), "fsck", "--quick"], check=True, cwd=ROOT
    )


def policy(bench: Bench) -> Iterator[Row]:
    """A policy brings 10 000 images to half of their bytes, while a writer tags beside it."""
    own = bench.casstore("policy")
    size = make_store(own.store, 10_000)
    writer = Writer(bench.python, own.store)
    time.sleep(3)
    alone = statistics.median(writer.end())
    writer = Writer(bench.python, own.store)
    words = own.words("gc", "--max-used-space", str(size // 2), "--min-age", "0s")
    rows = compare("gc of 10000 images to half of the bytes", [Contender("casstore", words)], 1)
    times = writer.end()
    for row in rows:
        row.note = (
            f"a tag beside it: {statistics.median(times):.1f} ms, at most {max(times):.0f} ms;"
            f" alone: {alone:.1f} ms"
        )
    yield from rows
    own.reset()


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--keep-store", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="casstore-bench-gc-"))
    try:
        measure(options.python, folder, options.images)
    finally:
        if options.keep_store:
            print(folder)
        else:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
