"""The names of `casstore` are there for whoever looks for them, though each is loaded late."""

from __future__ import annotations

import inspect
import pydoc
import re

import pytest

import casstore
from casstore import errors


def test_dir_names_all_that_is_public() -> None:
    assert set(casstore.__all__) <= set(dir(casstore))


def test_help_tells_of_all_that_is_public() -> None:
    page = pydoc.plain(pydoc.render_doc(casstore))

    for name in casstore.__all__:
        kind = "class " if isinstance(getattr(casstore, name), type) else ""
        assert re.search(rf"^    {kind}{name}\(", page, re.MULTILINE), name


def test_a_star_import_brings_all_that_is_public() -> None:
    names: dict[str, object] = {}
    exec("from casstore import *", names)  # noqa: S102 - it is allowed in no function

    assert set(casstore.__all__) <= names.keys()


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'casstore' has no attribute 'Shop'"):
        _ = casstore.Shop


def test_every_error_of_the_tree_is_public() -> None:
    tree = [name for name, value in vars(errors).items() if inspect.isclass(value)]

    assert set(tree) <= set(casstore.__all__)


def test_every_error_that_a_method_of_store_promises_is_public() -> None:
    promised = set()
    for name, method in inspect.getmembers(casstore.Store, inspect.isfunction):
        _, _, raised = (inspect.getdoc(method) or "").partition("Raises")
        kinds = re.findall(r"^ +([A-Z]\w+(?:, [A-Z]\w+)*): ", raised, re.MULTILINE)
        if not name.startswith("_"):
            promised |= {kind for some in kinds for kind in some.split(", ")}

    assert "PlanOutdated" in promised
    assert promised <= set(casstore.__all__)
