"""What every source file keeps to: its length, its words, and which effects it may have."""

from __future__ import annotations

import ast
import re

import pytest

from tests.architecture.sources import ROOT, Module, modules

MAX_LINES = 400
NO_SUCH_ROOM = {"utils", "util", "common", "helpers", "helper", "misc"}

EVERY_MODULE = pytest.mark.parametrize("module", modules(), ids=lambda module: module.path)

# Effects that one module, or one room, keeps to itself.
DURABLE = {
    "os.fsync", "os.fdatasync", "os.rename", "os.renames", "os.replace", "os.link", "os.sync",
    "shutil.move",
}  # fmt: skip
ENVIRONMENT = {"os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv"}
TERMINAL = {"print()", "input()", "sys.stdout", "sys.stderr", "sys.stdin"}

# Of one machine, or of how the project is run; written apart so that this file does not hold them.
FOREIGN_WORDS = re.compile(
    "|".join(
        (
            "/wo" + r"rk\b",
            "/ro" + "ot/",
            "/ho" + r"me/(?!user\b)",
            r"\.\./sha" + "red",
            r"\bpy" + r"pi\b",
            r"\bis" + r"sue #?\d",
            "/opt/wh" + "eels",
        )
    ),
    re.IGNORECASE,
)
SUFFIXES = {".py", ".md", ".cfg", ".toml", ".sh", ".1", ""}


@EVERY_MODULE
def test_a_module_has_at_most_400_lines(module: Module) -> None:
    assert module.text.count("\n") <= MAX_LINES


@EVERY_MODULE
def test_a_module_says_what_it_is_for(module: Module) -> None:
    assert ast.get_docstring(module.tree)


@EVERY_MODULE
def test_a_module_defers_its_annotations(module: Module) -> None:
    code = [node for node in module.tree.body if not isinstance(node, ast.Expr)]

    assert not code or "from __future__ import annotations" in module.text


@EVERY_MODULE
def test_no_room_is_called_utils(module: Module) -> None:
    assert NO_SUCH_ROOM.isdisjoint(module.name.split("."))


@EVERY_MODULE
def test_only_durable_flushes_and_gives_files_their_names(module: Module) -> None:
    if module.path == "files/namesat.py":  # of trees outside of a store, which are not flushed
        assert module.uses() & DURABLE == {"os.rename", "os.link"}
    elif module.path != "files/durable.py":
        assert module.uses() & DURABLE == set()


@EVERY_MODULE
def test_only_the_command_line_reads_the_environment(module: Module) -> None:
    if module.room not in {"cli", "__main__"} and module.path != "store/__init__.py":
        assert module.uses() & ENVIRONMENT == set()


@EVERY_MODULE
def test_only_the_command_line_prints(module: Module) -> None:
    if module.room not in {"cli", "__main__"}:
        assert module.uses() & TERMINAL == set()


def test_no_file_speaks_of_one_machine() -> None:
    skipped = {".git", ".coverage", "fixtures", "build", "dist", "__pycache__"}
    found = []
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        if skipped & set(parts) or any(
            p.startswith(".venv") or p.endswith((".egg-info", "_cache")) for p in parts
        ):
            continue
        if path.is_file() and path.suffix in SUFFIXES and parts[0] != ".hypothesis":
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if FOREIGN_WORDS.search(line):
                    found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")

    assert found == []
