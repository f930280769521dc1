"""Lists of images: SQLite's order and count are those that were taken from Docker."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import pytest

from casstore.backends.local import idlist
from casstore.backends.local.idlist import listed_ids
from casstore.backends.local.imagelist import ROWS, listed_images
from casstore.backends.local.view import LocalView
from casstore.cli.commands.images import rows
from casstore.model.digest import Digest
from casstore.queries.imagelist import list_images
from tests.rules.world import World

DATES = [None, 0, 1, 999_999_999, 10**9, -1, -(10**9), -(10**9) - 1, (1 << 63) - 1, -(1 << 63)]


@contextmanager
def in_sqlite(world: World) -> Iterator[LocalView]:
    index = world.in_sqlite()
    with closing(index.connection):
        yield index


@contextmanager
def some_world(seed: int, names: Sequence[str] = ("a:1", "b:1", "c:1")) -> Iterator[LocalView]:
    """Images on top of each other, of all dates, some named, and signatures of some."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    world = World()
    free = list(names)
    made: list[Digest] = []
    for number in range(14):
        tags = [free.pop() for _ in range(chance.choice((0, 0, 1, 2))) if free]
        parent = chance.choice([None, None, *made])
        subject = chance.choice([None, None, None, *made])
        own = world.image(
            f"image {number}", layers=f"l{number}", tags=" ".join(tags), parent=parent,
            subject=subject,
        )  # fmt: skip
        made.append(own)
    with in_sqlite(world) as view:
        for one in made:
            view.connection.execute(
                "UPDATE image SET created = ? WHERE digest = ?", (chance.choice(DATES), one.raw)
            )
        yield view


@pytest.mark.parametrize("seed", range(12))
def test_the_order_is_the_one_that_all_images_has(seed: int) -> None:
    with some_world(seed) as view:
        assert [one.facts for one in listed_images(view)] == list(view.all_images())


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_ids_are_those_of_the_rows(seed: int, everything: bool) -> None:  # noqa: FBT001
    with some_world(seed) as view:
        found = listed_ids(view.connection, digits=64, everything=everything)
        assert found is not None

        wanted = rows(list_images(view, None, everything=everything), digests=False)
        assert [one for some in found for one in some] == [image.id.hex for image, *_ in wanted]


@pytest.mark.parametrize("seed", range(6))
def test_names_come_in_the_order_in_which_they_were_attached(seed: int) -> None:
    with some_world(seed, names=[f"n{number}:1" for number in (3, 1, 2, 9, 5, 7)]) as view:
        for one in listed_images(view):
            assert list(one.names) == [each.name for each in view.references_of(one.facts.id)]


def test_children_and_the_size_over_the_parent_are_told() -> None:
    world = World()
    base = world.image("base", layers="1", tags="base:1")
    world.image("one", layers="1 2 3", parent=base)
    world.image("two", layers="1 2", parent=base)

    with in_sqlite(world) as view:
        found = {one.facts.size: one for one in listed_images(view)}

    assert [found[size].children for size in (7, 14, 21)] == [2, 0, 0]
    assert [found[size].own_size for size in (7, 14, 21)] == [7, 7, 14]


def test_names_by_digest_are_for_the_careful_list() -> None:
    world = World()
    own = world.image("one", tags="a:1")
    world.name(own, f"a@{own}")

    with in_sqlite(world) as view:
        assert listed_ids(view.connection, digits=12, everything=False) is None


@pytest.mark.parametrize("statement", [ROWS["listed_images"], idlist.ROWS["listed_ids"]])
def test_a_list_reads_images_once_and_looks_the_rest_up(statement: str) -> None:
    values = [None] * statement.count("?")
    with some_world(0) as view:
        plan = view.connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()

    scans = [step[3] for step in plan if step[3].startswith("SCAN")]
    small = ("subquery", "above", "layer USING INDEX layer_unsettled")
    assert [one.split()[1] for one in scans if not any(word in one for word in small)] == ["image"]


@pytest.mark.parametrize("digits", [None, 12])
def test_a_list_needs_no_temporary_file(digits: int | None) -> None:
    with some_world(1) as view:
        if digits is None:
            list(listed_images(view))
        else:
            list(listed_ids(view.connection, digits=digits, everything=True) or ())

        assert view.connection.execute("PRAGMA temp_store").fetchone() == (2,)  # memory
