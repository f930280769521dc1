"""casstore's own finder: what it finds is what Python's finder finds, only sooner."""

from __future__ import annotations

import ast
import os
import py_compile
import subprocess
import sys
import zipfile
from importlib import import_module
from importlib.machinery import BYTECODE_SUFFIXES, PathFinder
from importlib.util import cache_from_source, module_from_spec
from pathlib import Path
from types import ModuleType

import pytest

from casstore.startup.imports import ROOMS, Finder
from tests.architecture.sources import ROOT, modules

PACKAGE = ROOT / "casstore"
SUFFIX = f".{sys.implementation.cache_tag}{BYTECODE_SUFFIXES[0]}"
# Runs a command, and tells which loaders its modules had.
RUN_AND_LIST_LOADERS = """
import os, sys
leave = os._exit
def list_and_leave(status):
    for name, module in sorted(sys.modules.items()):
        if name.startswith("casstore."):
            print(name, type(module.__spec__.loader).__module__)
    sys.stdout.flush()
    leave(status)
os._exit = list_and_leave
from casstore.__main__ import main
main()
"""
FULL_ROOMS = [f"casstore.{room}" for room in ROOMS]
RUN_AND_LIST_ROOMS = RUN_AND_LIST_LOADERS.replace(
    "print(name, type(module.__spec__.loader).__module__)",
    "print(name, getattr(module, '__file__', '-'), *getattr(module, '__path__', '-'))",
)


def _loaders(path: Path, *options: str, **environment: str) -> dict[str, str]:
    """The modules that `images --help` imports, each with where its loader comes from."""
    done = subprocess.run(
        [sys.executable, *options, "-c", RUN_AND_LIST_LOADERS, "images", "--help"],
        env={**os.environ, "PYTHONPATH": str(path), **environment},
        capture_output=True, text=True, check=True, cwd=path if path.is_dir() else path.parent,
    )  # fmt: skip
    lines = (line.split() for line in done.stdout.splitlines() if line.startswith("casstore."))
    return dict(lines)


