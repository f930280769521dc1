"""fuzz led by coverage: the choices that make an input are bytes that libFuzzer mutates.

Needs atheris, which is no dependency of anything: `pip install atheris`. What reaches a new edge of
casstore's code is kept and changed further. Started by `tools/torture fuzz --guided`, as a process
of its own: casstore's modules have to be instrumented when they are imported, all of them.

    python -m tests.property.guided SEED SECONDS FOLDER FINDINGS [blind]

`blind` counts the edges of the same inputs without guidance, for comparison.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from random import Random

import atheris  # type: ignore[import-untyped]  # no dependency: whoever fuzzes installs it

with atheris.instrument_imports(include=["casstore"]):
    import importlib
    import pkgutil

    import casstore

    for _module in pkgutil.walk_packages(casstore.__path__, "casstore."):
        if "__main__" not in _module.name and "pytest_plugin" not in _module.name:
            importlib.import_module(_module.name)

from tests.property.hostile import ALL_KINDS
from tests.property.mutation import Choices
from tests.property.victim import Victim, resident

MOST_CHOICES = 2048  # bytes
FIRST = 64  # inputs to begin with
FRESH = 0.5
TOLD = 50  # inputs between two reports


def another(data: bytes, most: int, seed: int) -> bytes:
    """Every second input is a new one: without them the hunt stays where it began."""
    chance = Random(seed)  # noqa: S311 - libFuzzer's own seed
    if chance.random() < FRESH:
        return chance.randbytes(min(most, 512))
    mutated: bytes = atheris.Mutate(data, most)
    return mutated


def main(words: list[str]) -> None:
    """Run until the time is over; libFuzzer ends the process."""
    seed, seconds, folder, findings = int(words[0]), float(words[1]), Path(words[2]), words[3]
    blind = words[4:] == ["blind"]
    victim = Victim(folder / "victim", ALL_KINDS, Path(findings))
    wrong: set[str] = set()
    number = 0
    end = time.monotonic() + seconds

    def one(data: bytes) -> None:
        nonlocal number
        number += 1
        chance = Random(seed + number) if blind else Choices(data)  # noqa: S311
        label = f"{seed}-{number}"
        try:
            found = victim.problem(chance, label)
        except Exception as error:  # noqa: BLE001 - a verdict like any other
            found = f"{type(error).__name__}: {error}"
        if found:
            kept = victim.keep_choices(label, data)
            if found.partition("; its input")[0][-200:] not in wrong:
                wrong.add(found.partition("; its input")[0][-200:])
                sys.stdout.write(f"fuzz, choices {kept}: {found}\n")
                sys.stdout.flush()
        if number % TOLD == 0 or found or time.monotonic() > end - 1:
            report = {"tried": victim.tried, "wrong": len(wrong), "resident": resident()}
            (folder / "report").write_text(json.dumps(report))

    corpus = folder / "corpus"
    corpus.mkdir()
    chance = Random(seed)  # noqa: S311 - inputs to repeat
    for at in range(FIRST):
        (corpus / str(at)).write_bytes(chance.randbytes(256))
    atheris.Setup(
        ["fuzz", str(corpus), f"-seed={seed % (1 << 31) or 1}", f"-max_total_time={int(seconds)}",
         f"-max_len={MOST_CHOICES}", "-len_control=0", "-rss_limit_mb=0", "-timeout=0",
         "-reload=0", f"-artifact_prefix={folder}/"],
        one,
        custom_mutator=another,
    )  # fmt: skip
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
