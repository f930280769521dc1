#!/usr/bin/env python3
"""A registry that clients pull from: casstore serve beside docker-registry, with the same images.

The clients are a small program of our own, which reads and drops what comes, the same for both;
processor time is theirs and the server's together, memory the server's peak.

    tools/benchmarks/serve.py [MEGABYTES [RUNS]]     run by itself, with this interpreter
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.request import urlopen

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    sys.dont_write_bytecode = True

from benchmarks import archives
from benchmarks.measure import Contender, Failed, Row, compare, run
from benchmarks.registry import started
from benchmarks.workloads import Bench

Start = Callable[[], tuple[subprocess.Popen[bytes], int]]  # a server, and its port

CLIENTS = 64
PULLS = 10  # of each of them
_TYPES = "application/vnd.oci.image.manifest.v1+json"

# A pull, as often as it is told, by so many threads: the base, the manifest, every blob.
CLIENT = """
import http.client, json, sys, threading
port, repository, clients, pulls = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
failed, buffer = [], bytearray(1 << 20)
def get(connection, path):
    connection.request("GET", path, headers={"Accept": "ACCEPT"})
    answer = connection.getresponse()
    if answer.status != 200:
        raise SystemExit(f"{path}: {answer.status}")
    return answer
def pull():
    try:
        for _ in range(pulls):
            connection = http.client.HTTPConnection("127.0.0.1", port)
            get(connection, "/v2/").read()
            manifest = json.load(get(connection, f"/v2/{repository}/manifests/1"))
            for blob in [manifest["config"], *manifest["layers"]]:
                answer = get(connection, f"/v2/{repository}/blobs/{blob['digest']}")
                while answer.readinto(buffer):
                    pass
            connection.close()
    except BaseException as error:
        failed.append(error)
threads = [threading.Thread(target=pull) for _ in range(clients)]
for thread in threads: thread.start()
for thread in threads: thread.join()
if failed: sys.exit(f"{len(failed)} of {clients} failed: {failed[0]}")
""".replace("ACCEPT", _TYPES)


def serve(bench: Bench) -> Iterator[Row]:
    """Pulls from a registry: a large image twice, small ones by 64 clients at once."""
    program = shutil.which("docker-registry")
    tool = bench.casstore("serve")
    folder = bench.folder / "serve-registry"
    own = partial(_casstore, tool.words("serve", "--registry", "0"), bench.folder / "serve.log")
    servers: dict[str, Start] = {"casstore": own}
    small = bench.archive("small", lambda path: archives.deep(path, 10, 2000))
    for archive, name in (bench.real(), "large"), (small, "small"):
        said = run(tool.words("load", "-q", "-i", str(archive), "--compression", "gzip"))
        run(tool.words("tag", said.split("\n")[0].split()[-1], f"bench/{name}:1"))
    if program is not None:
        servers["docker-registry"] = partial(_docker_registry, program, folder)
        process, port = servers["docker-registry"]()
        for name in "large", "small":
            run(tool.words("tag", f"bench/{name}:1", f"localhost:{port}/bench/{name}:1"))
            run(tool.words("push", "-q", f"localhost:{port}/bench/{name}:1"))
        _end(process)
    size, _ = _measures(own, "large")
    yield from _rows(bench, servers, f"pull of {size / 1e6:.0f} MB twice", ("large", 1, 2))
    _, blobs = _measures(own, "small")
    requests = CLIENTS * PULLS * (2 + blobs)
    title = f"{CLIENTS} clients pull small images, {requests} requests"
    for row in _rows(bench, servers, title, ("small", CLIENTS, PULLS)):
        row.note = f"{requests / row.wall:.0f} requests a second"
        yield row
    tool.reset()
    shutil.rmtree(folder, ignore_errors=True)


def _rows(
    bench: Bench, servers: dict[str, Start], title: str, pulls: tuple[str, int, int]
) -> Iterator[Row]:
    """Each server is started anew; `pulls`: which image, by how many clients, how often."""
    running = {name: start() for name, start in servers.items()}
    image, *counts = pulls
    try:
        contenders = []
        for name, (process, port) in running.items():
            words = [bench.python, "-c", CLIENT, str(port), f"bench/{image}", *map(str, counts)]
            contenders.append(Contender(name, words, os.sync, partial(_processor, process.pid)))
        for row in compare(title, contenders, bench.long_runs):
            row.memory = _peak(running[row.contender][0].pid)
            yield row
    finally:
        for process, _ in running.values():
            _end(process)


def _casstore(words: list[str], log: Path) -> tuple[subprocess.Popen[bytes], int]:
    """A server that listens, and its port."""
    with log.open("wb") as file:
        process = subprocess.Popen(words, stderr=file)
    for _ in range(500):
        first, end, _ = log.read_text().partition("\n")
        if end or process.poll() is not None:
            return process, int(first.rstrip("/").rpartition(":")[2])
        time.sleep(0.02)
    raise Failed("casstore serve does not say where it listens")


def _docker_registry(program: str, folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    process, host = started(program, folder)
    return process, int(host.rpartition(":")[2])


def _measures(start: Start, name: str) -> tuple[int, int]:
    """Bytes of the blobs of an image, and how many there are."""
    process, port = start()
    try:
        with urlopen(f"http://127.0.0.1:{port}/v2/bench/{name}/manifests/1") as answer:
            manifest = json.load(answer)
    finally:
        _end(process)
    sizes = [blob["size"] for blob in (manifest["config"], *manifest["layers"])]
    return sum(sizes), len(sizes)


def _processor(number: int) -> float:
    """Processor seconds of a process so far."""
    fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak(number: int) -> int:
    for line in Path(f"/proc/{number}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait()


def main(words: list[str]) -> None:
    """Measure casstore as this interpreter has it, and docker-registry."""
    megabytes, runs = (*map(int, words), *(1000, 3)[len(words) :])[:2]
    with tempfile.TemporaryDirectory(prefix="cs-", dir=os.environ.get("TMPDIR")) as name:
        bench = Bench(
            folder=Path(name), python=sys.executable, tools={}, programs=frozenset(), runs=runs,
            long_runs=runs, megabytes=megabytes, sizes=(), seed=7,
        )  # fmt: skip
        for row in serve(bench):
            print(
                f"{row.workload:52} {row.contender:16} wall {row.wall:7.2f} s"
                f"  cpu {row.cpu:7.2f} s  memory {row.memory / 1e6:6.1f} MB  {row.note}"
            )


if __name__ == "__main__":
    main(sys.argv[1:])
