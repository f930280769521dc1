#!/usr/bin/env python3
"""Pull, push and copy against docker-registry on this machine, beside skopeo, podman and docker.

All pull the same gzip layers. skopeo stores the blobs as they come; casstore also decompresses each
layer, to hold it against its diff ID, unless told --verify digest; podman and docker unpack it
into files. A copy of either decompresses nothing, but skopeo 1.9 does what it takes from a layout.

    tools/benchmarks/registry.py [MEGABYTES [RUNS]]     run by itself, with this interpreter
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    sys.dont_write_bytecode = True

from benchmarks import archives
from benchmarks.measure import Contender, Row, compare, run
from benchmarks.peers import Tool
from benchmarks.workloads import Bench

CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {root}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


def registry(bench: Bench) -> Iterator[Row]:
    """Pull of real files, again, and of 100 layers; push; copies. Nothing without a registry."""
    program = shutil.which("docker-registry")
    if program is None:
        return
    folder = bench.folder / "registry"
    other = bench.folder / "registry-2"
    running = [started(program, one) for one in (folder, other)]
    (_, host), (_, second) = running
    try:
        yield from _rows(bench, folder, host, second)
    finally:
        for process, _ in running:
            process.kill()
            process.wait()
        for one in folder, other:
            shutil.rmtree(one, ignore_errors=True)


def _rows(bench: Bench, folder: Path, host: str, second: str) -> Iterator[Row]:
    source = bench.casstore("registry-source")
    deep = bench.archive("deep", archives.deep)
    for archive, name in (bench.real(), "real"), (deep, "deep"):
        run(source.words("load", "-i", str(archive), "--compression", "gzip"))
        loaded = run(source.words("images", "--format", "{{.Repository}}:{{.Tag}}")).split()
        (given,) = (one for one in loaded if one.startswith(name))
        run(source.words("tag", given, f"{host}/bench/{name}:1"))
        run(source.words("push", f"{host}/bench/{name}:1"))
    size = sum(path.stat().st_size for path in folder.rglob("data") if path.is_file())
    label = f"{size / 1e6:.0f} MB in a registry"
    yield from compare(f"pull, {label}", _pulls(bench, host, "real"), bench.long_runs)
    tools = [tool for tool in bench.all("registry") if tool.name != "containerd"]
    again = [
        Contender(tool.name, _words(tool, host, "real"), os.sync, tool.seconds) for tool in tools
    ]
    yield from compare("pull of the same again", again, bench.runs)
    yield from compare("pull of 100 layers", _pulls(bench, host, "deep"), bench.long_runs)
    push = Contender("casstore", source.words("push", "-q", f"{host}/bench/deep:1"), os.sync)
    yield from compare("push of 100 layers again", [push], bench.runs)
    yield from _copies(bench, source, host, second)
    yield from compare("push", _pushes(bench, source, host), bench.long_runs)
    for tool in (source, *tools):
        tool.reset()


def _words(tool: Tool, host: str, name: str) -> list[str]:
    options = ["--tls-verify=false"] if tool.name == "podman" else []
    return tool.words("pull", "-q", *options, f"{host}/bench/{name}:1")


def _pulls(bench: Bench, host: str, name: str) -> list[Contender]:
    contenders = []
    for tool in bench.all("registry"):
        if tool.name == "containerd":
            continue

        def empty(reset: Callable[[], None] = tool.reset) -> None:
            reset()
            os.sync()

        words = _words(tool, host, name)
        contenders.append(Contender(tool.name, words, empty, tool.seconds))
        if tool.name == "casstore":
            words = [*words, "--verify", "digest"]
            contenders.append(Contender(f"{tool.name} --verify digest", words, empty, tool.seconds))
    if "skopeo" in bench.programs:
        layout = bench.folder / "pulled"

        def clean() -> None:
            shutil.rmtree(layout, ignore_errors=True)
            os.sync()

        words = ["skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false",
                 f"docker://{host}/bench/{name}:1", f"oci:{layout}:1"]  # fmt: skip
        contenders.append(Contender("skopeo to oci", words, clean))
    return contenders


def _copies(bench: Bench, source: Tool, host: str, second: str) -> Iterator[Row]:
    """100 layers between registries and layouts, and each the same again."""
    image, layout = f"docker://{host}/bench/deep:1", bench.folder / "copy-source"
    run(_copy(source, image, f"oci:{layout}:1"))
    for way, origin, target in (
        ("a registry to a layout", image, "oci:{out}:1"),
        ("a layout to a layout", f"oci:{layout}:1", "oci:{out}:1"),
        ("a layout to a registry", f"oci:{layout}:1", f"docker://{second}/{{who}}/deep:1"),
        ("a registry to a registry", image, f"docker://{second}/{{who}}/deep:1"),
    ):
        fresh, again = [], []
        for who in ("casstore", "skopeo"):
            if who != "casstore" and who not in bench.programs:
                continue
            out = bench.folder / f"copied-{who}"
            words = _copy(source if who == "casstore" else None, origin, target.format(
                out=out, who=who))  # fmt: skip
            repositories = "registry-2/storage/docker/registry/v2/repositories"

            def clean(ways: tuple[Path, ...] = (out, bench.folder / repositories / who)) -> None:
                for one in ways:
                    shutil.rmtree(one, ignore_errors=True)
                os.sync()

            fresh.append(Contender(who, words, clean))
            again.append(Contender(who, words, os.sync))
        yield from compare(f"copy of 100 layers from {way}", fresh, bench.long_runs)
        yield from compare(f"copy from {way} again", again, bench.runs)
    shutil.rmtree(layout, ignore_errors=True)


def _copy(casstore: Tool | None, origin: str, target: str) -> list[str]:
    """The command of casstore, or else of skopeo."""
    if casstore is not None:
        return casstore.words("copy", origin, target)
    return ["skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false",
            "--dest-tls-verify=false", origin, target]  # fmt: skip


def _pushes(bench: Bench, source: Tool, host: str) -> list[Contender]:
    """Each run into a repository that is not there yet."""
    storage = bench.folder / "registry" / "storage"

    def clean() -> None:
        shutil.rmtree(storage, ignore_errors=True)
        os.sync()

    layout = bench.folder / "pushed"
    shutil.rmtree(layout, ignore_errors=True)
    run(source.words("save", "--format", "oci-dir", "-o", str(layout), f"{host}/bench/real:1"))
    own = source.words("push", "-q", f"{host}/bench/real:1")
    contenders = [Contender("casstore", own, clean)]
    if "skopeo" in bench.programs:
        words = ["skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false",
                 f"oci:{layout}:{host}/bench/real:1", f"docker://{host}/bench/real:1"]  # fmt: skip
        contenders.append(Contender("skopeo from oci", words, clean))
    return contenders


def started(program: str, folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """A registry without login on a free port, that answers."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    config = folder / "config.yml"
    config.write_text(CONFIG.format(root=folder / "storage", port=port))
    process = subprocess.Popen(
        [program, "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            break
    return process, f"localhost:{port}"


def main(words: list[str]) -> None:
    """Measure casstore as this interpreter has it, skopeo and podman."""
    from benchmarks import peers

    megabytes, runs = (*map(int, words), *(200, 3)[len(words) :])[:2]
    with tempfile.TemporaryDirectory(prefix="cs-", dir="/tmp") as name:
        folder = Path(name)
        bench = Bench(
            folder=folder, python=sys.executable, tools=peers.found(folder, ("podman",)),
            programs=frozenset(filter(shutil.which, ("skopeo",))), runs=runs, long_runs=runs,
            megabytes=megabytes, sizes=(), seed=7,
        )  # fmt: skip
        for row in registry(bench):
            print(
                f"{row.workload:36} {row.contender:18} wall {row.wall:7.2f} s"
                f"  cpu {row.cpu:7.2f} s  memory {row.memory / 1e6:6.0f} MB"
            )


if __name__ == "__main__":
    main(sys.argv[1:])
