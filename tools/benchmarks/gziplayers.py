"""Load of gzip layers, as a layout and as an archive, beside skopeo and beside the bare work.

The bare work is what nobody who verifies such an image is spared: to inflate each layer and to hash
both its sides, with the fastest library that there is, two layers at a time. skopeo copies the
blobs as they are: it holds them against their digests, inflates nothing, and waits for no disk.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.measure import Contender, Failed, Row, compare, run
from benchmarks.workloads import Bench

BARE_NAME = "ISA-L and two sha256"
BARE = """
import hashlib, os, sys
from concurrent.futures import ThreadPoolExecutor
from isal import igzip_lib
def verify(path):
    one = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_GZIP)
    packed, plain, full = hashlib.sha256(), hashlib.sha256(), False
    with open(path, "rb", buffering=0) as data:
        while not one.eof:
            piece = b"" if full else data.read(128 << 10)
            packed.update(piece)
            more = one.decompress(piece, 256 << 10)
            plain.update(more)
            full = len(more) == 256 << 10
def is_gzip(path):
    with open(path, "rb") as data:
        return data.read(2) == b"\\x1f\\x8b"
folder = sys.argv[1]
paths = [os.path.join(folder, name) for name in os.listdir(folder)]
paths.sort(key=lambda path: -os.path.getsize(path))
with ThreadPoolExecutor(2) as pool:
    list(pool.map(verify, filter(is_gzip, paths)))
"""


def gziplayers(bench: Bench) -> Iterator[Row]:
    """Load of an OCI layout and an OCI archive of gzip layers; the layout again, with --link."""
    layout, archive = _made(bench)
    size = sum(path.stat().st_size for path in (layout / "blobs" / "sha256").iterdir())
    label = f"load of gzip layers, {size / 1e6:.0f} MB in "
    tools = bench.both("gzip")
    bare = []
    try:
        run([bench.python, "-c", "import isal"])
        words = [bench.python, "-c", BARE, str(layout / "blobs" / "sha256")]
        bare.append(Contender(BARE_NAME, words))
    except Failed:
        pass
    for what, path, transport in (
        ("a layout", layout, "oci"),
        ("an archive", archive, "oci-archive"),
    ):
        contenders = [
            tool.contender("load", "-q", "-i", str(path), before=_without(tool.store))
            for tool in tools
        ]
        if "skopeo" in bench.programs:
            copied = bench.folder / "copied"
            words = [
                "skopeo",
                "copy",
                "-q",
                "--insecure-policy",
                f"{transport}:{path}",
                f"oci:{copied}:1",
            ]
            contenders.append(Contender("skopeo to oci", words, _without(copied)))
        yield from compare(label + what, [*contenders, *bare], bench.long_runs)
    again = []
    for tool in tools:
        plain = tool.contender("load", "-q", str(layout), before=os.sync)
        words = tool.words("load", "-q", "--link", str(layout))
        again += [plain, Contender(f"{tool.name} --link", words, os.sync)]
    yield from compare("the same layout again", again, bench.long_runs)
    for path in (*(tool.store for tool in tools), layout, bench.folder / "copied"):
        shutil.rmtree(path, ignore_errors=True)
    archive.unlink()


def _made(bench: Bench) -> tuple[Path, Path]:
    """The real files in gzip layers: a layout, and the archive of it."""
    source = bench.casstore("gzip-source")
    source.reset()
    run(source.words("load", "-q", "--compression", "gzip", "-i", str(bench.real())))
    layout, archive = bench.folder / "gzip-layout", bench.folder / "gzip.oci.tar"
    for form, path in ("oci-dir", layout), ("oci", archive):
        run(source.words("save", "--format", form, "-o", str(path), "real:latest"))
    source.reset()
    return layout, archive


def _without(folder: Path) -> Callable[[], None]:
    def clean() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        os.sync()

    return clean
