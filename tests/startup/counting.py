"""One command, and what it takes, counted: numbers that are the same on every machine.

Within its process: statements of SQL, files of the store that Python opens, and modules. From
outside, by strace: waits for the disk, and those of them that others wait for too, as the lock is
held; system calls on files of the store; bytes that are read from them. What SQLite does with
its own files depends on its version: of that only the waits and the bytes are counted.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.architecture.sources import ROOT

RUN_AND_COUNT = """
import json, os, sys
root, report, store, *argv = sys.argv[1:]
sys.path.insert(0, root)
sys.argv = ["casstore", "--store", store, *argv]
before = set(sys.modules)
opened = []

def hear(event, args):
    if event == "open" and isinstance(args[0], str) and args[0].startswith(store):
        opened.append(args[0][len(store) + 1:])

sys.addaudithook(hear)
leave = os._exit
def report_and_leave(status):
    modules = sorted(set(sys.modules) - before)
    with open(report, "w") as file:
        json.dump({"opened": opened, "modules": modules}, file)
    leave(status)
os._exit = report_and_leave

from casstore.__main__ import main
main()
"""

RUN_AND_LISTEN = """
import json, os, sys
root, report, store, *argv = sys.argv[1:]
sys.path.insert(0, root)
sys.argv = ["casstore", "--store", store, *argv]

from casstore.backends.local import schema
connect, said = schema._open, []
def connect_and_listen(*how):
    connection = connect(*how)
    connection.set_trace_callback(said.append)
    return connection
schema._open = connect_and_listen
leave = os._exit
def report_and_leave(status):
    with open(report, "w") as file:
        json.dump(said, file)
    leave(status)
os._exit = report_and_leave

from casstore.__main__ import main
main()
"""

RUN = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from casstore.__main__ import main
main()
"""

SYNCS = "fsync,fdatasync,sync,syncfs,sync_file_range,msync"
_CALL = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)(.*)$")
_LIVES_ON = "SYNC_FILE_RANGE_WRITE)"  # a start of write-back, which waits for nothing


class Inside(NamedTuple):
    """What a command does within its process."""

    opened: list[str]  # paths in the store, in order
    modules: list[str]


class Outside(NamedTuple):
    """What the kernel sees of it."""

    syncs: list[str]  # names of files; "." is the store's directory
    locked_syncs: list[str]  # those while it holds the writers' lock
    calls: list[str]  # on files of the store that are not SQLite's
    read: int  # bytes from casstore.db and its log
    read_elsewhere: int  # bytes from all other files of the store


def _without_site(words: Sequence[str]) -> list[str]:
    """Where casstore is installed for development, site-packages import much; a load needs them."""
    return [] if words[0] == "load" else ["-S"]


def inside(store: Path, report: Path, *words: str) -> Inside:
    """Run a command and note what it opens and imports."""
    return Inside(**_reported(RUN_AND_COUNT, store, report, words))


def statements(store: Path, report: Path, *words: str) -> list[str]:
    """Run a command and note what it asks of SQLite, less what triggers do."""
    said: list[str] = _reported(RUN_AND_LISTEN, store, report, words)
    return [one for one in said if not one.startswith("--")]


def _reported(program: str, store: Path, report: Path, words: Sequence[str]) -> Any:
    done = subprocess.run(
        [sys.executable, "-I", *_without_site(words), "-c", program, ROOT, report, store, *words],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(report.read_text())


def outside(store: Path, trace: Path, *words: str) -> Outside:
    """Run a command under strace."""
    done = subprocess.run(
        ["strace", "-f", "-y", "-s", "0", "-o", trace, "-e", f"trace=%file,%desc,{SYNCS}",
         sys.executable, "-I", *_without_site(words), "-c", RUN, ROOT, "--store", store, *words],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return _read_trace(store, trace.read_text())


def _read_trace(store: Path, trace: str) -> Outside:
    syncs: list[str] = []
    locked_syncs: list[str] = []
    calls: list[str] = []
    read = read_elsewhere = 0
    lock = ""  # its descriptor, while it is held
    for line in trace.splitlines():
        match = _CALL.match(line)
        if match is None:
            continue
        call, words, result, _ = match.groups()
        paths = re.findall(rf'[<"]{re.escape(str(store))}([^">]*)[">]', words)
        if not paths:
            continue
        name = paths[0][1:] or "."
        is_sqlites = name.startswith("casstore.db")
        if call == "flock" and name == "casstore.lock" and result == "0":
            lock = words.partition("<")[0]
        elif call == "close" and words.partition("<")[0] == lock:
            lock = ""
        if call in SYNCS.split(",") and _LIVES_ON not in line:
            syncs.append(name)
            if lock:
                locked_syncs.append(name)
        elif not is_sqlites:
            calls.append(f"{call} {name}")
        if "read" in call and int(result) > 0 and call != "readlink":
            if is_sqlites:
                read += int(result)
            else:
                read_elsewhere += int(result)
    return Outside(syncs, locked_syncs, calls, read, read_elsewhere)
