"""The package as the architecture tests see it: its modules, parsed, and what each imports."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "casstore"


@dataclass(frozen=True)
class Module:
    """One file of the package."""

    name: str  # dotted, `casstore.model` for casstore/model/__init__.py
    path: str  # from the package's folder, as people write it: "files/durable.py"
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The part of the house: "disk", "cli", or the module's own name at the top."""
        return self.path.split("/")[0].removesuffix(".py")

    def imports(self) -> set[str]:
        """Dotted names of all modules named in an import, wherever it stands, types included."""
        names: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.path}: relative import"
                assert node.module is not None
                # `from casstore import errors` names a module; `from casstore.errors import X` not
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                names.update(name if name in _names() else node.module for name in inner)
        return names

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


def _dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _paths() -> tuple[Path, ...]:
    return tuple(sorted(PACKAGE.rglob("*.py")))


@cache
def _names() -> frozenset[str]:
    return frozenset(map(_dotted, _paths()))


@cache
def modules() -> tuple[Module, ...]:
    """Every module of the package, sorted by path."""
    found = []
    for path in _paths():
        text = path.read_text(encoding="utf-8")
        shown = path.relative_to(PACKAGE).as_posix()
        found.append(Module(_dotted(path), shown, text, ast.parse(text, shown)))
    return tuple(found)
