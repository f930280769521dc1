"""The package as the architecture tests see it: its modules, parsed, and what each imports."""

from __future__ import annotations

import ast
import io
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "casstore"

# Loads every public name on first use, so it names rooms of all floors.
FRONT_DOOR = "__init__.py"


@dataclass(frozen=True)
class Import:
    """One module that an import statement names."""

    name: str  # dotted
    line: int
    late: bool  # in a function: it is imported when that is called
    types: bool  # for the type checker alone


@dataclass(frozen=True)
class Module:
    """One file of the package."""

    name: str  # dotted, `casstore.model` for casstore/model/__init__.py
    path: str  # from the package's folder, as people write it: "files/durable.py"
    text: str
    tree: ast.Module
    names: frozenset[str] = field(repr=False)  # of all modules of the package

    @property
    def room(self) -> str:
        """The part of the house: "disk", "cli", or the module's own name at the top."""
        return self.path.split("/")[0].removesuffix(".py")

    def imports(self) -> set[str]:
        """Dotted names of all modules named in an import, wherever it stands, types included."""
        return {one.name for one in self.statements()}

    def statements(self) -> Iterator[Import]:
        """The same, each time that it is named, with where."""
        yield from self._found(self.tree, late=False, types=False)

    def _found(self, parent: ast.AST, *, late: bool, types: bool) -> Iterator[Import]:
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                for name in self._named(node):
                    yield Import(name, node.lineno, late=late, types=types)
            if isinstance(node, ast.If) and _is_for_types(node.test):
                yield from self._found(ast.Module(node.body, []), late=late, types=True)
                yield from self._found(ast.Module(node.orelse, []), late=late, types=types)
            else:
                deferred = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
                yield from self._found(node, late=late or deferred, types=types)

    def _named(self, node: ast.Import | ast.ImportFrom) -> list[str]:
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        assert node.level == 0, f"{self.path}: relative import"
        assert node.module is not None
        # `from casstore import errors` names a module; `from casstore.errors import X` not
        inner = [f"{node.module}.{alias.name}" for alias in node.names]
        return list(dict.fromkeys(name if name in self.names else node.module for name in inner))

    def uses(self) -> set[str]:
        """Attributes read from a plain name ("os.fsync"), names called, and names imported from."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                found.add(f"{node.value.id}.{node.attr}")
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                found.add(f"{node.func.id}()")
            elif isinstance(node, ast.ImportFrom):
                found.update(f"{node.module}.{alias.name}" for alias in node.names)
        return found


def _is_for_types(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _dotted(path: str) -> str:
    parts = [PACKAGE.name, *path.removesuffix(".py").split("/")]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def parsed(files: Mapping[str, str]) -> tuple[Module, ...]:
    """The modules of a package, sorted by path: from their texts by their paths in its folder."""
    names = frozenset(map(_dotted, files))
    return tuple(
        Module(_dotted(path), path, text, ast.parse(text, path), names)
        for path, text in sorted(files.items())
    )


@cache
def modules() -> tuple[Module, ...]:
    """Every module of the package, sorted by path."""
    return parsed(
        {
            path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8")
            for path in PACKAGE.rglob("*.py")
        }
    )


def modules_at(revision: str, repository: Path = ROOT) -> tuple[Module, ...]:
    """The same at a revision of git. Raises CalledProcessError, with what git says."""
    archive = subprocess.run(
        ["git", "-C", repository, "archive", "--end-of-options", revision, PACKAGE.name],
        check=True, capture_output=True,
    )  # fmt: skip
    files = {}
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.name.endswith(".py") else None
            if file is not None:
                files[member.name.partition("/")[2]] = file.read().decode()
    return parsed(files)
