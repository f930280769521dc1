"""What is measured: each workload prepares its data, then compares casstore with its peers.

A workload is a function of a `Bench`, named in WORKLOADS; it yields rows. Its first line of
documentation is what `tools/bench --list` prints.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks import archives
from benchmarks.measure import Contender, Failed, Row, compare, run, tree_size
from benchmarks.peers import Casstore, Tool

HASH_TWO_THREADS = """
import hashlib, os, sys
from concurrent.futures import ThreadPoolExecutor
def digest(path):
    with open(path, "rb", buffering=0) as data:
        return hashlib.file_digest(data, "sha256").hexdigest()
folder = sys.argv[1]
names = sorted(os.listdir(folder), key=lambda n: -os.path.getsize(os.path.join(folder, n)))
with ThreadPoolExecutor(2) as pool:
    assert list(pool.map(digest, (os.path.join(folder, n) for n in names))) == names
"""
HASH_ONE_THREAD = """
import hashlib, sys
with open(sys.argv[1], "rb", buffering=0) as data:
    hashlib.file_digest(data, "sha256")
"""


@dataclass
class Bench:
    """What a workload may use."""

    folder: Path
    python: str  # has casstore installed
    tools: dict[str, Tool]  # the peers with stores of their own, by name
    programs: frozenset[str]  # other programs that are there: skopeo, umoci, sha256sum
    runs: int  # of small commands
    long_runs: int  # of what takes seconds
    megabytes: int
    sizes: tuple[int, ...]  # of stores, in images
    seed: int
    before: tuple[str, str] = ("", "")  # an earlier revision, and an interpreter that has it
    _made: dict[str, Path] = field(default_factory=dict)

    def casstore(self, name: str) -> Casstore:
        """Casstore on a store of that name in the folder."""
        return Casstore(self.python, self.folder / f"store-{name}")

    def both(self, name: str) -> list[Casstore]:
        """Casstore, and as it was before where that is asked for; each with a store of its own."""
        revision, python = self.before
        if not python:
            return [self.casstore(name)]
        earlier = Casstore(python, self.folder / f"store-{name}-before", f"casstore {revision}")
        return [self.casstore(name), earlier]

    def all(self, name: str) -> list[Tool]:
        """Casstore and the peers."""
        return [*self.both(name), *self.tools.values()]

    def archive(self, name: str, make: Callable[[Path], object]) -> Path:
        """An archive made once."""
        if name not in self._made:
            self._made[name] = self.folder / f"{name}.tar"
            make(self._made[name])
        return self._made[name]

    def real(self) -> Path:
        """The archive of real files."""
        return self.archive(
            "real",
            lambda path: archives.real_files(
                path, megabytes=self.megabytes, layers=6, seed=self.seed
            ),
        )

    def bare(self) -> Contender:
        """The interpreter that does nothing."""
        return Contender("python -c pass", [self.python, "-c", "pass"])

    def pristine(self, store: Path) -> Callable[[], None]:
        """A preparation that puts a store back to what it is now."""
        kept = store.with_name(store.name + ".kept")
        shutil.rmtree(kept, ignore_errors=True)
        run(["cp", "-al", str(store), str(kept)])
        for name in ("casstore.db", "index.json"):
            if (kept / name).exists():
                (kept / name).unlink()
                shutil.copy2(store / name, kept / name)

        def restore() -> None:
            shutil.rmtree(store, ignore_errors=True)
            run(["cp", "-al", str(kept), str(store)])
            for name in ("casstore.db", "index.json"):
                if (kept / name).exists():
                    (store / name).unlink()
                    shutil.copy2(kept / name, store / name)
            os.sync()

        return restore


def _load(tool: Tool, archive: Path) -> list[str]:
    if tool.name == "containerd":
        return tool.words("images", "import", str(archive))
    return tool.words("load", "-q", "-i", str(archive))


def _loaded(tool: Tool, archive: Path) -> Callable[[], None]:
    def prepare() -> None:
        run(_load(tool, archive))
        os.sync()

    return prepare


def _emptied(tool: Tool) -> Callable[[], None]:
    def prepare() -> None:
        tool.reset()
        os.sync()

    return prepare


def small(bench: Bench) -> Iterator[Row]:
    """rmi, tag, images -q and inspect of a small image in a store of ten."""
    base = bench.archive("ten", lambda path: archives.same_layer(path, 10))
    extra = bench.archive("extra", lambda path: archives.one_small(path, "extra"))
    tools = [tool for tool in bench.all("small") if tool.name != "containerd"]
    for tool in tools:
        tool.reset()
        run(_load(tool, base))
    verbs: dict[str, Callable[[Tool], Contender]] = {
        "rmi of a small image": lambda tool: tool.contender(
            "rmi", "extra:latest", before=_loaded(tool, extra)
        ),
        "rmi of a tag": lambda tool: tool.contender(
            "rmi", "other:1", before=lambda: run(tool.words("tag", "same/image3:1", "other:1"))
        ),
        "tag": lambda tool: tool.contender(
            "tag", "same/image3:1", "other:1", before=_absent(tool, "other:1")
        ),
        "images -q": lambda tool: tool.contender("images", "-q"),
        "inspect": lambda tool: tool.contender("inspect", "same/image3:1"),
    }
    for verb, contender in verbs.items():
        contenders = [contender(tool) for tool in tools]
        yield from compare(verb, [bench.bare(), *contenders], bench.runs)
    for tool in tools:
        tool.reset()


def many(bench: Bench) -> Iterator[Row]:
    """Load and rmi of 200 images of 20 layers (1 268 different ones), one command each."""
    archive = bench.archive("many", archives.many)
    names = [f"many/image{number}:1" for number in range(200)]
    tools = bench.all("many")
    yield from compare(
        "load of 200 images x 20 layers",
        [
            Contender(tool.name, _load(tool, archive), _emptied(tool), tool.seconds)
            for tool in tools
        ],
        1,
    )

    def remove(tool: Tool) -> list[str]:
        if tool.name == "containerd":
            return tool.words("images", "rm", "--sync", *(f"docker.io/{name}" for name in names))
        return tool.words("rmi", *names)

    yield from compare(
        "rmi of 200 images x 20 layers",
        [Contender(tool.name, remove(tool), os.sync, tool.seconds) for tool in tools], 1,
    )  # fmt: skip
    own = bench.casstore("many")
    if bench.long_runs > 1:  # the peers' loads are too long to be repeated; ours is not
        yield from compare(
            "rmi of 200 images x 20 layers, again",
            [Contender(own.name, remove(own), _loaded(own, archive))], bench.long_runs,
        )  # fmt: skip


def prune(bench: Bench) -> Iterator[Row]:
    """Prune of 200 dangling images of 20 layers."""
    archive = bench.archive("dangling", lambda path: archives.many(path, named=False))
    tools = [tool for tool in bench.all("prune") if tool.name != "containerd"]
    yield from compare(
        "prune of 200 dangling images",
        [
            Contender(
                tool.name, tool.words("image", "prune", "-f")
                if tool.name != "casstore" else tool.words("prune", "-f"),
                _loaded(tool, archive), tool.seconds,
            )
            for tool in tools
        ],
        1,
    )  # fmt: skip


def scale(bench: Bench) -> Iterator[Row]:
    """Everyday commands, listings, gc, prune and rebuild as the store grows, published or not."""
    extra = bench.archive("extra", lambda path: archives.one_small(path, "extra"))
    for size in bench.sizes:
        own = bench.casstore(f"scale-{size}")
        own.grow(size)
        tools: list[Tool] = [own]
        for peer, most in (("docker", 1000), ("podman", 300)):
            tool = bench.tools.get(peer)
            if tool is not None and size <= most:
                same = bench.archive(f"same{size}", partial(archives.same_layer, images=size))
                tool.reset()
                run(_load(tool, same))
                tools.append(tool)
        label = f"{size} images: "
        yield from _changes(bench, label, tools, extra)
        yield from _listings(bench, label, tools)
        for verb, words, before in (
            (
                "load of a small image",
                ["load", "-q", "-i", str(extra)],
                _absent(own, "extra:latest"),
            ),
            ("gc, nothing to do", ["gc"], os.sync),
        ):
            contender = own.contender(*words, before=before)
            yield from compare(label + verb, [contender], bench.long_runs)
        run(own.words("publish", "--mode", "on-demand"))
        run(own.words("tag", "large/3:1", "other:1"))  # withdraws index.json, once
        yield from _changes(bench, label, [own], extra, ", not published")
        run(own.words("publish", "--mode", "always"))
        for words in (["fsck"], ["fsck", "--rebuild"], ["prune", "-a", "-f"]):
            verb = " ".join(words).removesuffix(" -f")
            yield from compare(label + verb, [own.contender(*words, before=os.sync)], 1)
        for tool in tools:
            tool.reset()


def _changes(
    bench: Bench, label: str, tools: list[Tool], extra: Path, how: str = ""
) -> Iterator[Row]:
    """What somebody types all day, in a store of so many images."""
    yield from compare(
        f"{label}rmi{how}",
        [tool.contender("rmi", "extra:latest", before=_loaded(tool, extra)) for tool in tools],
        bench.runs,
    )
    yield from compare(
        f"{label}tag{how}",
        [
            tool.contender("tag", _present(tool), "other:1", before=_absent(tool, "other:1"))
            for tool in tools
        ],
        bench.runs,
    )


def _absent(tool: Tool, name: str) -> Callable[[], None]:
    """Takes a name away: a name that is there already may cost nothing to make."""

    def remove() -> None:
        subprocess.run(tool.words("rmi", name), capture_output=True, check=False)

    return remove


def _present(tool: Tool) -> str:
    return "large/3:1" if tool.name == "casstore" else "same/image3:1"


def _listings(bench: Bench, label: str, tools: list[Tool]) -> Iterator[Row]:
    """Lists of all images, of some, and a look at one."""
    own = tools[0]
    yield from compare(
        label + "inspect", [tool.contender("inspect", _present(tool)) for tool in tools], bench.runs
    )
    runs = max(3, bench.long_runs)
    yield from compare(
        label + "images -q", [tool.contender("images", "-q") for tool in tools], runs
    )
    for words in (
        ("images",),
        ("images", "-q", "--filter", "reference=large/3*"),
        ("images", "-q", "--filter", "label=group=3"),
    ):
        verb = f"images --filter {words[-1].partition('=')[0]}" if words[2:] else "images"
        yield from compare(label + verb, [own.contender(*words)], runs)


def listing(bench: Bench) -> Iterator[Row]:
    """Images -q of 10 000 images beside docker, whose load of them takes a minute or more."""
    size = 10_000
    own = bench.casstore("listing")
    own.grow(size)
    tools: list[Tool] = [own]
    if "docker" in bench.tools:
        docker = bench.tools["docker"]
        docker.reset()
        run(_load(docker, bench.archive("same", partial(archives.same_layer, images=size))))
        tools.append(docker)  # it goes with its folder: to remove them takes minutes
    yield from compare(
        f"{size} images: images -q",
        [tool.contender("images", "-q") for tool in tools],
        max(5, bench.long_runs),
    )
    own.reset()


def load(bench: Bench) -> Iterator[Row]:
    """Load of a docker-archive of real files; again; with a new top layer; save."""
    archive = bench.real()
    size = archive.stat().st_size
    tools = [tool for tool in bench.all("real") if tool.name != "containerd"]
    contenders = [
        Contender(tool.name, _load(tool, archive), _emptied(tool), tool.seconds) for tool in tools
    ]
    layout = bench.folder / "layout"
    clean = Contender("", before=lambda: shutil.rmtree(layout, ignore_errors=True)).before
    if "skopeo" in bench.programs:
        copy = ["skopeo", "copy", "-q", "--insecure-policy", f"docker-archive:{archive}"]
        zstd = [*copy, "--dest-compress-format", "zstd", f"oci:{layout}:real"]
        contenders.append(Contender("skopeo oci zstd", zstd, clean))
    contenders.append(
        Contender("sha256, one thread", [bench.python, "-c", HASH_ONE_THREAD, str(archive)])
    )
    label = f"load of {size / 1e6:.0f} MB of real files"
    rows = compare(label, contenders, bench.long_runs)
    held = {tool.name: tree_size(tool.stored()) for tool in tools if tool.name != "podman"}
    held["skopeo oci zstd"] = tree_size(layout) if layout.exists() else 0
    for row in rows:
        if held.get(row.contender):
            row.note = f"{held[row.contender] / 1e6:.0f} MB on disk"
    yield from rows

    same = [Contender(tool.name, _load(tool, archive), os.sync, tool.seconds) for tool in tools]
    yield from compare("the same archive again", same, bench.long_runs)

    top = archive.with_stem(archive.stem + "-top")

    def without_top(tool: Tool) -> Callable[[], None]:
        def prepare() -> None:
            subprocess.run(tool.words("rmi", "real:top"), check=False, capture_output=True)
            os.sync()

        return prepare

    yield from compare(
        "only the top layer new",
        [Contender(tool.name, _load(tool, top), without_top(tool), tool.seconds) for tool in tools],
        bench.long_runs,
    )

    out = bench.folder / "out.tar"

    def without_out() -> None:
        out.unlink(missing_ok=True)
        os.sync()

    save = ("save", "-o", str(out), "real:latest")
    saves = [tool.contender(*save, before=without_out) for tool in tools]
    if "dd" in bench.programs:  # as many bytes, past the page cache and flushed
        words = ["dd", f"if={archive}", f"of={out}", "bs=4M", "oflag=direct", "conv=fsync"]
        saves.append(Contender("dd", words, without_out))
    yield from compare("save of it", saves, bench.long_runs)
    out.unlink(missing_ok=True)
    own = bench.casstore("real")
    yield from compare(
        "save to an OCI directory",
        [own.contender("save", "--format", "oci-dir", "-o", str(layout), "real:latest",
                       before=clean)],
        bench.long_runs,
    )  # fmt: skip
    clean()
    for tool in tools:
        tool.reset()


def deep(bench: Bench) -> Iterator[Row]:
    """Load of an image of 100 layers."""
    archive = bench.archive("deep", archives.deep)
    tools = [tool for tool in bench.all("deep") if tool.name != "containerd"]
    contenders = [
        Contender(tool.name, _load(tool, archive), _emptied(tool), tool.seconds) for tool in tools
    ]
    layout = bench.folder / "layout"
    if "skopeo" in bench.programs:
        words = ["skopeo", "copy", "-q", "--insecure-policy", f"docker-archive:{archive}",
                 f"oci:{layout}:deep"]  # fmt: skip
        contenders.append(
            Contender("skopeo oci gzip", words, lambda: shutil.rmtree(layout, ignore_errors=True))
        )
    yield from compare("load of 100 layers", contenders, bench.long_runs)
    shutil.rmtree(layout, ignore_errors=True)
    for tool in tools:
        tool.reset()


def gc(bench: Bench) -> Iterator[Row]:
    """Gc of 10 000 dead blobs of 100 000; and with nothing to do; beside umoci."""
    own, *earlier = bench.both("gc")
    for tool in (own, *earlier):
        tool.grow(9_000)
    count = sum(1 for _ in os.scandir(own.store / "blobs" / "sha256"))
    layout = bench.folder / "gc-layout"
    shutil.rmtree(layout, ignore_errors=True)
    run(["cp", "-al", str(own.store), str(layout)])
    for name in ("casstore.db", "casstore.lock"):
        (layout / name).unlink(missing_ok=True)
    dead = bench.folder / "dead"
    dead.mkdir()
    for number in range(10_000):
        text = f"dead {number}".encode()
        (dead / hashlib.sha256(text).hexdigest()).write_bytes(text)

    def spoil(folder: Path) -> Callable[[], None]:
        def prepare() -> None:
            run(["cp", "-r", f"{dead}/.", str(folder / "blobs" / "sha256")])
            os.sync()

        return prepare

    contenders = [tool.contender("gc", before=spoil(tool.store)) for tool in (own, *earlier)]
    idle = [tool.contender("gc", before=os.sync) for tool in (own, *earlier)]
    if "umoci" in bench.programs:
        words = ["umoci", "gc", "--layout", str(layout)]
        contenders.append(Contender("umoci", words, spoil(layout)))
        idle.append(Contender("umoci", words, os.sync))
    yield from compare(f"gc of 10000 dead beside {count} blobs", contenders, bench.long_runs)
    yield from compare("gc, nothing to do", idle, bench.long_runs)
    for tool in (own, *earlier):
        tool.reset()
    shutil.rmtree(layout)
    shutil.rmtree(dead)


def fsck(bench: Bench) -> Iterator[Row]:
    """fsck, which re-hashes every blob, beside hashlib in two threads."""
    own = bench.casstore("fsck")
    own.reset()
    run(own.words("load", "-q", "--compression", "none", "-i", str(bench.real())))
    blobs = own.store / "blobs" / "sha256"
    contenders = [
        own.contender("fsck"),
        Contender("hashlib, two threads", [bench.python, "-c", HASH_TWO_THREADS, str(blobs)]),
    ]
    if "sha256sum" in bench.programs:
        words = ["sha256sum", *(str(path) for path in sorted(blobs.iterdir()))]
        contenders.append(Contender("sha256sum", words))
    label = f"fsck of {bench.real().stat().st_size / 1e6:.0f} MB"
    yield from compare(label, contenders, bench.long_runs)
    own.reset()


def processes(bench: Bench) -> Iterator[Row]:
    """Tag and rmi by 8 processes on one store."""
    each = 20
    base = bench.archive("ten", lambda path: archives.same_layer(path, 10))

    def storm(tool: Tool) -> Contender:
        def work(worker: int) -> None:
            for number in range(each // 2):
                name = f"worker{worker}/name{number}:1"
                run(tool.words("tag", "same/image3:1", name))
                run(tool.words("rmi", name))

        def call() -> None:
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(work, range(8)))

        return Contender(tool.name, call=call)

    tools = [tool for tool in bench.all("processes") if tool.name != "containerd"]
    for tool in tools:
        tool.reset()
        run(_load(tool, base))
    rows = compare("8 processes, 160 tag and rmi", [storm(tool) for tool in tools], 3)
    for row in rows:
        row.cpu = 0.0  # of the processes that start the commands, which says nothing
        row.note = f"{8 * each / row.wall:.0f} commands a second"
    yield from rows


def pytest(bench: Bench) -> Iterator[Row]:
    """What a test pays for a store of its own with ten images: before it, and at its end."""
    count = 200
    folder = bench.folder / "pytest"
    folder.mkdir()
    archive = bench.archive("ten", lambda path: archives.same_layer(path, 10))
    nothing, removal = "pass", "casstore_store.remove(['same/image3:1'])"

    def module(name: str, fixture: str, body: str, mark: str = "") -> str:
        path = folder / f"test_{name}.py"
        path.write_text(
            f"import pytest\n{mark}"
            f"@pytest.mark.casstore_image({str(archive)!r})\n"
            f"@pytest.mark.parametrize('number', range({count}))\n"
            f"def test_one({fixture}, number):\n    {body}\n"
        )
        return str(path)

    words = [bench.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={folder}"]
    try:
        run([bench.python, "-c", "import pytest"])
    except Failed:
        return
    own, mark = "casstore_store", "@pytest.mark.casstore_in_memory\n"
    rows = compare(
        f"pytest: {count} tests",
        [
            Contender("a casstore_store each, unused", [*words, module("own", own, nothing)]),
            Contender("a name removed from each", [*words, module("removed", own, removal)]),
            Contender("the same in memory", [*words, module("memory", own, removal, mark)]),
            Contender("a tmp_path each", [*words, module("path", "tmp_path", nothing)]),
        ],
        bench.long_runs,
    )
    least = rows[-1]
    for row in rows[:-1] if len(rows) == 4 else ():
        wall, cpu = (row.wall - least.wall) / count, (row.cpu - least.cpu) / count
        row.note = (
            f"{wall * 1000:.1f} ms a test more than a tmp_path, {cpu * 1000:.1f} of the processor"
        )
    yield from rows


WORKLOADS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    work.__name__: work
    for work in (
        small,
        many,
        prune,
        scale,
        listing,
        load,
        deep,
        gc,
        fsck,
        processes,
        pytest,
    )
}
