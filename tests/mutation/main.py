"""tools/mutate: its options, the two stages of a run, and what it prints."""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.mutation.ledger import Ledger
from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.reach import ROOT, Reach
from tests.mutation.trial import ARGUMENTS, Importing, Loaded

STATE = ROOT / "build" / "mutation"


def main(description: str) -> int:
    """Try mutants and print those that no test noticed; 1 if there is one."""
    options = _parser(description).parse_args()
    os.chdir(ROOT)
    (STATE / "reach").mkdir(parents=True, exist_ok=True)
    mutants = [
        mutant
        for path in _modules(options.paths)
        for mutant in mutants_of(str(path.relative_to(ROOT)), path.read_text())
    ]
    if options.matching:
        mutants = [mutant for mutant in mutants if options.matching in mutant.key]
    if options.sample:
        chosen = random.Random(options.seed).sample(range(len(mutants)), options.sample)
        mutants = [mutants[number] for number in sorted(chosen)]
    ledger = Ledger(STATE / "outcomes.jsonl")
    if options.fresh:
        ledger.forget(mutants, ("killed", "survived", "unreached"))
    elif options.again:
        ledger.forget(mutants, ("survived", "unreached"))
    if not options.list:
        if os.geteuid() == 0:
            _say("note: as root, a mutant of code that writes files can harm this machine")
        reach = Reach(STATE / "reach")
        _try(reach, ledger, mutants, options)
        ledger = Ledger(STATE / "outcomes.jsonl")
    return _print(ledger, mutants)


def _parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tools/mutate", description=description.split("\n", maxsplit=1)[0]
    )
    parser.add_argument("paths", nargs="*", default=["casstore"], metavar="PATH")
    parser.add_argument("--matching", default="", metavar="TEXT", help="only such mutants")
    parser.add_argument("--sample", type=int, metavar="N", help="so many, chosen by --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument(
        "--limit", type=float, default=120, metavar="SECONDS",
        help="that a mutant is tried with its tests, fastest first (default: 120)",
    )  # fmt: skip
    parser.add_argument(
        "--tests", nargs="*", default=["tests"], metavar="PATH",
        help="try with these tests only, such as reach the mutant (default: all)",
    )  # fmt: skip
    parser.add_argument("--again", action="store_true", help="try what survived once more")
    parser.add_argument("--fresh", action="store_true", help="forget what came of these mutants")
    parser.add_argument("--list", action="store_true", help="try nothing, print what is known")
    return parser


def _modules(paths: Sequence[str]) -> list[Path]:
    """The modules there, each once."""
    found: dict[Path, None] = {}
    for path in map(Path.resolve, map(Path, paths)):
        found.update(dict.fromkeys(sorted(path.rglob("*.py")) if path.is_dir() else [path]))
    return list(found)


def _try(
    reach: Reach, ledger: Ledger, mutants: Sequence[Mutant], options: argparse.Namespace
) -> None:
    sys.stdout.flush()
    process = os.fork()
    if process == 0:  # for the second stage casstore must not be imported yet
        loaded = Loaded(reach, ledger, mutants, jobs=options.jobs, limit=options.limit, say=_say)
        status = pytest.main([*ARGUMENTS, *options.tests], plugins=[loaded])
        sys.stdout.flush()
        os._exit(0 if status in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) else 1)
    _, status = os.waitpid(process, 0)
    if status:
        sys.exit("the tests could not be collected")
    ledger = Ledger(STATE / "outcomes.jsonl")
    reach.load(_modules(options.tests))
    Importing(reach, ledger, mutants, jobs=options.jobs, limit=options.limit).run()
    for test in sorted(reach.bad):
        print(f"left out, does not pass here: {test}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _print(ledger: Ledger, mutants: Sequence[Mutant]) -> int:
    survivors = 0
    for mutant in mutants:
        outcome = ledger.outcome(mutant)
        if outcome is not None and outcome.what in ("survived", "unreached"):
            survivors += 1
            print(f"\n{mutant.module}:{mutant.line}: {outcome.what}, {outcome.tests} tests")
            print(mutant.key)
    print()
    modules: dict[str, list[Mutant]] = {}
    for mutant in mutants:
        modules.setdefault(mutant.module, []).append(mutant)
    for module, some in [*modules.items(), ("all", list(mutants))]:
        told = ", ".join(f"{number} {what}" for what, number in sorted(ledger.count(some).items()))
        print(f"{module}: {len(some)} mutants: {told}")
    return 1 if survivors else 0
