"""Files of images: one printed, all listed, exported and unpacked, beside what others do for that.

For one file tar reads the archive that `save` writes: the layer's tar out of it, the file out of
that. umoci unpacks the image, for it cannot do less. Docker has no unpacking: a container is
created, exported and taken apart by tar. What export is held against is reading the layer to its
end, decompressed and hashed, and doing nothing with it. It cannot take less than that and writing
as many bytes from memory to the same reader. `zstd` and `sha256sum` do the same as two programs.

Nothing is removed between the runs. To make an inode, ext4 without a journal goes through those
that were freed in the last minutes: after `rm -r` of 20 000 files every tool takes ten times as
long to unpack.
"""

from __future__ import annotations

import os
import shlex
import shutil
import tarfile
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path

from benchmarks import archives
from benchmarks.measure import Contender, Row, compare, run
from benchmarks.peers import Casstore
from benchmarks.workloads import Bench

IMAGE = "real:latest"
SIZES = range(10_000, 100_000)  # of the file
DEEP = 0.75  # of the layer before it
FILES = 100_000
_DONE = "-done-"  # in the name of a folder that was written to


def look(bench: Bench) -> Iterator[Row]:
    """Cat of one file deep in one large layer: zstd, gzip, plain; the first time, and again."""
    archive = bench.archive(
        "one-layer",
        lambda path: archives.real_files(
            path, megabytes=bench.megabytes * 6 // 10, layers=1, seed=bench.seed, in_order=True
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
        peers.append(Contender("umoci raw unpack", words, _away(out)))
    yield from compare(f"a file {label}", [bench.bare(), *again, *peers], bench.long_runs)
    yield from _all_files(bench, archive, label, peers)
    yield from _out_of_order(bench)
    yield from _listing(bench)
    for folder in bench.folder.glob(f"*{_DONE}*"):
        shutil.rmtree(folder)
    for kind in ("zstd", "gzip", "none"):
        bench.casstore(f"look-{kind}").reset()


def _all_files(bench: Bench, archive: Path, label: str, peers: list[Contender]) -> Iterator[Row]:
    """Every file of the image: into a directory, and into a pipe."""
    tool, out = bench.casstore("look-zstd"), bench.folder / "look-unpacked"
    contenders = [Contender(tool.name, tool.words("unpack", IMAGE, str(out)), _away(out))]
    contenders += [peer for peer in peers if peer.name.startswith("umoci")]
    docker = bench.tools.get("docker")
    if docker is not None:
        run(docker.words("load", "-q", "-i", str(archive)))
        script = (
            f"c=$({shlex.join(docker.words('create', IMAGE, 'none'))})"
            f" && {shlex.join(docker.words('export'))} $c | tar -x -C {shlex.quote(str(out))}"
            f" && {shlex.join(docker.words('rm'))} $c"
        )
        words = ["sh", "-c", script]
        contenders.append(Contender("docker export, tar", words, _away_and_empty(out)))
    yield from compare(f"unpack of an image {label}", contenders, bench.long_runs)
    for folder in (out, bench.folder / "look-out"):
        _away(folder)()
    exports = list(_exports(bench, tool, archive))
    yield from compare(f"export of it to a pipe, {label}", exports, bench.long_runs)


def _exports(bench: Bench, tool: Casstore, archive: Path) -> Iterator[Contender]:
    """Export to a pipe, and what is less than that."""
    alone = [bench.python, "-c", _READ_ALL, str(tool.store), IMAGE]
    blob = max((tool.store / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    yield Contender(tool.name, _to_cat(tool.words("export", IMAGE)))
    yield Contender("decompress and hash alone", alone)
    yield Contender("and write it", _to_cat([*alone, "write"]))
    memory = [bench.python, "-c", _FROM_MEMORY, str(archive.stat().st_size)]
    yield Contender("as much from memory", _to_cat(memory))
    if shutil.which("zstd") and shutil.which("sha256sum"):
        words = ["sh", "-c", f"zstd -dc {shlex.quote(str(blob))} | sha256sum"]
        yield Contender("zstd -d, sha256sum", words)


def _to_cat(words: Sequence[str]) -> list[str]:
    return ["sh", "-c", f"{shlex.join(words)} | cat > /dev/null"]


_READ_ALL = """
import sys, casstore
store = casstore.Store(sys.argv[1])
with store.open_layer(store.get(sys.argv[2]).layers[0]) as layer:
    while piece := layer.read(1 << 20):
        if sys.argv[3:]:
            sys.stdout.buffer.write(piece)
"""
_FROM_MEMORY = """
import os, sys
left, piece = int(sys.argv[1]), b"x" * (4 << 20)
while left > 0:
    left -= os.write(1, piece[:left])
"""


def _out_of_order(bench: Bench) -> Iterator[Row]:
    """Export of a layer whose files stand in no order: most of them have to be put aside."""
    archive = bench.archive(
        "no-order",
        lambda path: archives.real_files(
            path, megabytes=bench.megabytes * 6 // 10, layers=1, seed=bench.seed
        ),
    )
    tool = bench.casstore("look-no-order")
    tool.reset()
    run(tool.words("load", "-q", "-i", str(archive)))
    run(tool.words("ls", IMAGE))
    contender = Contender(tool.name, _to_cat(tool.words("export", IMAGE)))
    yield from compare("export of a layer in no order", [contender], bench.long_runs)
    tool.reset()


def _listing(bench: Bench) -> Iterator[Row]:
    """All paths of an image of many files, whose table of contents is there."""
    tool = bench.casstore("look-many")
    tool.reset()
    archive = bench.folder / "look-many.tar"
    archives.many_files(archive, FILES)
    run(tool.words("load", "-q", "-i", str(archive)))
    run(tool.words("ls", "many:1"))
    listing = Contender(tool.name, tool.words("ls", "-R", "many:1"))
    yield from compare(f"ls -R of {FILES} files", [bench.bare(), listing], bench.long_runs)
    tool.reset()


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


def _away(folder: Path) -> Callable[[], None]:
    """Out of the way, but not removed."""

    def move() -> None:
        if folder.exists():
            folder.rename(_free_name(folder))

    return move


def _away_and_empty(folder: Path) -> Callable[[], None]:
    def renew() -> None:
        _away(folder)()
        folder.mkdir()

    return renew


def _free_name(folder: Path) -> Path:
    names = (folder.with_name(f"{folder.name}{_DONE}{number}") for number in count())
    return next(name for name in names if not name.exists())
