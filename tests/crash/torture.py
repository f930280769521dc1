"""tools/torture: which forms there are, their options, and spreading their work over processes."""

from __future__ import annotations

import argparse
import functools
import importlib.util
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path
from random import Random
from typing import NamedTuple, TypeVar

from tests.crash.harness import ENVIRONMENT, Bench, Fault, Point, compiled, spread
from tests.crash.powercut import SEQUENCES, PowerCut
from tests.crash.registry import available, serving
from tests.crash.scenarios import SCENARIOS, Scenario, named
from tests.crash.serving import serve_and_kill
from tests.crash.soak import soak
from tests.property.histories import live
from tests.property.hostile import ALL_KINDS
from tests.property.victim import MEBIBYTES, Victim, resident

T = TypeVar("T")
R = TypeVar("R")

TOLD = 1000  # so often a sweep says how far it is
ASKED_TO_END = ("SIGTERM", "SIGINT", "SIGHUP")


class Try(NamedTuple):
    """One thing to try, in a worker: which scenario, where, and how."""

    scenario: int
    point: Point
    how: str


class Verdict(NamedTuple):
    """What came of it; `wrong` is empty where all is well."""

    what: str
    wrong: str


def main(description: str) -> int:
    """Run the forms asked for; 1 if anything was not as it must be."""
    parser = argparse.ArgumentParser(
        prog="tools/torture", description=description.split("\n", maxsplit=1)[0]
    )
    parser.add_argument("forms", nargs="*", metavar="FORM", help=", ".join(FORMS))
    parser.add_argument("--only", default="", help="scenarios whose name has this in it")
    parser.add_argument("--points", type=int, help="points of each command (default: all)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="of soak, serve, fuzz, histories (default 10)"
    )
    parser.add_argument("--processes", type=int, default=6, help="of soak; clients of serve")
    parser.add_argument(
        "--seed", type=int, default=int(time.time()), help="of soak, serve, fuzz, histories"
    )
    parser.add_argument("--guided", action="store_true", help="fuzz by coverage, with atheris")
    options = parser.parse_args()
    if strange := set(options.forms) - set(FORMS):
        parser.error(f"no such form: {', '.join(sorted(strange))}")
    summaries = []
    failed = False
    for form in options.forms or FORMS:
        good, summary = FORMS[form](options)
        summaries.append(summary)
        failed = failed or not good
    print("\n".join(summaries))
    return int(failed)


def scenarios(options: argparse.Namespace) -> Iterator[tuple[int, Scenario]]:
    """The scenarios asked for, with their numbers."""
    return (
        (at, one)
        for at, one in enumerate(SCENARIOS)
        if options.only.lower() in one.name.lower() and (available() or not one.needs_registry)
    )


def tally(verdicts: Iterable[Verdict]) -> tuple[int, int]:
    """Print what is wrong; returns how many there were, and how many of them were well."""
    count = good = 0
    for what, wrong in verdicts:
        count += 1
        good += not wrong
        if count % TOLD == 0:
            print(f"{count} tried, {good} ok", flush=True)
        if wrong:
            print(f"{what}: {wrong.strip()}", flush=True)
    return count, good


def over_processes(work: Callable[[T], R], things: Iterable[T], jobs: int) -> Iterator[R]:
    """Do the work in several processes, each with a temporary folder of its own."""
    registry = serving() if available() else nullcontext()
    with tempfile.TemporaryDirectory(prefix="casstore-compiled-") as folder, registry:
        ENVIRONMENT["PYTHONPATH"] = compiled(Path(folder))
        begin = [ENVIRONMENT["PYTHONPATH"]]
        with multiprocessing.get_context("spawn").Pool(jobs, _begin, begin) as pool:
            yield from pool.imap_unordered(work, things, chunksize=1)


def _begin(package: str) -> None:
    global _folder  # noqa: PLW0603 - one a worker, removed with it
    _folder = tempfile.TemporaryDirectory(prefix="casstore-torture-")
    ENVIRONMENT["PYTHONPATH"] = package


_folder: tempfile.TemporaryDirectory[str]


@functools.cache
def bench_of(scenario: int) -> Bench:
    """This worker's bench of a scenario."""
    return Bench(SCENARIOS[scenario], Path(_folder.name) / f"bench-{scenario}")


def _sweep(options: argparse.Namespace, hows: tuple[str, ...]) -> Iterator[Try]:
    with tempfile.TemporaryDirectory() as folder:
        for number, scenario in scenarios(options):
            bench = Bench(scenario, Path(folder) / f"bench-{number}")
            points = spread(bench.calls, options.points)
            print(f"{scenario.name}: {len(bench.calls)} calls", flush=True)
            yield from (Try(number, point, how) for how in hows for point in points)


