"""The types in public signatures can be looked up, and cost nobody anything before that."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.architecture.sources import ROOT

EVERYTHING = """
import inspect, typing
import casstore

def functions(kind):
    for name, one in inspect.getmembers(kind):
        if not name.startswith("_") or name in ("__init__", "__call__", "__enter__"):
            one = one.fget if isinstance(one, property) else one
            if inspect.isfunction(one) or inspect.ismethod(one):
                yield one

for name in casstore.__all__:
    one = getattr(casstore, name)
    if inspect.isfunction(one):
        typing.get_type_hints(one)
    elif isinstance(one, type):
        typing.get_type_hints(one)
        for method in functions(one):
            typing.get_type_hints(method)
"""
ONE = """
import typing
import casstore
store = casstore.Store.in_memory()
print(typing.get_type_hints({})["{}"])
"""
BEFORE = """
import sys
import casstore
store = casstore.Store("nowhere")
casstore.Store.load, store.tag, store.leases
print({"ast", "inspect", "typing", "casstore.model.parameters"} & sys.modules.keys())
"""
SHOWN = """
import inspect
import casstore
print(inspect.signature(casstore.Store.load).return_annotation)
"""


def run(code: str) -> str:
    """What a new interpreter prints, in which nothing has been looked up."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_every_type_in_everything_public_can_be_looked_up() -> None:
    run(EVERYTHING)


@pytest.mark.parametrize(
    ("what", "name", "kind"),
    [
        ("casstore.Store.load", "return", "casstore.results.exchange.LoadResult"),
        ("store.load", "return", "casstore.results.exchange.LoadResult"),
        ("store.leases.hold", "return", "casstore.change.leases.Lease"),
        ("casstore.Store.trash.list", "return", "casstore.results.trash.TrashEntry"),
        ("casstore.Store.__init__", "progress", "casstore.progress.ProgressCallback"),
        ("casstore.LoadedImage", "id", "casstore.model.digest.Digest"),
        ("casstore.parse_place", "return", "casstore.transfer.place.Place"),
        # Of what another type shows, too.
        ("typing.get_type_hints(casstore.Store.load)['return']", "images", "LoadedImage"),
    ],
)
def test_a_type_is_what_its_name_says(what: str, name: str, kind: str) -> None:
    assert kind in run(ONE.format(what, name))


def test_nothing_is_imported_for_a_signature_before_it_is_looked_up() -> None:
    assert run(BEFORE) == "set()"


def test_a_signature_shows_its_types_as_they_are_written() -> None:
    assert run(SHOWN) == "LoadResult"
