"""Names under which other tools or later versions look for something stand in one module each."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from casstore.model import keys, mediatype
from tests.architecture.sources import Module, modules

HOME = "model/keys.py"
NAMES = {name: text for name, text in vars(keys).items() if name.isupper()}
# "always" and "generation" are words of other things too; help pages speak of settings.
ANNOTATIONS = sorted(text for text in NAMES.values() if text.startswith(("io.", "org.")))
SETTINGS = (keys.TRASH_KEEP, keys.SETTING + keys.TRASH_KEEP, keys.SETTING + keys.PUBLISH)


def _texts(module: Module) -> Iterator[tuple[str, int]]:
    """The strings in code: those in docstrings and other statements of their own are prose."""
    prose = {id(node.value) for node in ast.walk(module.tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and id(node) not in prose:
            if isinstance(node.value, bytes):
                yield node.value.decode("latin-1"), node.lineno
            elif isinstance(node.value, str):
                yield node.value, node.lineno


def _places(names: Sequence[str], *, whole: bool) -> set[str]:
    """Where a module other than the one they belong in has one of the names."""
    return {
        f"{module.path}:{line} {name}"
        for module in modules()
        if module.path != HOME
        for text, line in _texts(module)
        for name in names
        if (text == name if whole else name in text)
    }


def test_an_annotation_stands_in_one_module() -> None:
    assert _places(ANNOTATIONS, whole=False) == set()


def test_a_setting_stands_in_one_module() -> None:
    assert _places(SETTINGS, whole=True) == set()


def test_a_media_type_stands_in_one_module() -> None:
    types = [text for name, text in vars(mediatype).items() if str(text).startswith("application/")]
    home = "model/mediatype.py"
    # What every change writes, and every look at a layer tells, has no import to spare for it.
    quick = ("backends/local/published.py:", "backends/local/listings.py:")

    found = {one for one in _places(types, whole=False) if not one.startswith((home, *quick))}

    assert len(types) > 10
    assert found == set()


def test_the_names_differ() -> None:
    assert len(set(NAMES.values())) == len(NAMES)
