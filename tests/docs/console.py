"""The console sessions of a document: finding them, running them, comparing what they print.

A session is what is under one heading: indented lines, `$ ` before a command, then what it prints,
`(exit status N)` where that is not 0, and `...` for lines that are left out. Comments of the
document, which a reader does not see, say the rest:

    <!-- run: COMMANDS -->    commands (lines) to run here, whose output is not shown
    <!-- needs: PROGRAM -->   the session is skipped where the program is not installed
    <!-- not run: WHY -->     the next block is not run

Text in a block before its first command (a file, a table) is no part of a session.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

PIECE = re.compile(
    r"^```.*?^```$"
    r"|^\#+ (?P<heading>.*?)$"
    r"|^<!-- run: (?P<run>.*?)-->$"
    r"|^<!-- needs: (?P<needs>[^\n]*)-->$"
    r"|^<!-- not run: (?P<skip>[^\n]*)-->$"
    r"|^(?P<block>[ ]{4}[^\n]*(?:\n+[ ]{4}[^\n]*)*)",
    re.MULTILINE | re.DOTALL,
)

# What may differ from one run or machine to the next, and how two of a kind are compared.
TOKEN = re.compile(
    r"(?P<hex>\b[0-9a-f]{12,64}\b)"
    r"|(?P<time>\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z?)"
    r"|(?P<ago>(?:Less than a second|About an? \w+|\d+ \w+) ago|last used \d+[smhd] ago)"
    r"|(?P<size>\b\d+(?:\.\d+)? (?:B|kB|MB)(?![\w/]))"
    r"|(?P<percent>\(\d+%\))"
    r"|(?P<process>\bprocess-\d+)"
    r"|(?P<key>(?<![\w+/])[A-Za-z0-9+/]{50,}={0,2}|Loading  .*|Committing done .*)"
)
UNITS = {"B": 1, "kB": 1000, "MB": 1000000}
NEARLY = 0.1  # sizes of compressed bytes follow the version of the compressor
ANY_ORDER = (": Pushed", ": Download complete", ": Pull complete")
LASTS = 120  # seconds


class Step(NamedTuple):
    command: str
    printed: list[str]
    line: int  # in the document; 0: nothing that it prints is shown


class Session(NamedTuple):
    name: str  # the heading
    steps: list[Step]
    needs: list[str]


def sessions(path: Path) -> list[Session]:
    """The sessions of a document, in order; headings without commands are left out."""
    text = path.read_text(encoding="utf-8")
    found = [Session("", [], [])]
    skipping = False
    for piece in PIECE.finditer(text):
        steps = found[-1].steps
        if piece["heading"] is not None:
            found.append(Session(piece["heading"], [], []))
        elif piece["run"] is not None:
            steps.append(Step(piece["run"].strip(), [], 0))
        elif piece["needs"] is not None:
            found[-1].needs.extend(piece["needs"].split())
        elif piece["skip"] is not None:
            skipping = True
        elif piece["block"] is not None:
            if not skipping:
                steps += _steps(piece["block"], 1 + text.count("\n", 0, piece.start()))
            skipping = False
    return [session for session in found if any(step.line for step in session.steps)]


def _steps(block: str, first: int) -> list[Step]:
    steps: list[Step] = []
    for number, line in enumerate(block.split("\n"), first):
        if line.startswith("    $ "):
            steps.append(Step(line[6:], [], number))
        elif steps:
            steps[-1].printed.append(line[4:])
    return steps


def run(command: str, folder: Path, environment: dict[str, str]) -> list[str]:
    """The lines that a command prints, both streams as a terminal would show them."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False, timeout=LASTS,
    )  # fmt: skip
    lines = done.stdout.rstrip("\n").split("\n") if done.stdout.strip() else []
    return lines + ([f"(exit status {done.returncode})"] if done.returncode else [])


class Comparison:
    """Compares lines, and learns what stands for what: digests follow the compressor, too."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}  # the first 12 digits in the document: all those here

    def translated(self, command: str) -> str:
        """The command with the digests of this run in the place of the document's."""
        return re.sub(
            r"\b[0-9a-f]{12,64}\b",
            lambda word: self.known.get(word[0][:12], word[0])[: len(word[0])],
            command,
        )

    def differs(self, wanted: list[str], got: list[str]) -> str:
        """What is not as printed, or nothing."""
        wanted, got = _in_order(wanted, self.known), _in_order(got, {})
        while wanted or got:
            if wanted[:1] == ["..."]:
                wanted = wanted[1:]
                while got and not (wanted and self._fits(wanted[0], got[0])):
                    got = got[1:]
                continue
            if not wanted or not got or not self._fits(wanted[0], got[0]):
                ours = wanted[0] if wanted else None
                theirs = got[0] if got else None
                return f"document: {ours!r}\nprinted:  {theirs!r}"
            wanted, got = wanted[1:], got[1:]
        return ""

    def _fits(self, wanted: str, got: str) -> bool:
        if wanted.endswith(("…", " ...")) and wanted.strip() not in ("…", "..."):
            cut = wanted.rstrip("….").rstrip()
            wanted, got = cut, got[: len(cut)]
        ours, theirs = list(TOKEN.finditer(wanted)), list(TOKEN.finditer(got))
        if _plain(wanted) != _plain(got) or len(ours) != len(theirs):
            return False
        return all(self._same(a, b) for a, b in zip(ours, theirs, strict=True))

    def _same(self, ours: re.Match[str], theirs: re.Match[str]) -> bool:
        if ours.lastgroup != theirs.lastgroup:
            return False
        if ours.lastgroup == "hex":
            if len(ours[0]) != len(theirs[0]):
                return False
            known = self.known.setdefault(ours[0][:12], theirs[0])
            if len(theirs[0]) > len(known):
                self.known[ours[0][:12]] = theirs[0]
            return theirs[0].startswith(known) or known.startswith(theirs[0])
        if ours.lastgroup == "size":
            return abs(_bytes(ours[0]) - _bytes(theirs[0])) <= NEARLY * _bytes(ours[0])
        return True


def _in_order(lines: list[str], known: dict[str, str]) -> list[str]:
    # Blobs travel side by side: their last lines come in any order, here sorted.
    done: list[str] = []
    run: list[tuple[str, str]] = []
    for line in [*lines, ""]:
        if line.endswith(ANY_ORDER):
            run.append((known.get(line[:12], line)[:12], line))
            continue
        done += [text for _, text in sorted(run)]
        run = []
        done.append(line)
    return done[:-1]


def _plain(line: str) -> str:
    # Columns are as wide as what stands in them.
    return " ".join(TOKEN.sub(lambda token: f"<{token.lastgroup}>", line).split())


def _bytes(text: str) -> float:
    number, unit = text.split()
    return float(number) * UNITS[unit]


def environment(home: Path, programs: Path) -> dict[str, str]:
    """What a session sees: a store and a home of its own, and casstore among the programs."""
    kept = {name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "CASSTORE_STORE": str(home / "store"),
        "HOME": str(home),
        "PATH": f"{programs}:{os.environ['PATH']}",
        "COSIGN_PASSWORD": "",
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
    }
