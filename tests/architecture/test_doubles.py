"""A test double has the methods that its port has, and no others."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from casstore.store import Store
from casstore.store.leases import Leases
from casstore.store.settings import Settings
from casstore.store.trash import Trash
from tests.architecture.sources import ROOT
from tests.cli.fakes import FakeLeases, FakeSettings, FakeStore, FakeTrash

TESTS = sorted((ROOT / "tests").rglob("*.py"))
OF_ALL_TRADES = {"mock", "Mock", "MagicMock", "SimpleNamespace", "create_autospec"}
ANY_NAME = {"__getattr__", "__getattribute__"}
IGNORE = re.compile(r"#\s*type:\s*ignore(?!\[[\w, -]+\]  # \w)")


def any_method(tree: ast.AST) -> Iterator[str]:
    """Everything in a module that answers whatever it is asked."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            named = [one for alias in node.names for one in alias.name.split(".")]
            if isinstance(node, ast.ImportFrom) and node.module:
                named += node.module.split(".")
            yield from (f"{node.lineno}: {name}" for name in OF_ALL_TRADES & set(named))
        elif isinstance(node, ast.ClassDef):
            methods = (one for one in node.body if isinstance(one, ast.FunctionDef))
            yield from (f"{one.lineno}: {one.name}" for one in methods if one.name in ANY_NAME)


def test_no_double_answers_any_method() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{one}"
        for path in TESTS
        for one in any_method(ast.parse(path.read_text(encoding="utf-8")))
    ]

    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "from unittest import mock",
        "import unittest.mock",
        "from unittest.mock import patch",
        "from types import SimpleNamespace",
        "class Fake:\n    def __getattr__(self, name): ...",
    ],
)
def test_whatever_answers_any_method_is_found(code: str) -> None:
    assert len(list(any_method(ast.parse(code)))) == 1


def casts(tree: ast.AST) -> Iterator[ast.Call]:
    """Calls of `cast`, but those to a stream: in the package too, what only reads is one."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    for call in calls:
        if ast.unparse(call.func) == "cast" and ast.unparse(call.args[0]) != "'IO[bytes]'":
            yield call


def test_no_double_is_cast_to_what_it_stands_for() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{one.lineno}"
        for path in TESTS
        for one in casts(ast.parse(path.read_text(encoding="utf-8")))
    ]

    assert found == []
    assert list(casts(ast.parse("cast('Backend', Fake())")))


def test_what_mypy_shall_ignore_has_a_code_and_a_reason() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in TESTS
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if IGNORE.search(line)
    ]

    assert found == []


@pytest.mark.parametrize(
    ("double", "real"),
    [
        (FakeStore, Store),
        (FakeLeases, Leases),
        (FakeSettings, Settings),
        (FakeTrash, Trash),
    ],
)
def test_the_command_line_s_store_answers_for_each_method_of_the_real_one(
    double: type, real: type
) -> None:
    methods = {name for name in dir(real) if not name.startswith("_")}
    own = {name for name in vars(double) if not name.startswith("_")}
    kept = {"in_memory", "path", "notices", "max_layer_size", "progress", "session"}

    assert methods - own - {"leases", "settings", "trash"} <= kept
