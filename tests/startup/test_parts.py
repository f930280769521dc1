"""A class with methods in another module: they come when one is asked for, and then are its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from casstore.backends.local.admission import Admission
from casstore.backends.local.edits import LocalEdits
from casstore.backends.local.listings import Listings
from casstore.backends.local.view import LocalView
from tests.architecture.sources import ROOT

BEFORE_AND_AFTER = """
import sys
from casstore.backends.local import schema
from casstore.backends.local.edits import LocalEdits
view = LocalEdits(schema.memory(), now=0, hard={})
view.all_images
print(*sorted(name for name in sys.modules if name.endswith(("listings", "admission"))))
view.admit
print(*sorted(name for name in sys.modules if name.endswith(("listings", "admission"))))
"""


def late(kind: type) -> set[str]:
    """What the class says of the methods that come late."""
    complete = vars(kind)["__getattr__"]
    names = complete.__closure__[complete.__code__.co_freevars.index("late")].cell_contents
    return set(names)


@pytest.mark.parametrize(("kind", "part"), [(LocalView, Listings), (LocalEdits, Admission)])
def test_the_names_are_those_of_the_methods(kind: type, part: type) -> None:
    assert late(kind) == {name for name in vars(part) if not name.startswith("_")}


def test_a_part_is_imported_when_one_of_its_methods_is_asked_for() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BEFORE_AND_AFTER], cwd=ROOT, capture_output=True, text=True,
        check=True,
    )  # fmt: skip

    first, second = done.stdout.splitlines()
    assert first == "casstore.backends.local.listings"
    assert second == "casstore.backends.local.admission casstore.backends.local.listings"


def test_the_methods_are_the_class_own_from_then_on() -> None:
    assert callable(LocalView.__new__(LocalView).all_images)

    assert vars(LocalView)["all_images"] is Listings.all_images


def test_what_the_class_has_by_then_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalView, "all_pins", len, raising=False)
    monkeypatch.delattr(LocalView, "all_names", raising=False)

    assert callable(LocalView.__new__(LocalView).all_names)
    assert vars(LocalView)["all_pins"] is len


def test_what_is_in_no_part_is_missing_as_anywhere() -> None:
    edits = LocalEdits.__new__(LocalEdits)

    with pytest.raises(AttributeError, match="'LocalEdits' object has no attribute 'nothing'"):
        _ = edits.nothing  # type: ignore[attr-defined]  # which is the point
