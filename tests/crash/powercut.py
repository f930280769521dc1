"""What a disk may hold after a power cut, and whether a store survives all of it.

The model is stricter than any real file system, so that nothing rests on the kindness of one:

- data of a file is on the disk after fsync or fdatasync of the file, and not before;
- a name (made, linked, renamed, removed) is on the disk after fsync of its directory, not before;
- of what is not synced any part may be there: each write and each name by itself, in any order;
- data that was lost is missing (the file is short), or is there as zeros, or ends in the middle.

It assumes: a rename over a file shows the old file or the new one; the old name of a renamed file
goes only when the new one is there; a write of up to 4 KiB that is on the disk is there as
written, unless it is the last one; what was synced stays.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from casstore import Store
from tests.crash.checks import (
    Expectation,
    output_problems,
    published_problems,
    state_of,
    verify,
)
from tests.crash.harness import ENVIRONMENT, spread
from tests.crash.recording import (
    UNIMPORTANT,
    Entry,
    Exit,
    Files,
    Operation,
    Recorder,
    Resize,
    Sync,
    Write,
    apply_resize,
    apply_write,
)
from tests.crash.scenarios import Scenario, named

FEW = 6  # writes of one file that are lost one by one; all, where there are no more
RANDOM = 3  # parts of what is not synced taken at random, at each moment
BLOCK = 4096

Tree = dict[str, "bytes | None"]  # path -> content, None for a directory


class Loss(NamedTuple):
    """One way of losing what is not synced: which operations are there, and how data ends."""

    kept: frozenset[int]
    torn: frozenset[int] = frozenset()  # inodes whose last kept write ends in its middle
    zeroed: frozenset[int] = frozenset()  # inodes whose size is there, and not their data


class Disk:
    """What is durable, and what is pending, at one moment of a recording."""

    def __init__(self, start: Files, directories: frozenset[int] = frozenset()) -> None:
        self._directories = directories
        self.content = {inode: bytearray(data) for inode, data in start.content.items()}
        self.entries = {inode: dict(names) for inode, names in start.entries.items()}
        self.pending: dict[int, Write | Resize | Entry] = {}

    def add(self, number: int, operation: Operation) -> None:
        """An operation happens."""
        if isinstance(operation, Sync):
            self._sync(operation.inode)
        elif not isinstance(operation, Exit):
            self.pending[number] = operation

    def _sync(self, inode: int) -> None:
        for number, operation in list(self.pending.items()):
            mine = operation.directory if isinstance(operation, Entry) else operation.inode
            if mine == inode:
                self._apply(operation, self.content, self.entries)
                del self.pending[number]

    @staticmethod
    def _apply(
        operation: Write | Resize | Entry,
        content: dict[int, bytearray],
        entries: dict[int, dict[str, int]],
    ) -> None:
        if isinstance(operation, Write):
            apply_write(content.setdefault(operation.inode, bytearray()), *operation[1:])
        elif isinstance(operation, Resize):
            apply_resize(content.setdefault(operation.inode, bytearray()), operation.size)
        elif operation.inode is None:
            entries.setdefault(operation.directory, {}).pop(operation.name, None)
        else:
            entries.setdefault(operation.directory, {})[operation.name] = operation.inode

    # What may be lost

    def losses(self, chance: random.Random) -> Iterator[Loss]:
        """Ways of losing what is pending."""
        everything = frozenset(self.pending)
        names = frozenset(n for n, one in self.pending.items() if isinstance(one, Entry))
        data = everything - names
        yield Loss(everything)
        yield Loss(frozenset())
        if not everything:
            return
        yield Loss(names)
        yield Loss(data)
        of_file: dict[int, list[int]] = {}
        for number in sorted(data):
            of_file.setdefault(self.pending[number].inode or 0, []).append(number)
        files = frozenset(of_file)
        yield Loss(everything, torn=files)
        yield Loss(everything, zeroed=files)
        for name in names:
            yield Loss(everything - {name})
            yield Loss(frozenset({name}))
            yield Loss(data | {name})
        for inode, numbers in of_file.items():
            mine = frozenset(numbers)
            yield Loss(everything - mine)
            yield Loss(everything, torn=frozenset({inode}))
            yield Loss(everything, zeroed=frozenset({inode}))
            few = numbers if len(numbers) <= FEW else chance.sample(numbers[:-2], FEW - 2)
            for number in {*few, *numbers[-2:]}:
                yield Loss(everything - {number})
                later = frozenset(n for n in numbers if n > number)
                yield Loss(everything - later)
                yield Loss(everything - later, torn=frozenset({inode}))
        for _ in range(RANDOM):
            yield Loss(frozenset(n for n in everything if chance.random() < 0.5))

    def after(self, loss: Loss) -> Tree:
        """The files that are there when the power is back."""
        content = {inode: bytearray(data) for inode, data in self.content.items()}
        entries = {inode: dict(names) for inode, names in self.entries.items()}
        last: dict[int, Write] = {}
        for number, operation in self.pending.items():
            if number not in loss.kept:
                continue
            if isinstance(operation, Entry) and operation.half:
                new_name = number - 1
                if new_name in self.pending and new_name not in loss.kept:
                    continue  # neither is the old one gone
            if isinstance(operation, Write):
                last[operation.inode] = operation
                if operation.inode in loss.zeroed:
                    operation = operation._replace(data=bytes(len(operation.data)))  # noqa: PLW2901
            self._apply(operation, content, entries)
        for inode in loss.torn & last.keys():
            write = last[inode]
            half = write.offset + len(write.data) // 2
            tail = content[inode][write.offset + len(write.data) :]
            content[inode][half:] = bytes(len(write.data) - len(write.data) // 2) + tail if tail \
                else b""  # fmt: skip
        return dict(self._walk(0, "", content, entries))

    def _walk(
        self,
        inode: int,
        path: str,
        content: dict[int, bytearray],
        entries: dict[int, dict[str, int]],
    ) -> Iterator[tuple[str, bytes | None]]:
        for name, child in sorted(entries.get(inode, {}).items()):
            where = f"{path}/{name}" if path else name
            if child in self._directories:
                yield where, None
                yield from self._walk(child, where, content, entries)
            elif not name.endswith("-shm"):
                empty = name.endswith(UNIMPORTANT)
                yield where, b"" if empty else bytes(content.get(child, b""))


class Cut(NamedTuple):
    """A moment at which the power goes, and what is left."""

    number: int
    loss: Loss
    tree: Tree
    exited: int  # commands that had ended with a status of 0 or 12


class PowerCut:
    """Recorded commands on a store, and the states that power cuts can leave of it."""

    def __init__(
        self,
        scenario: Scenario,
        folder: Path,
        *,
        then: Iterable[str] = (),
        killed_at: str = "",
        environment: dict[str, str] = ENVIRONMENT,
    ) -> None:
        """Record.

        Args:
            scenario: the command, and what it runs on.
            folder: an empty place to work in.
            then: commands that follow it, before anything else is synced.
            killed_at: strace's words for a call at which the first command is killed.
            environment: of the commands; PYTHONPATH says which casstore runs.
        """
        self.scenario = scenario
        work = folder / "work"
        work.mkdir(parents=True)
        self._store, self._out = work / "store", work / "out"
        with Store(str(self._store)) as store:
            scenario.prepare(store)
        for shared in self._store.glob("casstore.db-shm"):
            shared.unlink()
        if scenario.linked:
            subprocess.run(["cp", "-al", self._store, work / "twin"], check=True)
        shutil.copytree(work, folder / "before") if self._store.exists() else None
        states = [state_of(folder / "before" / "store")]
        recorder = Recorder(work)
        more = [scenario._replace(command=command) for command in then]
        for number, step in enumerate([scenario, *more]):
            words = ["--store", str(self._store), *step.words(self._out)]
            inject = [killed_at] if killed_at and number == 0 else []
            done = recorder.run([sys.executable, *step.program, *words], environment, *inject)
            if "Traceback" in done.stderr or (done.returncode not in (0, 12) and not inject):
                raise AssertionError(f"{step.command}: {done.stderr}")
            if wrong := recorder.check():
                raise AssertionError(f"the recording of {step.command} is not true: {wrong}")
            copy = folder / f"look-{number}"
            shutil.copytree(work, copy)
            states.append(state_of(copy / "store"))
        self._states = states
        self._killed = bool(killed_at)
        self._single = len(states) == 2 and not killed_at
        self._operations = recorder.operations
        self._start = recorder.start
        self._directories = frozenset(
            set(recorder.start.entries)
            | {one.directory for one in self._operations if isinstance(one, Entry)}
            | recorder.directories()
        )
        self._place = folder / "place"

    def cuts(self, moments: int | None = None) -> Iterator[Cut]:
        """Every state once. The power goes before each sync and each name, and after the end.

        Args:
            moments: not at each of these moments, but at so many of them, the last included.
        """
        chosen = self._moments(moments)
        seen: set[bytes] = set()
        disk = Disk(self._start, self._directories)
        chance = random.Random(1)  # noqa: S311 - the same states each time
        exited = 0
        for number, operation in enumerate([*self._operations, None]):
            if number in chosen:
                for loss in disk.losses(chance):
                    tree = disk.after(loss)
                    key = _key(tree, exited)
                    if key not in seen:
                        seen.add(key)
                        yield Cut(number, loss, tree, exited)
            if operation is not None:
                disk.add(number, operation)
            if isinstance(operation, Exit):
                exited += 1

    def _moments(self, at_most: int | None) -> set[int]:
        every = [
            number
            for number, operation in enumerate(self._operations)
            if isinstance(operation, Sync | Entry)
        ]
        return set(spread([*every, len(self._operations)], at_most))

    def problem(self, cut: Cut) -> str:
        """What is wrong with a store after a power cut; an empty text if nothing is."""
        shutil.rmtree(self._place, ignore_errors=True)
        self._place.mkdir()
        for path, data in cut.tree.items():
            if data is None:
                (self._place / path).mkdir()
            else:
                (self._place / path).write_bytes(data)
        store, out = self._place / "store", self._place / "out"
        done = cut.exited == len(self._states) - 1
        allowed = self._states[0 if self._killed and not done else cut.exited : cut.exited + 2]
        scenario = self.scenario
        written = out.is_file() or (done and scenario.writes_output)
        if written and (wrong := output_problems(out)):
            return wrong
        if scenario.linked and (wrong := self._twin_problem()):
            return wrong
        expected = Expectation(scenario, self._states[0], self._states[-1])
        if not self._single:
            expected = expected._replace(scenario=scenario._replace(command=""))
        return verify(store, out, expected, allowed=allowed, done=done and self._single)

    def _twin_problem(self) -> str:
        """What is wrong with the copy by hard links, which nobody has changed."""
        twin = self._place / "twin"
        if wrong := published_problems(twin):
            return f"the copy by hard links: {wrong}"
        seen = state_of(twin)
        return "" if seen == self._states[0] else f"the copy by hard links has {seen}"

    def describe(self, cut: Cut) -> str:
        """A cut in words."""
        moment = (
            "after the end"
            if cut.number == len(self._operations)
            else f"before operation {cut.number} {_short(self._operations[cut.number])}"
        )
        return f"power cut {moment}, {len(cut.loss.kept)} pending kept"


def _short(operation: Operation) -> str:
    return f"{type(operation).__name__}{tuple(x for x in operation if not isinstance(x, bytes))}"


def _key(tree: Tree, exited: int) -> bytes:
    state = hashlib.blake2b(str(exited).encode(), digest_size=16)
    for path, data in tree.items():
        state.update(f"{path}\0{None if data is None else len(data)}\0".encode())
        state.update(data or b"")
    return state.digest()


def _killed(
    first: str, then: str, *, at: str = "fdatasync", when: int = 3
) -> Callable[[Path], PowerCut]:
    """At a call of a name; by default at that of a new log, whose head and name come first."""
    killed_at = f"{at}:signal=SIGKILL:when={when}"
    return lambda folder: PowerCut(named(first), folder, then=[then], killed_at=killed_at)


# Commands that follow each other: what the first has not synced is pending still when the second
# relies on it. A change whose process died at the sync of SQLite's log is seen by the next process,
# but it is not durable yet.
SEQUENCES: dict[str, Callable[[Path], PowerCut]] = {
    "load, tag, rmi": lambda folder: PowerCut(
        named("load beside"), folder, then=["tag app:1 new:1", "rmi app:1 other:2"]
    ),
    "rmi, load": lambda folder: PowerCut(named("rmi"), folder, then=["load -i A/chain.tar"]),
    "rmi, rebuild, gc": lambda folder: PowerCut(
        named("rmi"), folder, then=["fsck --rebuild", "gc"]
    ),
    "save, save again": lambda folder: PowerCut(named("save"), folder, then=["save -o OUT base:1"]),
    "rmi killed at the flush of a log that was there, tag": _killed(
        "rmi after a command", "tag base:1 new:1", at="fdatasync", when=1
    ),
    "tag killed at the flush of a log that was there, rmi": _killed(
        "tag after a command", "rmi other:2", at="fdatasync", when=1
    ),
    "trash empty killed at the flush of a log that was there, tag": _killed(
        "trash empty after a command", "tag base:1 new:1", at="fdatasync", when=1
    ),
    "rmi killed before index.json has its name for good, tag": _killed(
        "rmi after a command", "tag base:1 new:1", at="fsync", when=2
    ),
    "tag killed before index.json has its name for good, rmi": _killed(
        "tag after a command", "rmi other:2 app:1", at="fsync", when=2
    ),
    "rmi, tag, rmi": lambda folder: PowerCut(
        named("rmi of a name after a command"), folder, then=["tag app:1 new:1", "rmi app:1 new:1"]
    ),
    "rmi killed at its commit, tag": _killed("rmi", "tag base:1 new:1"),
    "rmi killed at its commit, rmi -f": _killed("rmi", "rmi -f other:2 app:1"),
    "load killed at its commit, gc": _killed("load beside", "gc"),
    "tag killed at its commit, rmi": _killed("tag", "rmi -f nosuch:1"),
}
