"""What an import, and what a command, loads. Start-up is most of what a command costs.

The interpreter runs without site-packages (-S): an editable install imports pathlib and re at
start, which would hide ours, and `rmi` must not need a third-party package at all.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from casstore import Store
from casstore.startup.imports import ROOMS
from tests.architecture.sources import ROOT, Module, modules

# Each costs milliseconds of start-up (BENCHMARKS.md).
HEAVY = frozenset(
    """
    argparse ast asyncio base64 bz2 collections concurrent contextlib copy cryptography csv
    dataclasses datetime email enum filelock fnmatch functools gettext gzip hashlib heapq hmac http
    importlib.metadata inspect ipaddress isal json keyword logging lzma multiprocessing operator
    pathlib pickle platform queue random re reprlib secrets selectors shlex shutil signal socket
    sqlite3 ssl string subprocess tarfile tempfile textwrap threading traceback types typing
    urllib uuid weakref zipfile zstandard
    """.split()  # noqa: SIM905 - names a line read better than one
)

IMPORT_EACH_ALONE = """
import importlib, sys
for name in sys.argv[1:]:
    for loaded in [m for m in sys.modules if m.partition(".")[0] == "casstore"]:
        del sys.modules[loaded]
    try:
        importlib.import_module(name)
    except Exception as error:
        print(f"{name}: {type(error).__name__}: {error}")
"""

RUN_AND_LIST_MODULES = """
import sys
before = set(sys.modules)
root, listing, *argv = sys.argv[1:]
sys.path.insert(0, root)
sys.argv = ["casstore", *argv]

import os
leave = os._exit
def list_and_leave(status):
    with open(listing, "w") as file:
        file.write("\\n".join(sorted(set(sys.modules) - before)))
    leave(status)
os._exit = list_and_leave

from casstore.__main__ import main
main()
"""

RUN_AND_LIST_LATE_IMPORTS = """
import os, sys
root, listing, *argv = sys.argv[1:]
sys.path.insert(0, root)
sys.argv = ["casstore", *argv]

from casstore.backends.local.edits import LocalEdits
commit, leave, late = LocalEdits.commit, os._exit, []

class Watch:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in sys.builtin_module_names:
            late.append(name)

def commit_and_watch(self):
    commit(self)
    late.clear()  # prune's first change removes nothing, and its second is done or not
    sys.meta_path.insert(0, Watch)

def list_and_leave(status):
    with open(listing, "w") as file:
        file.write("\\n".join(late))
    leave(status)

LocalEdits.commit, os._exit = commit_and_watch, list_and_leave

from casstore.__main__ import main
main()
"""

ARCHIVE = ROOT / "fixtures" / "images" / "docker-save" / "commit.tar"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two images."""
    path = tmp_path_factory.mktemp("startup") / "store"
    with Store(path) as store:
        store.load(ARCHIVE)
    return path


@pytest.fixture
def store(loaded: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    with Store(loaded) as origin:
        origin.clone(tmp_path / "store")
    return tmp_path / "store"


def _loads(
    tmp_path: Path, *argv: str, status: int = 0, program: str = RUN_AND_LIST_MODULES
) -> set[str]:
    """The modules that one run of casstore imports."""
    listing = tmp_path / "modules"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, ROOT, listing, *argv],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return set(listing.read_text().split())


def test_each_module_imports_alone() -> None:
    names = [module.name for module in modules() if module.room != "__main__"]

    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EACH_ALONE, *names],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stdout == ""


@pytest.mark.parametrize(
    "command",
    [
        "images",
        "images -a --digests --no-trunc",
        "__complete images shop/",
        "tag shop/committed:1 new:1",
        "rmi shop/committed:1",
        "rmi -f 9b2e777a498d",
        "rmi --dry-run shop/committed:1 shop/imported:1",
    ],
)
def test_the_everyday_commands_load_nothing_heavy(
    command: str, store: Path, tmp_path: Path
) -> None:
    assert _loads(tmp_path, "--store", str(store), *command.split()) & HEAVY == set()


@pytest.mark.parametrize("options", ["", "--format {{.Id}}", "--format json"])
def test_inspect_loads_nothing_heavy(options: str, store: Path, tmp_path: Path) -> None:
    loaded = _loads(tmp_path, "--store", str(store), "inspect", *options.split(), "9b2e777a498d")

    assert loaded & HEAVY == set()


