"""Everything public has its type asserted in this folder; mypy says whether it is so."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import casstore

HERE = Path(__file__).parent
ASSERTING = ("verbs.py", "results.py", "plans.py", "values.py")
EXPORTED = {name: getattr(casstore, name) for name in casstore.__all__}
CLASSES = {name: one for name, one in EXPORTED.items() if isinstance(one, type)}

Asserted = set[tuple[str, str]]  # class or "", and name


def set_by_init(kind: type) -> set[str]:
    """Attributes that a class's own `__init__` gives to `self`."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(tree, ast.ClassDef)
    return {
        node.attr
        for method in tree.body
        if isinstance(method, ast.FunctionDef) and method.name == "__init__"
        for node in ast.walk(method)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        if isinstance(node.value, ast.Name) and node.value.id == "self"
    }


def own_members(kind: type) -> set[str]:
    names = {*vars(kind), *vars(kind).get("__annotations__", ()), *set_by_init(kind)}
    return {name for name in names if not name.startswith("_")}


def members(kind: type) -> set[str]:
    """What a class has, less what another public class or Python has given it."""
    ours = [one for one in kind.__mro__ if one.__module__.startswith("casstore")]
    public = [one for one in ours[1:] if one in CLASSES.values()]
    found = set().union(*(own_members(one) for one in ours if one not in public))
    return found.difference(*(members(one) for one in public))


def public_names() -> Asserted:
    """All that is to be asserted."""
    found = {(name, member) for name, kind in CLASSES.items() for member in members(kind)}
    for name, one in EXPORTED.items():
        if inspect.isfunction(one):
            found.add(("", name))
        elif not isinstance(one, type):  # an alias
            found.add((name, ""))
    return found


def annotated(function: ast.FunctionDef) -> dict[str, str]:
    """Parameters, and the name of each one's type."""
    found = {}
    for parameter in function.args.args:
        kind = parameter.annotation
        if isinstance(kind, ast.Subscript):
            kind = kind.value
        if isinstance(kind, ast.Name):
            found[parameter.arg] = kind.id
    return found


def asserted(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Whatever stands in the first argument of an `assert_type`."""
    for function in tree.body:
        if not isinstance(function, ast.FunctionDef):
            continue
        kinds = annotated(function)
        for call in calls_of_assert_type(function):
            for node in ast.walk(call.args[0]):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    yield kinds.get(node.value.id, node.value.id), node.attr
                elif isinstance(node, ast.Name):
                    yield "", node.id
                    yield kinds.get(node.id, node.id), ""


def calls_of_assert_type(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "assert_type":
            yield node


def parsed(name: str) -> ast.Module:
    return ast.parse((HERE / name).read_text(encoding="utf-8"))


def test_the_type_of_everything_public_is_asserted() -> None:
    found = {one for name in ASSERTING for one in asserted(parsed(name))}

    assert sorted(public_names() - found) == []


@pytest.mark.parametrize("name", ASSERTING)
def test_nothing_public_is_of_any_type(name: str) -> None:
    kinds = [ast.unparse(call.args[1]) for call in calls_of_assert_type(parsed(name))]

    assert kinds
    assert not {"Any", "object"} & set(kinds)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("Store", {"load", "remove", "in_memory", "leases", "progress", "path", "session"}),
        ("Leases", {"add", "hold", "list", "remove"}),
        ("CheckResult", {"findings", "clean", "damaged"}),  # fields, and what follows from them
        # set by __init__; exit_code is CasstoreError's
        ("Conflict", {"forceable", "cause", "argument", "image", "lease"}),
    ],
)
def test_members_are_methods_properties_and_attributes(kind: str, names: set[str]) -> None:
    found = members(CLASSES[kind])

    assert names <= found
    assert kind != "Conflict" or found == names


def test_what_is_not_asserted_is_missed() -> None:
    code = "def f(store: Store) -> None:\n    assert_type(store.load('a'), int)\n    store.gc()\n"
    found = set(asserted(ast.parse(code)))

    assert ("Store", "load") in found
    assert ("Store", "gc") not in found