def _kill(one: Try) -> Verdict:
    name = SCENARIOS[one.scenario].name
    try:
        wrong = bench_of(one.scenario).killed(one.point, one.how)
    except Exception as error:  # noqa: BLE001 - a verdict like any other
        wrong = f"{type(error).__name__}: {error}"
    return Verdict(f"{name}: {one.how} at {one.point.call} {one.point.number}", wrong)


def kill(options: argparse.Namespace) -> tuple[bool, str]:
    """SIGKILL at every changing call of every command."""
    count, good = tally(over_processes(_kill, _sweep(options, ("SIGKILL",)), options.jobs))
    return count == good, f"killed {count} points: {good} ok"


def signals(options: argparse.Namespace) -> tuple[bool, str]:
    """SIGTERM, SIGINT and SIGHUP at every changing call of every command."""
    count, good = tally(over_processes(_kill, _sweep(options, ASKED_TO_END), options.jobs))
    return count == good, f"asked to end at {count} points: {good} ok"


def _fail(one: tuple[int, Fault]) -> Verdict:
    number, fault = one
    name = SCENARIOS[number].name
    try:
        wrong = bench_of(number).failed(fault)
    except Exception as error:  # noqa: BLE001 - a verdict like any other
        wrong = f"{type(error).__name__}: {error}"
    how = f"{fault.cause}{' for ever' if fault.forever else ''}"
    return Verdict(f"{name}: {how} at {fault.point.call} {fault.point.number}", wrong)


def faults(options: argparse.Namespace) -> tuple[bool, str]:
    """Every error at every call that can fail, of every command, once and for ever."""

    def everything() -> Iterator[tuple[int, Fault]]:
        with tempfile.TemporaryDirectory() as folder:
            for number, scenario in scenarios(options):
                bench = Bench(scenario, Path(folder) / f"bench-{number}")
                for fault in bench.faults(options.points):
                    yield number, fault

    count, good = tally(over_processes(_fail, everything(), options.jobs))
    return count == good, f"injected {count} faults: {good} ok"


def soaking(options: argparse.Namespace) -> tuple[bool, str]:
    """Many processes on one store for minutes, some of them killed."""
    seed = options.seed
    registry = serving() if available() else nullcontext()
    with tempfile.TemporaryDirectory(prefix="casstore-soak-") as folder, registry:
        commands, killed, wrong = soak(
            Path(folder), seconds=options.minutes * 60, processes=options.processes, seed=seed
        )
    for one in wrong:
        print(f"soak, seed {seed}: {one.strip()}", flush=True)
    return not wrong, (
        f"soak: {commands} commands by {options.processes} processes in {options.minutes:g} min,"
        f" {killed} killed: {len(wrong)} unexpected"
    )


def serve(options: argparse.Namespace) -> tuple[bool, str]:
    """Clients that push to a served store while the server is killed again and again."""
    seed = options.seed
    with tempfile.TemporaryDirectory(prefix="casstore-serve-") as folder:
        result = serve_and_kill(
            Path(folder), seconds=options.minutes * 60, clients=options.processes, seed=seed
        )
    for one in result.wrong:
        print(f"serve, seed {seed}: {one.strip()}", flush=True)
    counts = ", ".join(f"{count} {what}" for what, count in sorted(result.done.items()))
    return not result.wrong, (
        f"serve: {options.processes} clients and {result.commands} commands in"
        f" {options.minutes:g} min, the server killed {result.kills} times ({counts}):"
        f" {len(result.wrong)} unexpected"
    )


class Hunt(NamedTuple):
    """A worker's part of fuzz."""

    seed: int
    seconds: float
    findings: Path


def _fuzz(hunt: Hunt) -> tuple[Counter[str], list[str], int]:
    victim = Victim(Path(_folder.name) / "victim", ALL_KINDS, hunt.findings)
    end, seed, wrong = time.monotonic() + hunt.seconds, hunt.seed, []
    while time.monotonic() < end:
        seed += 1
        try:
            found = victim.problem(Random(seed), str(seed))  # noqa: S311 - an input to repeat
        except Exception as error:  # noqa: BLE001 - a verdict like any other
            found = f"{type(error).__name__}: {error}"
        if found:
            wrong.append(f"fuzz, seed {seed}: {found}")
            print(wrong[-1], flush=True)
    return victim.tried, wrong, resident()


