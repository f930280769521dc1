"""The names of `casstore` are there for whoever looks for them, though each is loaded late."""

from __future__ import annotations

import inspect
import pydoc
import re

import pytest

import casstore
from tests.architecture.signatures import ALIASES, shown_types


def test_dir_names_all_that_is_public() -> None:
    assert set(casstore.__all__) <= set(dir(casstore))


def test_help_tells_of_all_that_is_public() -> None:
    page = pydoc.plain(pydoc.render_doc(casstore))

    for name in casstore.__all__:
        kind = "class " if isinstance(getattr(casstore, name), type) else ""
        follows = " = " if name in ALIASES else r"\("
        assert re.search(rf"^    {kind}{name}{follows}", page, re.MULTILINE), name


def test_a_star_import_brings_all_that_is_public() -> None:
    names: dict[str, object] = {}
    exec("from casstore import *", names)  # noqa: S102 - it is allowed in no function

    assert set(casstore.__all__) <= names.keys()


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'casstore' has no attribute 'Shop'"):
        _ = casstore.Shop


def test_every_error_that_a_method_of_store_promises_is_public() -> None:
    promised = set()
    for name, method in inspect.getmembers(casstore.Store, inspect.isfunction):
        _, _, raised = (inspect.getdoc(method) or "").partition("Raises")
        kinds = re.findall(r"^ +([A-Z]\w+(?:, [A-Z]\w+)*): ", raised, re.MULTILINE)
        if not name.startswith("_"):
            promised |= {kind for some in kinds for kind in some.split(", ")}

    assert "PlanOutdated" in promised
    assert promised <= set(casstore.__all__)


def test_every_type_that_a_signature_or_a_result_shows_is_public() -> None:
    shown = shown_types()

    assert {casstore.Place, casstore.Goal, casstore.Removed, casstore.Leases} <= shown.keys()
    assert [
        f"{where} shows {kind.__module__}.{kind.__name__}"
        for kind, where in shown.items()
        if getattr(casstore, kind.__name__, None) is not kind
    ] == []


def test_a_type_is_public_because_something_shows_it() -> None:
    """Or because it is raised, or made by the caller's own hand."""
    kinds = [getattr(casstore, name) for name in casstore.__all__]
    raised = {kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseException)}

    assert {kind for kind in kinds if isinstance(kind, type)} - raised - shown_types().keys() == {
        casstore.Store
    }
