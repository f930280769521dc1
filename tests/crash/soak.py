"""Many processes on one store for minutes, some of them killed, and somebody who only reads files.

Each process has names of its own, which must always be what it last made them, and all share some
names and all blobs. Every command is a process, as for a user. What may be answered besides success
is written down: a name that somebody else has just removed, an image that somebody just leased.
Where there is a registry (registry.py), they pull from it and push to it as well.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from casstore import Store
from tests.crash.checks import leftovers, output_problems, published_problems
from tests.crash.harness import ENVIRONMENT
from tests.crash.scenarios import REGISTRY
from tests.transfer.building import docker_archive, layer

KILLED = 0.15  # of the commands, by SIGKILL at a random moment
SHARED = ("shared:1", "shared:2", "shared:3")
LAYERS = 6
SELDOM = 0.2  # a rebuild, which takes the lock for long
# What a command on a shared name may answer, for somebody else works on the same names.
CONFLICTS = re.compile(
    r"No such image|No such lease|image has dependent child images|is leased|is held|in use"
    r"|must be forced|No such object|unable to (delete|remove)|does not exist locally"
)
NOT_IN_TRASH = re.compile(r"is not in the trash")  # somebody has emptied it
NOT_RESTORED = re.compile(r"is not in the trash|is the name of image")


class Report(NamedTuple):
    """What one process saw."""

    commands: int
    killed: int
    wrong: list[str]


class Worker:
    """One process that uses the store."""

    def __init__(self, number: int, folder: Path, seed: int) -> None:
        self._name = f"own{number}:1"
        self._folder = folder
        self._store = str(folder / "store")
        self._chance = random.Random(seed)  # noqa: S311 - a history to repeat
        self._out = folder / f"out-{number}"
        self._mine: str | None = None  # the image that the own name leads to
        self._unsure = False  # a command about it was killed
        self._kept: str | None = None  # what the trash has of that name
        self._commands = self._killed = 0
        self._wrong: list[str] = []

    def run(self, seconds: float) -> Report:
        """Work until the time is over."""
        end = time.monotonic() + seconds
        steps: list[Callable[[], None]] = [
            self.load_own, self.load_shared, self.tag_own, self.look, self.look, self.remove_own,
            self.remove_shared, self.prune, self.gc, self.save, self.inspect, self.lease,
            self.keep_own, self.restore_own, self.keep_shared, self.restore_shared,
            self.empty_trash, self.lease_run, self.rebuild, self.copy,
        ]  # fmt: skip
        if REGISTRY in os.environ:
            steps += [self.pull, self.pull, self.push]
        while time.monotonic() < end and len(self._wrong) < 5:
            self._chance.choice(steps)()
        return Report(self._commands, self._killed, self._wrong)

    # Steps

    def load_own(self) -> None:
        archive, image = self._archive([self._name])
        self._about_own(["load", "-i", archive], image)

    def load_shared(self) -> None:
        archive, _ = self._archive([self._chance.choice(SHARED)])
        self._do(["load", "-i", archive])

    def tag_own(self) -> None:
        if self._mine is not None and not self._unsure:
            self._about_own(["tag", self._name, self._name], self._mine)

    def look(self) -> None:
        done = self._do(["images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"])
        if done is None or self._unsure:
            return
        listed = dict(line.replace("sha256:", "").split() for line in done.stdout.splitlines())
        found = listed.get(self._name)
        if found != self._mine:
            self._wrong.append(f"{self._name} is {found}, not {self._mine}")

    def remove_own(self) -> None:
        # by force, for it may not be there after a command that was killed
        self._about_own(["rmi", "-f", self._name], None)

    def remove_shared(self) -> None:
        self._do(["rmi", self._chance.choice(SHARED)], CONFLICTS)

    def prune(self) -> None:
        self._do(["prune", "-f"])

    def gc(self) -> None:
        self._do(["gc"])

    def save(self) -> None:
        name = self._name if self._mine and not self._unsure else self._chance.choice(SHARED)
        self._out.unlink(missing_ok=True)
        done = self._do(["save", "-o", str(self._out), name], CONFLICTS)
        if self._out.exists() and (bad := output_problems(self._out)):
            self._wrong.append(f"save of {name}: {bad}")
        if done is not None and done.returncode == 0 and not self._out.exists():
            self._wrong.append(f"save of {name}: no file")
        if name == self._name and done is not None and done.returncode:
            self._wrong.append(f"save of an own name: {done.stderr}")

    def inspect(self) -> None:
        done = self._do(["inspect", self._chance.choice(SHARED)], CONFLICTS)
        if done is not None and done.returncode == 0:
            json.loads(done.stdout)

    def lease(self) -> None:
        if self._mine is not None and not self._unsure:
            self._do(["lease", "add", f"by-{os.getpid()}", "--ttl", "1s", self._name])

    def keep_own(self) -> None:
        if self._mine is not None and not self._unsure:
            kept = self._mine
            sure = self._about_own(["rmi", "-f", "--keep", "1h", self._name], None)
            self._kept = kept if sure else None

    def restore_own(self) -> None:
        if self._mine is None and not self._unsure and self._kept is not None:
            kept, self._kept = self._kept, None
            self._about_own(["restore", self._name], kept, NOT_IN_TRASH)

    def keep_shared(self) -> None:
        self._do(["rmi", "--keep", "1h", self._chance.choice(SHARED)], CONFLICTS)

    def restore_shared(self) -> None:
        self._do(["restore", self._chance.choice(SHARED)], NOT_RESTORED)

    def empty_trash(self) -> None:
        self._do(["trash", "empty"])

    def lease_run(self) -> None:
        """The command that runs under the lease looks at the image: it is there."""
        name = self._name if self._mine and not self._unsure else self._chance.choice(SHARED)
        look = [sys.executable, "-m", "casstore", "--store", self._store, "history", "-q", name]
        self._do(["lease", "run", name, "--", *look], None if name == self._name else CONFLICTS)

    def rebuild(self) -> None:
        if self._chance.random() < SELDOM:
            self._do(["fsck", "--rebuild"])

    def copy(self) -> None:
        if self._mine is not None and not self._unsure:
            self._do(["copy", self._name, f"copy-of-{self._name}"])
            self._do(["rmi", "-f", f"copy-of-{self._name}"])

    def pull(self) -> None:
        self._do(["pull", "-q", self._remote()])

    def push(self) -> None:
        self._do(["push", "-q", self._remote()], CONFLICTS)
        self._do(["rmi", self._remote()], CONFLICTS)

    def _remote(self) -> str:
        return f"{os.environ[REGISTRY]}/{self._chance.choice(('app:1', 'base:1'))}"

    # How a command is run

    def _about_own(
        self, words: list[str], image: str | None, allowed: re.Pattern[str] | None = None
    ) -> bool:
        """Whether it is known what the own name leads to after the command."""
        done = self._do(words, allowed)
        if done is None:
            self._unsure = True
        elif done.returncode == 0:
            self._mine, self._unsure = image, False
        return not self._unsure

    def _do(
        self, words: list[str], allowed: re.Pattern[str] | None = None
    ) -> subprocess.CompletedProcess[str] | None:
        """Run a command; None if it was killed."""
        self._commands += 1
        command = [sys.executable, "-m", "casstore", "--store", self._store, *words]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
        )
        if self._chance.random() < KILLED:
            time.sleep(self._chance.uniform(0.03, 0.4))
            process.kill()
        out, err = process.communicate()
        if process.returncode == -signal.SIGKILL:
            self._killed += 1
            for part in self._folder.glob(f"{self._out.name}.*.part"):
                part.unlink()
            return None
        if process.returncode and not (allowed and allowed.search(err)):
            self._wrong.append(f"{' '.join(words)}: exit status {process.returncode}: {err or out}")
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def _archive(self, tags: list[str]) -> tuple[str, str]:
        """A random image of a few: path of its archive, and its ID."""
        from hashlib import sha256

        from tests.transfer.building import config_of

        chosen = sorted(self._chance.sample(range(LAYERS), 3))
        layers = [layer(f"layer {number} " * 2000) for number in chosen]
        config = config_of(*layers, created=f"2020-01-0{self._chance.randint(1, 4)}T00:00:00Z")
        path = self._folder / f"in-{tags[0].replace(':', '-')}-{os.getpid()}.tar"
        path.write_bytes(docker_archive({"layers": layers, "config": config, "tags": tags}))
        return str(path), sha256(config).hexdigest()


def _work(task: tuple[int, Path, int, float]) -> Report:
    number, folder, seed, seconds = task
    return Worker(number, folder, seed).run(seconds)


def _watch(folder: Path, stop: Path, told: Path) -> None:
    """Read index.json raw, again and again: it is always whole and never leads to nothing."""
    store = folder / "store"
    looks = 0
    while not stop.exists():
        looks += 1
        if wrong := _hole(store):
            told.write_text(wrong)
            return
        time.sleep(0.01)
    told.with_suffix(".looks").write_text(str(looks))


def _hole(store: Path) -> str:
    """What index.json leads to and is not there, though the index.json of now still names it."""
    missing: set[str] = set()
    for _ in range(3):  # a blob may go after its name has gone: look whether the name is there yet
        try:
            index = json.loads((store / "index.json").read_bytes())
        except FileNotFoundError:
            return ""
        except ValueError as error:
            return f"index.json is not whole: {error}"
        named = {descriptor["digest"].partition(":")[2] for descriptor in index["manifests"]}
        lost = {name for name in named if not (store / "blobs" / "sha256" / name).exists()}
        missing = lost & missing if missing else lost
        if not missing:
            return ""
    return f"index.json leads to {sorted(missing)}, not there"


def soak(folder: Path, *, seconds: float, processes: int, seed: int) -> tuple[int, int, list[str]]:
    """Let processes work on a store in an empty folder.

    Returns:
        How many commands ran, how many of them were killed, and what was wrong.
    """
    store, stop, told = folder / "store", folder / "stop", folder / "told"
    archive = docker_archive({"layers": [layer("first")], "tags": ["first:1"]})
    (folder / "first.tar").write_bytes(archive)
    with Store(str(store)) as first:
        first.load(str(folder / "first.tar"))
    context = multiprocessing.get_context("spawn")
    watcher = context.Process(target=_watch, args=(folder, stop, told))
    watcher.start()
    tasks = [(number, folder, seed * 1000 + number, seconds) for number in range(processes)]
    with context.Pool(processes) as pool:
        reports = pool.map(_work, tasks, chunksize=1)
    stop.touch()
    watcher.join()
    wrong = [one for report in reports for one in report.wrong]
    if told.exists():
        wrong.append(told.read_text())
    wrong += _at_the_end(store)
    return sum(r.commands for r in reports), sum(r.killed for r in reports), wrong


def _at_the_end(store: Path) -> list[str]:
    with Store(str(store)) as last:
        last.gc()
        findings = [str(one) for one in last.check().findings if one.level != "note"]
        if "first:1" not in {str(n.familiar) for image in last.images() for n in image.names}:
            findings.append("a name that nobody touched is gone")
    return findings + [
        one
        for one in (published_problems(store), leftovers(store, parts=REGISTRY in os.environ))
        if one
    ]
