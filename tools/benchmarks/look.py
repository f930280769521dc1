"""One file of an image of one large layer, printed: casstore cat beside tar and umoci.

tar reads the archive that `save` writes: the layer's tar out of it, the file out of that. umoci
unpacks the image, for it cannot do less.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import archives
from benchmarks.measure import Contender, Row, compare, run
from benchmarks.workloads import Bench

IMAGE = "real:latest"
SIZES = range(10_000, 100_000)  # of the file
DEEP = 0.75  # of the layer before it


def look(bench: Bench) -> Iterator[Row]:
    """Cat of one file deep in one large layer: zstd, gzip, plain; the first time, and again."""
    archive = bench.archive(
        "one-layer",
        lambda path: archives.real_files(
            path, megabytes=bench.megabytes * 6 // 10, layers=1, seed=bench.seed
        ),
    )
    layer, name = _deep_file(archive)
    first, again = [], []
    for kind in ("zstd", "gzip", "none"):
        tool = bench.casstore(f"look-{kind}")
        tool.reset()
        run(tool.words("load", "-q", "--compression", kind, "-i", str(archive)))
        run(tool.words("ls", f"{IMAGE}:/{name}"))
        words = tool.words("cat", f"{IMAGE}:/{name}")
        contender = tool.name if kind == "zstd" else f"{tool.name}, {kind}"
        first.append(Contender(contender, words, _unseen(tool.store)))
        again.append(Contender(contender, words))
    label = f"of a layer of {archive.stat().st_size / 1e6:.0f} MB"
    yield from compare(f"first cat of a file {label}", first, bench.long_runs)

    pipe = 'tar -xOf "$0" "$1" | tar -xO --occurrence=1 "$2"'
    peers = [Contender("tar of tar", ["sh", "-c", pipe, str(archive), layer, name])]
    if "umoci" in bench.programs:
        layout, out = bench.folder / "look-layout", bench.folder / "look-out"
        source = bench.casstore("look-gzip")
        run(source.words("save", "--format", "oci-dir", "-o", str(layout), IMAGE))
        words = ["umoci", "raw", "unpack", "--image", f"{layout}:{IMAGE}", str(out)]
        peers.append(Contender("umoci raw unpack", words, _without(out)))
    yield from compare(f"a file {label}", [bench.bare(), *again, *peers], bench.long_runs)
    for kind in ("zstd", "gzip", "none"):
        bench.casstore(f"look-{kind}").reset()


def _deep_file(archive: Path) -> tuple[str, str]:
    """The name of the only layer in the archive, and of a file deep in it."""
    with tarfile.open(archive) as outer:
        layer = max(outer.getmembers(), key=lambda member: member.size)
        with outer.extractfile(layer) as data, tarfile.open(fileobj=data) as tar:  # type: ignore[union-attr]  # it is a file
            for member in tar:
                if member.offset > DEEP * layer.size and member.size in SIZES:
                    return layer.name, member.name
    raise AssertionError("no such file")


def _unseen(store: Path) -> Callable[[], None]:
    """As if nobody had looked into the layers."""

    def forget() -> None:
        shutil.rmtree(store / "contents", ignore_errors=True)
        os.sync()

    return forget


def _without(folder: Path) -> Callable[[], None]:
    return lambda: shutil.rmtree(folder, ignore_errors=True)