# What each everyday command has no use for. Store is put together of parts, and the command opens
# the part it needs.
OTHER_PARTS = frozenset(
    f"casstore.{name}"
    for name in """
    backends.memory change.leases change.rehearsal change.trash flows.save flows.selection ports
    progress results.exchange results.leases results.settings results.space results.trash
    results.trust results.upkeep store.archives store.copies store.keys store.leases
    store.registries store.settings store.space store.trash store.upkeep transfer
    """.split()  # noqa: SIM905
)
LOOKS = OTHER_PARTS | {
    f"casstore.{name}"
    for name in """
    backends.local.creation backends.local.edits backends.local.leftovers backends.local.locks
    backends.local.published backends.local.reserve backends.local.uses change.commit
    change.removal model.platform queries.platforms rules.removal store.names
    """.split()  # noqa: SIM905
}
CHANGES = OTHER_PARTS | {
    f"casstore.{name}"
    for name in """
    backends.local.creation backends.local.leftovers backends.local.publishedlines
    backends.local.tokens backends.local.usehistory cli.render files.output rules.filters
    store.images
    """.split()  # noqa: SIM905
}
NEEDLESS = {
    "images": LOOKS | {"casstore.rules.filters"},
    "inspect 9b2e777a498d": LOOKS,
    "__complete images shop/": LOOKS,
    "tag shop/committed:1 new:1": CHANGES
    | {"casstore.backends.local.blobs", "casstore.change.removal", "casstore.rules.removal"},
    "rmi shop/committed:1": CHANGES | {"casstore.backends.local.uses"},
}
# How many modules of casstore they import: each costs a tenth of a millisecond or more. A change of
# a store on a tmpfs imports one more than on a disk.
MOST = {"images": 36, "inspect": 40, "__complete": 29, "tag": 39, "rmi": 43}


@pytest.mark.parametrize("command", NEEDLESS)
def test_an_everyday_command_loads_its_own_part_of_the_store_alone(
    command: str, store: Path, tmp_path: Path
) -> None:
    loaded = _loads(tmp_path, "--store", str(store), *command.split())

    assert loaded & NEEDLESS[command] == set()
    ours = {name for name in loaded if name.partition(".")[0] == "casstore"}
    ours.difference_update(f"casstore.{room}" for room in ROOMS)  # no file is read for them
    assert len(ours) <= MOST[command.split(maxsplit=1)[0]], sorted(ours)


def test_the_parts_that_a_command_must_not_load_are_there() -> None:
    assert set().union(*NEEDLESS.values()) <= {module.name for module in modules()}


@pytest.mark.parametrize(
    "command",
    [
        "tag shop/committed:1 new:1",
        "rmi shop/committed:1",
        "rmi -f 9b2e777a498d",
        "rmi --keep 24h shop/committed:1",
        "prune -a -f",
        "pin shop/committed:1",
        "lease add keep shop/committed:1",
        "config set trash.keep 24h",
    ],
)
def test_nothing_is_imported_after_the_commit(command: str, store: Path, tmp_path: Path) -> None:
    # with no descriptor left an import fails, and what is done would be told as a failure
    argv = ("--store", str(store), *command.split())

    assert _loads(tmp_path, *argv, program=RUN_AND_LIST_LATE_IMPORTS) == set()


def test_a_refused_rmi_loads_nothing_heavy(store: Path, tmp_path: Path) -> None:
    assert _loads(tmp_path, "--store", str(store), "rmi", "nosuch", status=1) & HEAVY == set()


@pytest.mark.parametrize("words", ["--help", "rmi --help", "images --help"])
def test_help_loads_nothing_heavy(words: str, tmp_path: Path) -> None:
    assert _loads(tmp_path, *words.split()) & HEAVY == set()


def test_the_front_door_loads_nothing() -> None:
    program = "import sys; import casstore; print(*(m for m in sys.modules if 'casstore.' in m))"

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == ""


def test_a_load_of_what_is_there_loads_nothing_that_packs_or_parses(
    store: Path, tmp_path: Path
) -> None:
    loaded = _loads(tmp_path, "--store", str(store), "load", "-q", "-i", str(ARCHIVE))

    packing = {"casstore.transfer.layerpacker", "casstore.transfer.piecework", "zstandard", "queue"}
    assert loaded & {*packing, "re", "json", "typing", "hashlib", "bz2", "lzma"} == set()
    assert "casstore.transfer.dockerarchive" in loaded


STARTUP = [module for module in modules() if module.room == "startup"]


@pytest.mark.parametrize("module", STARTUP, ids=lambda module: module.path)
def test_a_trick_says_what_it_gains_and_where_it_was_tried(module: Module) -> None:
    said = " ".join((ast.get_docstring(module.tree) or "").split())

    assert re.search(r"Gain: .*\d ms", said)
    assert "Tried on CPython 3.11, 3.12 and 3.13" in said


def test_modules_that_python_keeps_for_itself_are_imported_in_one_room() -> None:
    private = {
        f"{module.path}:{one.line} {one.name}"
        for module in modules()
        for one in module.statements()
        if one.name.startswith("_") and one.name.partition(".")[0] != "__future__" and not one.types
    }

    # A signal can come before anything else is imported.
    assert [
        one for one in sorted(private) if not one.startswith(("startup/", "__main__.py:"))
    ] == []