def fuzz(options: argparse.Namespace) -> tuple[bool, str]:
    """Inputs that are nearly right, by mutation; with `--guided` led by coverage."""
    findings = Path(tempfile.gettempdir()) / f"casstore-fuzz-{options.seed}"
    if options.guided:
        return _guided(options, findings)
    hunts = [
        Hunt(options.seed * 1000 + (number << 50), options.minutes * 60, findings)
        for number in range(options.jobs)
    ]
    results = list(over_processes(_fuzz, hunts, options.jobs))
    tried: Counter[str] = sum((one for one, _, _ in results), Counter())
    wrong = [one for _, found, _ in results for one in found]
    most = max(mebibytes for _, _, mebibytes in results)
    if most > MEBIBYTES:
        wrong.append(f"fuzz: {most} MiB resident")
        print(wrong[-1], flush=True)
    return not wrong, _summary(tried, most, len(wrong))


def _live(part: tuple[int, float]) -> tuple[int, int, list[str]]:
    return live(*part)


def histories(options: argparse.Namespace) -> tuple[bool, str]:
    """Random histories of images in several forms, against a model."""
    parts = [(options.seed + (number << 30), options.minutes) for number in range(options.jobs)]
    lived = list(over_processes(_live, parts, options.jobs))
    wrong = [one for _, _, found in lived for one in found]
    for one in wrong:
        print(one, flush=True)
    count, steps = sum(one for one, _, _ in lived), sum(one for _, one, _ in lived)
    return not wrong, f"lived {count} histories of {steps} steps: {len(wrong)} went wrong"


def _summary(tried: Counter[str], most: int, wrong: int, edges: str = "") -> str:
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(tried.items()))
    return (
        f"fuzzed {tried.total()} inputs ({kinds}){edges}, at most {most} MiB:"
        f" {wrong} tracebacks or other wrongs"
    )


def _guided(options: argparse.Namespace, findings: Path) -> tuple[bool, str]:
    """By processes of their own: casstore's modules are instrumented when they are imported."""
    if importlib.util.find_spec("atheris") is None:
        return (
            False,
            "fuzz --guided: nothing was tried, for atheris is not installed (it is optional)",
        )
    tried: Counter[str] = Counter()
    most = wrong = edges = 0
    with tempfile.TemporaryDirectory(prefix="casstore-guided-") as top, ExitStack() as logs:
        started = []
        for number in range(options.jobs):
            folder = Path(top) / str(number)
            folder.mkdir()
            log = logs.enter_context((folder / "log").open("wb"))
            words = [options.seed + number, options.minutes * 60, folder, findings]
            command = [sys.executable, "-m", "tests.property.guided", *map(str, words)]
            one = subprocess.Popen(command, stderr=log, cwd=Path(__file__).parents[2])
            started.append((one, folder))
        for one, folder in started:
            ended = one.wait()
            said = (folder / "log").read_text(errors="replace")
            if ended or not (folder / "report").exists():
                print(f"fuzz --guided ended with {ended}: {said[-2000:]}", flush=True)
                wrong += 1
                continue
            report = json.loads((folder / "report").read_text())
            tried.update(report["tried"])
            most = max(most, report["resident"])
            wrong += report["wrong"]
            edges = max([edges, *map(int, re.findall(r"cov: (\d+)", said))])
    return not wrong, _summary(tried, most, wrong, f", {edges} edges")


class Slice(NamedTuple):
    """Some of the power cuts of a recording: each `of`-th, from the `part`-th on."""

    name: str
    part: int
    of: int
    moments: int | None


def _cut(one: Slice) -> list[Verdict]:
    folder = Path(_folder.name) / "powercut"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if one.name in SEQUENCES:
        recorded = SEQUENCES[one.name](folder)
    else:
        recorded = PowerCut(named(one.name), folder)
    verdicts = []
    for number, cut in enumerate(recorded.cuts(one.moments)):
        if number % one.of == one.part:
            try:
                wrong = recorded.problem(cut)
            except Exception as error:  # noqa: BLE001 - a verdict like any other
                wrong = f"{type(error).__name__}: {error}"
            verdicts.append(Verdict(f"{one.name}: {recorded.describe(cut)}", wrong))
    return verdicts


def powercut(options: argparse.Namespace) -> tuple[bool, str]:
    """Every state that the model of a power cut allows, of every command and some sequences.

    Not of those that write trees of files: they do not wait for the disk, and promise nothing.
    """
    names = [one.name for _, one in scenarios(options) if not one.unpacks]
    names += [name for name in SEQUENCES if options.only.lower() in name.lower()]
    slices = [
        Slice(name, part, options.jobs, options.points)
        for name in names
        for part in range(options.jobs)
    ]
    parts = over_processes(_cut, slices, options.jobs)
    count, good = tally(verdict for part in parts for verdict in part)
    return count == good, f"replayed {count} power cuts: {good} ok"


FORMS: dict[str, Callable[[argparse.Namespace], tuple[bool, str]]] = {
    "kill": kill,
    "signals": signals,
    "powercut": powercut,
    "faults": faults,
    "soak": soaking,
    "serve": serve,
    "fuzz": fuzz,
    "histories": histories,
}
