"""Every error of the package can be handed from one process to another, and copied."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pickle import HIGHEST_PROTOCOL, dumps, loads

import pytest

import casstore
from casstore import errors as drawn
from casstore.cli.options import Command
from casstore.errors import CasstoreError
from casstore.model.digest import sha256
from tests.architecture.sources import modules

# What the parameters of errors are given, by their annotation.
ARGUMENTS: dict[str, object] = {
    "str": "what went wrong",
    "bool": True,
    "int": 7,
    "Digest": sha256(b"a blob"),
    "Sequence[str]": ["one mistake", "another"],
    "tuple[tuple[str, str], ...]": (("Retry-After", "1"),),
    "Command": Command(name="rmi", arguments="IMAGE", summary="Remove"),
}


def _pickled(protocol: int, error: BaseException) -> BaseException:
    again: BaseException = loads(dumps(error, protocol))  # noqa: S301 - what we have just written
    return again


COPIES: tuple[Callable[[BaseException], BaseException], ...] = (
    *(partial(_pickled, protocol) for protocol in range(HIGHEST_PROTOCOL + 1)),
    copy.copy,
    copy.deepcopy,
)


def errors() -> list[type[BaseException]]:
    """Every exception that a module of the package defines."""
    found = {
        value
        for module in modules()
        if module.room != "__main__"
        for value in vars(import_module(module.name)).values()
        if isinstance(value, type)
        and issubclass(value, BaseException)
        and value.__module__.partition(".")[0] == "casstore"
    }
    return sorted(found, key=lambda kind: f"{kind.__module__}.{kind.__qualname__}")


def made(kind: type[BaseException]) -> BaseException:
    """An error of this kind, made as the package makes it."""
    values, named = [], {}
    if issubclass(kind, CasstoreError):
        for parameter in list(inspect.signature(kind.__init__).parameters.values())[1:]:
            if parameter.kind is parameter.KEYWORD_ONLY:
                named[parameter.name] = ARGUMENTS[parameter.annotation]
            elif parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
                values.append(ARGUMENTS[parameter.annotation])
    return kind(*values or ["what went wrong"], **named)


# A line of the drawing: branches, the name (in parentheses if it is not public), the status.
LINE = re.compile(r"^ {4}([│├└─ ]*)(\(?)(\w+)\)? +(\d+)(?:   |$)", re.MULTILINE)


def drawing() -> list[tuple[str, str, int, bool]]:
    """The tree at the top of errors.py: name, what it stands under, exit status, public or not."""
    lines: list[tuple[str, str, int, bool]] = []
    above: list[str] = []
    for branches, inside, name, status in LINE.findall(str(drawn.__doc__)):
        above[len(branches) // 4 :] = [name]
        under = above[-2] if len(above) > 1 else "Exception"
        lines.append((name, under, int(status), not inside))
    return lines


def test_the_tree_of_errors_is_drawn_with_the_exit_statuses() -> None:
    tree = {
        (kind.__name__, kind.__base__.__name__, kind.exit_code)
        for kind in errors()
        if issubclass(kind, CasstoreError) and kind.__base__ is not None
    }

    assert len(drawing()) == len(tree)
    assert {line[:3] for line in drawing()} == tree


def test_an_error_is_public_unless_it_is_drawn_in_parentheses() -> None:
    public = {name for name in casstore.__all__ if name in {line[0] for line in drawing()}}

    assert public == {name for name, _, _, is_public in drawing() if is_public}


def test_the_errors_are_found() -> None:
    names = {kind.__name__ for kind in errors()}
    assert {"CasstoreError", "Conflict", "BadPolicy", "BrokenConnection", "WrongUsage"} <= names


@pytest.mark.parametrize("kind", errors(), ids=lambda kind: kind.__name__)
def test_an_error_survives_a_copy_with_all_that_it_says(kind: type[BaseException]) -> None:
    error = made(kind)
    error.add_note("seen in a test")

    for copied in COPIES:
        again = copied(error)
        assert type(again) is kind
        assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))
