"""A format is a line in the table, a reader and a writer; nothing else knows it, or loads it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from casstore import Store
from casstore.transfer.formats import ARCHIVE, FORMATS, Format
from tests.architecture.sources import ROOT, Module, modules
from tests.architecture.test_startup import RUN_AND_LIST_MODULES

TABLE = "transfer/formats.py"
MODULES = {f"{form.module}{end}" for form in FORMATS for end in ("", "_out")}
# Docker is also a registry's transport, and the default of `Store.save`, which a signature shows.
NAMES = {name for form in FORMATS for name in (form.name, form.transport)} - {"docker"}
# In a longer text: "oci-archive", and "oci:" as before a path; "oci" may be of anything.
SPOKEN = re.compile("|".join(rf"\b{re.escape(name)}{'' if '-' in name else ':'}" for name in NAMES))


def _texts(module: Module) -> Iterator[str]:
    """The strings of a module, less its docstrings, and what stands for a value in a usage line."""
    others = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Expr) or (isinstance(node, ast.keyword) and node.arg == "value"):
            others.add(id(node.value))
    for node in ast.walk(module.tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in others:
                yield text


def test_only_the_table_and_the_formats_own_modules_say_a_format_s_name() -> None:
    own = {TABLE, *(f"transfer/{name}.py" for name in MODULES)}
    strays = [
        f"{module.path}: {text!r}"
        for module in modules()
        if module.path not in own
        for text in _texts(module)
        if text in NAMES or SPOKEN.search(text)
    ]

    assert strays == []


def test_no_other_room_imports_a_format_s_own_module() -> None:
    own = {f"casstore.transfer.{name}" for name in MODULES}
    users = {
        module.path for module in modules() if module.room != "transfer" and module.imports() & own
    }

    assert users == set()


def test_names_and_transports_are_of_one_format_each() -> None:
    assert len({form.name for form in FORMATS}) == len(FORMATS)
    assert len({form.transport for form in FORMATS}) == len(FORMATS)


def test_every_reader_and_writer_is_what_the_table_promises(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    lines = ["from casstore.transfer import formats"]
    for form in FORMATS:
        kind = "ArchiveWriter" if form.shape == ARCHIVE else "FolderWriter"
        lines += [
            f"from casstore.transfer import {form.module}, {form.module}_out",
            f"_: formats.Reader = {form.module}",
            f"_: formats.{kind} = {form.module}_out",
        ]
    lines = [re.sub("^_:", f"x{number}:", line) for number, line in enumerate(lines)]
    (tmp_path / "promises.py").write_text("\n".join(lines) + "\n")

    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", tmp_path / "promises.py"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.stdout, done.stderr) == ("", "")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("formats") / "store"
    with Store(path) as store:
        store.load(ROOT / "fixtures" / "images" / "docker-save" / "commit.tar")
    return path


def _loaded(tmp_path: Path, *argv: str) -> set[str]:
    """The readers and writers that one run of casstore imports, and the table."""
    listing = tmp_path / "modules"
    subprocess.run(
        [sys.executable, "-I", "-c", RUN_AND_LIST_MODULES, ROOT, listing, *argv],
        capture_output=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    names = {name.removeprefix("casstore.transfer.") for name in listing.read_text().split()}
    return names & {*MODULES, "formats"}


@pytest.mark.parametrize("command", ["--help", "save --help", "load --help", "copy --help"])
def test_help_loads_no_reader_and_no_writer(command: str, tmp_path: Path) -> None:
    assert _loaded(tmp_path, *command.split()) <= {"formats"}


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_a_save_loads_the_writer_of_its_format_and_no_reader(
    form: Format, store: Path, tmp_path: Path
) -> None:
    words = ("save", "--format", form.name, "-o", "out", "shop/committed:1")
    # An archive for Docker can have to be a layout besides.
    with_it = {"ocilayout_out"} if form.module == "dockerarchive" else set()

    assert _loaded(tmp_path, "--store", str(store), *words) == {
        "formats", f"{form.module}_out", *with_it
    }  # fmt: skip


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_a_load_loads_the_reader_of_its_format_and_no_writer(
    form: Format, store: Path, tmp_path: Path
) -> None:
    with Store(store) as origin:
        origin.save(["shop/committed:1"], tmp_path / "out", format=form.name)
    # A layout can have Docker's list of images besides.
    with_it = {"dockerarchive"} if form.module == "ocilayout" else set()

    assert _loaded(tmp_path, "--store", "new", "load", "out") == {
        "formats", form.module, *with_it
    }  # fmt: skip


@pytest.mark.parametrize(
    "command",
    ["images", "inspect 9b2e777a498d", "tag shop/committed:1 new:1", "rmi shop/imported:1"],
)
def test_the_everyday_commands_load_not_even_the_table(
    command: str, store: Path, tmp_path: Path
) -> None:
    assert _loaded(tmp_path, "--store", str(store), *command.split()) == set()
