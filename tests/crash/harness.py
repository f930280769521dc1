"""Stop the real command at every system call that changes the disk, and look what is left.

strace (Debian's package) delivers SIGKILL, or an error, at the k-th such call of a thread. What is
looked at afterwards is what reliability promises: the next command works without help, the state
is the one before or the one after, and after gc nothing is left that nobody needs.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from casstore import Store
from casstore.errors import NotAStore

ARCHIVES = Path(__file__).parents[2] / "fixtures" / "transcripts" / "archives"
CALLS = (
    "write,pwrite64,writev,rename,renameat,renameat2,link,linkat,unlink,unlinkat,fsync,fdatasync,"
    "ftruncate,truncate,mkdir,mkdirat,rmdir,fchmod,copy_file_range"
)


class Scenario(NamedTuple):
    """A command to interrupt, on a store made by `prepare`."""

    name: str
    argv: tuple[str, ...]
    prepare: Callable[[Store], None]


class State(NamedTuple):
    """What users see of a store."""

    names: tuple[tuple[str, str], ...]
    parents: tuple[tuple[str, str | None], ...]


def state_of(path: Path) -> State:
    """Every name with its image, and every image with its parent."""
    try:
        with Store(str(path)) as store:
            images = store.images(all=True)
    except NotAStore:
        return State((), ())
    return State(
        tuple(sorted((name, image.id) for image in images for name in image.names)),
        tuple(sorted((image.id, image.parent) for image in images)),
    )


def _chain(store: Store) -> None:
    store.load(str(ARCHIVES / "chain.tar"))
    store.tag("app:1", "other:2")


def _garbage(store: Store) -> None:
    _chain(store)
    orphan = b"nobody needs this"
    Path(store.path, "blobs", "sha256", hashlib.sha256(orphan).hexdigest()).write_bytes(orphan)


def _damaged_counts(store: Store) -> None:
    import sqlite3

    _chain(store)
    store.close()
    with closing(sqlite3.connect(os.path.join(store.path, "casstore.db"))) as connection:
        connection.execute("UPDATE blob SET refcount = refcount + 1")
        connection.commit()


def _dangling(store: Store) -> None:
    _chain(store)
    store.load(str(ARCHIVES / "untagged.tar"))


def _nothing(store: Store) -> None:
    """No store yet."""


SCENARIOS = (
    Scenario("load into nothing", ("load", "-i", str(ARCHIVES / "chain.tar")), _nothing),
    Scenario("load beside", ("load", "-i", str(ARCHIVES / "fork.tar")), _chain),
    Scenario("tag", ("tag", "app:1", "new:1"), _chain),
    Scenario("tag that moves", ("tag", "base:1", "other:2"), _chain),
    Scenario("rmi", ("rmi", "other:2", "app:1"), _chain),
    Scenario("rmi by force", ("rmi", "-f", "2f3bb8fe9ddd"), _chain),
    Scenario("prune", ("prune", "-f"), _dangling),
    Scenario("gc", ("gc",), _garbage),
    Scenario("import", ("import", str(ARCHIVES / "rootfs.tar"), "imported:1"), _chain),
    Scenario("save", ("save", "-o", "OUT", "app:1"), _chain),
    Scenario("fsck --repair", ("fsck", "--repair"), _damaged_counts),
    Scenario("fsck --rebuild", ("fsck", "--rebuild"), _chain),
)


class Point(NamedTuple):
    """The count-th call of a kind in a thread."""

    call: str
    count: int


class Bench:
    """A prepared store to copy from, and copies to break."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self.scenario = scenario
        self._folder = folder
        folder.mkdir(parents=True)
        self._original = folder / "original"
        with Store(str(self._original)) as store:
            scenario.prepare(store)
        self.before = state_of(self._original)
        self.store = folder / "store"
        self.out = folder / "out.tar"
        self.calls = self._count()
        self.after = state_of(self.store)

    def reset(self) -> None:
        """A fresh copy of the prepared store."""
        shutil.rmtree(self.store, ignore_errors=True)
        self.out.unlink(missing_ok=True)
        if self._original.exists():
            shutil.copytree(self._original, self.store, symlinks=True)

    def command(self) -> list[str]:
        """The command on the copy."""
        words = [str(self.out) if word == "OUT" else word for word in self.scenario.argv]
        return [sys.executable, "-m", "casstore", "--store", str(self.store), *words]

    def run(self, *inject: str) -> subprocess.CompletedProcess[str]:
        """Run the command on a fresh copy under strace with an injection."""
        self.reset()
        rules = [f"--inject={rule}" for rule in inject]
        trace = ["-f", "-qq", "-o", "/dev/null", "-e", f"trace={CALLS}", *rules]
        return subprocess.run(
            ["strace", *trace, *self.command()], capture_output=True, text=True, check=False
        )

    def _count(self) -> list[Point]:
        """The command's changing calls. strace counts each kind of call in each thread."""
        self.reset()
        log = self._folder / "trace"
        subprocess.run(
            ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={CALLS}", *self.command()],
            capture_output=True, check=True,
        )  # fmt: skip
        points: dict[Point, None] = {}
        counts: dict[tuple[str, str], int] = {}
        for line in log.read_text().splitlines():
            found = re.match(r"(\d+)\s+(\w+)\(", line)
            if found:
                counts[found.groups()] = counts.get(found.groups(), 0) + 1
                points[Point(found[2], counts[found.groups()])] = None
        return list(points)

    def points(self, at_most: int | None) -> list[Point]:
        """The calls to stop at, in the order of the command: all, or a spread of them."""
        if at_most is None or len(self.calls) <= at_most:
            return self.calls
        last = len(self.calls) - 1
        return [self.calls[i * last // (at_most - 1)] for i in range(at_most)]

    def kill(self, point: Point) -> subprocess.CompletedProcess[str]:
        """Run the command and kill it on entry to a changing call."""
        return self.run(f"{point.call}:signal=SIGKILL:when={point.count}")

    def fail(self, point: Point, cause: str) -> subprocess.CompletedProcess[str]:
        """Run the command and let a changing call fail."""
        return self.run(f"{point.call}:error={cause}:when={point.count}")

    @staticmethod
    def complaint(done: subprocess.CompletedProcess[str]) -> str:
        """What is wrong with how a command told of an error."""
        if done.returncode not in (0, 1, 11, 12):
            return f"exit status {done.returncode}: {done.stderr}"
        if "Traceback" in done.stderr or "internal error" in done.stderr:
            return done.stderr
        lines = [line for line in done.stderr.splitlines() if not line.startswith("Warning: ")]
        if done.returncode and not lines:
            return "a failure without a word"
        return "" if len(lines) <= 2 else done.stderr

    def verify(self, *, finished: bool) -> str:
        """What is wrong with the store after an interruption; an empty text if nothing is."""
        raw = published_problems(self.store)
        if raw:
            return raw
        with Store(str(self.store)) as store:
            if not store.disk.exists():
                return "" if not finished else "no store after an exit status of 0"
            store.remove(["nosuch:1"], force=True)  # an ordinary writing command
            result = store.check()
            problems = [finding for finding in result.findings if finding.level != "note"]
            if problems and self.scenario.prepare is not _damaged_counts:
                return f"fsck: {problems}"
        state = state_of(self.store)
        allowed = [self.after] if finished else [self.before, self.after]
        # an imported image's ID depends on the clock
        if state not in allowed and not (self.scenario.name == "import" and len(state.names) == 4):
            return f"neither before nor after: {state}"
        return self._leftovers()

    def _leftovers(self) -> str:
        with Store(str(self.store)) as store:
            store.gc()
            view = store._view()
            known = {blob.digest.hex for blob in view.all_blobs()}
        found = set(os.listdir(self.store / "blobs" / "sha256"))
        if found != known:
            return f"after gc: {sorted(found ^ known)}"
        left = os.listdir(self.store / "ingest")
        if left:
            return f"after gc in ingest: {left}"
        beside = [name for name in os.listdir(self._folder) if name.endswith(".part")]
        for name in beside:
            os.unlink(self._folder / name)  # a killed save leaves its part file beside the output
        if self.out.exists() and not is_whole(self.out):
            return "the output file is not whole"
        return ""


def is_whole(archive: Path) -> bool:
    """Whether a saved archive can be listed to its end."""
    return (
        subprocess.run(["tar", "-tf", str(archive)], capture_output=True, check=False).returncode
        == 0
    )


def published_problems(store: Path) -> str:
    """Whether index.json, read raw, leads only to blobs that are there and right."""
    path = store / "index.json"
    if not path.exists():
        return ""
    try:
        index = json.loads(path.read_bytes())
    except ValueError as error:
        return f"index.json is not whole: {error}"
    todo: list[Sequence[dict[str, object]]] = [index["manifests"]]
    while todo:
        for descriptor in todo.pop():
            hexadecimal = str(descriptor["digest"]).partition(":")[2]
            blob = store / "blobs" / "sha256" / hexadecimal
            if not blob.exists():
                return f"index.json leads to {hexadecimal}, which is missing"
            data = blob.read_bytes()
            if hashlib.sha256(data).hexdigest() != hexadecimal or len(data) != descriptor["size"]:
                return f"index.json leads to {hexadecimal}, which is wrong"
            if "manifest" in str(descriptor["mediaType"]):
                document = json.loads(data)
                todo.append([document["config"], *document["layers"]])
    return ""
