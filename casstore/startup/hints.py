"""Annotations that can be looked up, though what they name is not imported at run time.

A module imports under `if TYPE_CHECKING:` what only its annotations name, so `get_type_hints` would
not find it. The front door of the package makes what it hands out `resolvable`: those imports are
done when somebody goes through the annotations. The command line does not use that door.

Gain: 21 ms of a load from Python, which the signatures of `Store` and of its part would import.
Tried on CPython 3.11, 3.12 and 3.13.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ast
    from collections.abc import Iterator
    from typing import Any, TypeVar

    T = TypeVar("T")

_PREFIX = __name__.partition(".")[0] + "."  # of the names of our modules
_Function = type(lambda: None)
_complete: set[str] = set()  # modules whose imports are done


class _Annotations(dict):  # type: ignore[type-arg]  # at run time `Any` is not imported
    """The annotations of one class or function; going through them completes their module."""

    def __init__(self, written: dict[str, Any], module: str) -> None:
        super().__init__(written)
        self._module = module

    def __iter__(self) -> Iterator[str]:  # where a subclass has this, dict(it) asks for its keys
        complete(self._module)
        return super().__iter__()

    def keys(self) -> Any:
        complete(self._module)
        return super().keys()

    def items(self) -> Any:
        complete(self._module)
        return super().items()


def resolvable(public: T) -> T:
    """A class, function or other value as it is, but that its annotations can be looked up."""
    if isinstance(public, type):
        for kind in public.__mro__:
            if _is_ours(kind):
                _prepare(kind, vars(kind).get("__annotations__"))
                for member in vars(kind).values():
                    _prepare_function(member)
    else:
        _prepare_function(public)
    return public


def _is_ours(one: object) -> bool:
    return str(getattr(one, "__module__", "")).startswith(_PREFIX)


def _prepare_function(one: Any) -> None:
    one = one.fget if isinstance(one, property) else getattr(one, "__func__", one)
    while hasattr(one, "__wrapped__"):
        one = one.__wrapped__
    if isinstance(one, _Function) and _is_ours(one):
        _prepare(one, one.__annotations__)


def _prepare(one: Any, written: dict[str, Any] | None) -> None:
    if written and not isinstance(written, _Annotations):
        one.__annotations__ = _Annotations(written, one.__module__)


def complete(module: str) -> None:
    """Give a module the names that only type checkers see there; what it has stays as it is."""
    if module in _complete:
        return
    _complete.add(module)
    import ast
    import inspect

    try:
        source = inspect.getsource(sys.modules[module])
    except OSError:  # there is bytecode alone
        return
    for block in ast.parse(source).body:
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING":
            for statement in block.body:
                _carry_out(statement, module)


def _carry_out(statement: ast.stmt, module: str) -> None:
    """Do an import or assignment in a module; a class there is of no use at run time."""
    import ast
    from importlib import import_module

    names = vars(sys.modules[module])
    if isinstance(statement, ast.ImportFrom) and statement.module:
        there = import_module(statement.module)
        if statement.module.startswith(_PREFIX):
            complete(statement.module)  # which may have such names itself
        for alias in statement.names:
            found = resolvable(getattr(there, alias.name))
            names.setdefault(alias.asname or alias.name, found)
    elif isinstance(statement, (ast.Import, ast.Assign)):
        exec(compile(ast.Module([statement], []), module, "exec"), names)  # noqa: S102 - its own