class Plain:
    """A package of one module in a folder, found by a finder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "plain"
        self.folder.mkdir()
        self.source = self.folder / "one.py"
        self.write("value = 1\n", time=1_000_000_000)
        self.finder = Finder("plain", str(self.folder), SUFFIX)

    def write(self, text: str, *, time: int) -> None:
        self.source.write_text(text)
        os.utime(self.source, (time, time))

    def load(self) -> ModuleType:
        spec = self.finder.find_spec("plain.one")
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    @property
    def bytecode(self) -> Path:
        return Path(cache_from_source(str(self.source)))


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plain:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return Plain(tmp_path)


def test_a_command_finds_its_modules_with_it() -> None:
    loaders = _loaders(ROOT)

    assert loaders["casstore.cli.commands.images"] == "casstore.startup.imports"
    by_python = [
        name
        for name, loader in loaders.items()
        if loader != "casstore.startup.imports" and name not in FULL_ROOMS
    ]
    # what the command's first module needs has come before it
    assert by_python == ["casstore.__main__", "casstore.startup", "casstore.startup.imports"]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_whose_file_a_command_does_not_read_is_only_a_docstring(room: str) -> None:
    (module,) = (one for one in modules() if one.name == f"casstore.{room}")

    assert [type(statement) for statement in module.tree.body] == [ast.Expr]
    assert ast.get_docstring(module.tree) is not None


def test_a_command_reads_no_file_of_such_a_room() -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN_AND_LIST_ROOMS, "images", "--help"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    told = (line.split(maxsplit=1) for line in done.stdout.splitlines() if "casstore." in line)
    places = dict(told)

    for room in ROOMS:
        assert places[f"casstore.{room}"] == f"- {PACKAGE / room.replace('.', '/')}"


def test_importing_casstore_changes_nothing_in_how_python_imports() -> None:
    program = "import sys; before = list(sys.meta_path); import casstore; casstore.Store"
    program += "; sys.exit(sys.meta_path != before)"

    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


@pytest.mark.parametrize("name", [module.name for module in modules()])
def test_it_says_of_each_module_what_python_says(name: str) -> None:
    if name == "casstore":
        pytest.skip("a command has imported it before")
    path = import_module(name.rpartition(".")[0]).__path__
    theirs = PathFinder.find_spec(name, path)
    ours = Finder("casstore", str(PACKAGE), SUFFIX).find_spec(name)

    assert theirs is not None
    assert ours is not None
    for attribute in ("origin", "cached", "has_location", "submodule_search_locations", "parent"):
        assert getattr(ours, attribute) == getattr(theirs, attribute), attribute


@pytest.mark.parametrize("name", [module.name for module in modules()])
def test_it_loads_no_module_that_has_a_getattr(name: str) -> None:
    if name == "casstore":
        pytest.skip("a command has imported it before")

    assert "__getattr__" not in vars(import_module(name))


def test_a_module_that_lacks_something_says_so(plain: Plain) -> None:
    with pytest.raises(AttributeError, match="'two'"):
        _ = plain.load().two


def test_the_first_import_writes_the_bytecode(plain: Plain) -> None:
    assert plain.load().value == 1

    assert plain.bytecode.exists()


def test_what_is_loaded_later_is_the_bytecode(plain: Plain) -> None:
    plain.load()
    plain.write("value = 2\n", time=1_000_000_000)  # as long and as old

    assert plain.load().value == 1


@pytest.mark.parametrize(("text", "time"), [("value = 22\n", 1_000_000_000), ("value = 2\n", 1)])
def test_bytecode_of_another_source_does_not_count(plain: Plain, text: str, time: int) -> None:
    plain.load()
    plain.write(text, time=time)

    assert plain.load().value != 1


def test_bytecode_of_another_python_does_not_count(plain: Plain) -> None:
    plain.load()
    plain.bytecode.write_bytes(b"\0\0\r\n" + plain.bytecode.read_bytes()[4:])
    plain.write("value = 2\n", time=1_000_000_000)

    assert plain.load().value == 2


def test_bytecode_that_names_a_hash_is_for_python_to_judge(plain: Plain) -> None:
    py_compile.compile(
        str(plain.source), invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH
    )
    assert plain.load().value == 1
    plain.write("value = 2\n", time=1_000_000_000)

    assert plain.load().value == 2


def test_bytecode_too_long_to_be_read_at_once_is_loaded_all_the_same(plain: Plain) -> None:
    plain.write(f"value = {'x' * 70_000!r}\n", time=1_000_000_000)
    plain.load()

    assert len(plain.load().value) == 70_000


def test_a_module_tells_where_it_lies_now(plain: Plain, tmp_path: Path) -> None:
    plain.write("def where(): pass\n", time=1_000_000_000)
    plain.load()
    moved = plain.folder.rename(tmp_path / "moved")
    plain.finder = Finder("plain", str(moved), SUFFIX)

    assert plain.load().where.__code__.co_filename == str(moved / "one.py")


def test_other_packages_and_missing_modules_are_left_to_python(plain: Plain) -> None:
    (plain.folder / "folder").mkdir()

    for name in ("plain", "plainer.one", "json", "plain.two", "plain.folder"):
        assert plain.finder.find_spec(name) is None


def test_where_bytecode_is_kept_elsewhere_python_imports_everything(tmp_path: Path) -> None:
    loaders = _loaders(ROOT, PYTHONPYCACHEPREFIX=str(tmp_path))

    assert "casstore.startup.imports" not in loaders.values()


def test_from_an_archive_python_imports_everything(tmp_path: Path) -> None:
    archive = tmp_path / "casstore.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for module in PACKAGE.rglob("*.py"):
            file.write(module, module.relative_to(ROOT))

    assert set(_loaders(archive, "-P").values()) == {"zipimport"}
