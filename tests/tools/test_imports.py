"""tools/imports: who imports whom, in the checkout and at a revision."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.importgraph import ImportGraph, groups, told
from tests.architecture.sources import ROOT, Import, modules_at, parsed

HOUSE = {
    "__init__.py": "from casstore.shop import Shop\n",
    "errors.py": "",
    "goods/__init__.py": "from casstore.errors import Bad\nimport json\n",
    "goods/price.py": "from casstore.goods import Goods\n",
    "shop.py": """
from typing import TYPE_CHECKING
from casstore import errors
if TYPE_CHECKING:
    from casstore.goods.price import Price, Tax
else:
    import re

def sell():
    import json
    from casstore.goods import price, Goods
""",
    "till.py": "import casstore.bank.vault\n",
    "bank/vault.py": "def open():\n    import casstore.till\n",
    "bank/__init__.py": "",
}


def test_an_import_is_told_with_its_place_and_whether_it_is_late_or_for_types() -> None:
    shop = next(module for module in parsed(HOUSE) if module.path == "shop.py")

    assert list(shop.statements()) == [
        Import("typing", 2, late=False, types=False),
        Import("casstore.errors", 3, late=False, types=False),
        Import("casstore.goods.price", 5, late=False, types=True),
        Import("re", 7, late=False, types=False),
        Import("json", 10, late=True, types=False),
        Import("casstore.goods.price", 11, late=True, types=False),
        Import("casstore.goods", 11, late=True, types=False),
    ]


def test_arrows_between_rooms_are_counted_without_those_within_one() -> None:
    graph = ImportGraph(parsed(HOUSE))

    assert graph.between_rooms == {
        ("goods", "errors"): 1,
        ("shop", "errors"): 1,
        ("shop", "goods"): 3,
        ("till", "bank"): 1,
        ("bank", "till"): 1,
    }


def test_a_room_stands_on_the_floor_above_all_that_it_uses_and_a_cycle_on_one() -> None:
    assert ImportGraph(parsed(HOUSE)).floors() == {
        "bank": 1, "errors": 1, "till": 1,
        "goods": 2,
        "shop": 3,
    }  # fmt: skip


def test_cycles_are_found_between_rooms_and_between_modules() -> None:
    graph = ImportGraph(parsed(HOUSE))

    assert graph.cycles_of_rooms() == [["bank", "till"]]
    assert graph.cycles_of_modules() == [["bank/vault.py", "till.py"]]


def test_groups_are_those_that_reach_each_other_after_all_that_they_use() -> None:
    uses = {"a": "b", "b": "cd", "c": "a", "d": "e", "e": "", "f": "fa"}

    assert groups(uses) == [["e"], ["d"], ["a", "b", "c"], ["f"]]


def test_the_graph_is_told_in_a_table_and_counts() -> None:
    assert list(told(ImportGraph(parsed(HOUSE)), "a shop", late=True)) == [
        "a shop: 7 modules, 17 lines; 5 rooms on 3 floors",
        "",
        "floor  room    modules  lines  late  uses",
        "    1  bank          2      2     1  till 1",
        "    1  errors        1      0     0",
        "    1  till          1      1     0  bank 1",
        "    2  goods         2      3     0  errors 1",
        "    3  shop          1     11     3  errors 1, goods 3",
        "",
        "arrows between rooms: 5 (7 imports; 8 with those within a room)",
        "cycles of rooms: 1",
        "  bank, till",
        "cycles of modules: 1",
        "  bank/vault.py, till.py",
        "late imports: 4 (3 of casstore's own modules)",
        "  bank/vault.py:2: casstore.till",
        "  shop.py:10: json",
        "  shop.py:11: casstore.goods.price",
        "  shop.py:11: casstore.goods",
    ]


def imports(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "tools" / "imports", *words],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_checkout_is_told_without_a_word() -> None:
    done = imports()

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("casstore as checked out: ")
    assert "\ncycles of rooms: 0\n" in done.stdout


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose first revision is HOUSE, and whose second has no bank any more."""

    def git(*words: str) -> None:
        name = ("-c", "user.name=tester", "-c", "user.email=tester@example.com")
        # nothing of a repository in whose hook the tests may run, nor of the user's configuration
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        subprocess.run(
            ["git", "-C", tmp_path, *name, *words], check=True, capture_output=True, env=environment
        )

    git("init")
    for path, text in HOUSE.items():
        (tmp_path / "casstore" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "casstore" / path).write_text(text)
    git("add", ".")
    git("commit", "-m", "a shop")
    git("rm", "-r", "casstore/bank", "casstore/till.py")
    git("commit", "-m", "a shop without a bank")
    return tmp_path


@needs_git
def test_a_revision_is_read_from_git_and_not_from_the_checkout(repository: Path) -> None:
    first = modules_at("HEAD~1", repository)

    assert {module.path: module.text for module in first} == HOUSE
    assert ImportGraph(modules_at("HEAD", repository)).rooms == ["errors", "goods", "shop"]


@needs_git
def test_a_revision_that_is_none_is_refused_in_git_s_words() -> None:
    done = imports("no-such-revision")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("tools/imports: ")
