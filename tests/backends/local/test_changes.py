"""What a change tells of index.json: with that, the list before becomes the list after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casstore.backends.local import edits, schema
from casstore.backends.local.edits import LocalEdits
from casstore.errors import CasstoreError
from casstore.model.published import Published
from casstore.model.record import ImageRecord
from casstore.model.reference import Reference, parse_name
from casstore.model.removal import RemovalPlan
from casstore.rules.removal import plan_removal, without_freeing
from tests.contract.records import image, index_over

A, GZIP = image("a", "base top"), image("a", "base top", form="gzip")
B, CHILD = image("b", "base other"), image("child", "base more")
RECORDS: list[ImageRecord] = [A, GZIP, B, CHILD, index_over("ab", A, B)]
NAMES = [parse_name(text).reference for text in ("one:1", "one:2", "two:1", "sha:9")]

OPERATIONS = st.one_of(
    st.tuples(st.just("admit"), st.sampled_from(RECORDS)),
    st.tuples(st.just("attach"), st.sampled_from(RECORDS), st.sampled_from(NAMES)),
    st.tuples(st.just("pin"), st.sampled_from(RECORDS), st.booleans()),
    st.tuples(st.just("parent"), st.sampled_from(RECORDS), st.sampled_from(RECORDS)),
    st.tuples(st.just("rmi"), st.sampled_from([name.familiar for name in NAMES])),
    st.tuples(st.just("rmi"), st.sampled_from([record.id.hex for record in RECORDS])),
)
HISTORY = st.lists(st.lists(OPERATIONS, max_size=6), min_size=1, max_size=4)


@contextmanager
def opened() -> Iterator[LocalEdits]:
    index = LocalEdits(schema.memory(), now=0, hard={})
    with closing(index.connection):
        index.begin()
        yield index


def do(index: LocalEdits, what: str, *values: object) -> None:
    """One edit, as far as the index has what it is about."""
    record = values[0]
    if what == "rmi":
        assert isinstance(record, str)
        try:
            index.apply(plan_removal(index, record, force=True))
        except CasstoreError:
            pass
        return
    assert isinstance(record, ImageRecord)
    if what == "admit":
        index.admit(record)
    elif what == "attach":
        assert isinstance(values[1], Reference)
        index.admit(record)
        index.attach(values[1], record.id, record.top.digest, tagged=0)
    elif not index.has_image(record.id):
        pass
    elif what == "pin":
        index.set_pin(record.id, pinned=bool(values[1]))
    else:
        parent = values[1]
        assert isinstance(parent, ImageRecord)
        if index.has_image(parent.id) and record.id != parent.id and not index.parent_of(parent.id):
            index.link_parent(record.id, parent.id)


def all_of(index: LocalEdits) -> list[Published]:
    """The entries without the guess where one of them is."""
    return [row._replace(place=1.0) for row in index.all_published()]


def spliced(
    before: list[Published],
    changes: tuple[list[tuple[Published, Published | None]], list[Published]],
) -> list[Published]:
    replaced, added = changes
    news = {old._replace(place=1.0): new and new._replace(place=1.0) for old, new in replaced}
    assert news.keys() <= set(before), "told of what was not there"
    kept = [news.get(row, row) for row in before]
    rows = [row for row in kept if row is not None]
    rows += [row._replace(place=1.0) for row in added]
    return rows


@settings(deadline=None)
@given(HISTORY)
def test_it_is_what_makes_the_list_before_the_list_after(
    history: list[list[tuple[Any, ...]]],
) -> None:
    with opened() as index:
        for change in history:
            before = all_of(index)
            for operation in change:
                do(index, *operation)

            changes = index.changes()

            assert changes is not None
            found, after = spliced(before, changes), all_of(index)
            assert [row for row in found if row.name] == [row for row in after if row.name]
            assert {row for row in found if not row.name} == {row for row in after if not row.name}
            assert len(found) == len(after)
            named = [row.name is not None for row in changes[1]]
            assert named == sorted(named, reverse=True)
            index.commit()
            index.begin()


def test_of_a_change_that_makes_no_difference_nothing_is_told() -> None:
    with opened() as index:
        do(index, "attach", A, NAMES[0])
        do(index, "admit", B)
        index.commit()
        index.begin()
        for again in (("admit", B), ("attach", A, NAMES[0]), ("pin", A, 0)):
            do(index, *again)

        assert index.changes() == ([], [])


def test_a_manifest_that_an_image_gives_up_is_told() -> None:
    with opened() as index:
        do(index, "admit", A)
        do(index, "admit", GZIP)
        index.commit()
        index.begin()
        index.apply(RemovalPlan((), ((A.id, GZIP.top.digest),), (), (), (), 0, ()))

        assert index.changes() == (
            [(Published(None, GZIP.top, None, pinned=False, place=1.0, made=0), None)],
            [],
        )


def test_a_manifest_that_goes_because_its_name_has_moved_is_told() -> None:
    with opened() as index:
        do(index, "attach", A, NAMES[0])
        do(index, "attach", GZIP, NAMES[1])
        index.commit()
        index.begin()
        before = all_of(index)
        do(index, "attach", B, NAMES[1])
        changes = index.changes()
        assert changes is not None
        index.commit()

        assert sorted(spliced(before, changes)) == sorted(all_of(index))
        assert [row.top for row in all_of(index)] == [A.top, B.top]


def test_a_layer_of_a_change_that_was_rolled_back_is_not_taken_for_one_that_is_there() -> None:
    with opened() as index:
        do(index, "admit", A)
        index.rollback()
        index.begin()
        do(index, "admit", CHILD)

        blobs = {one.digest for one in CHILD.blobs}
        assert {one.digest for one in index.all_blobs()} == blobs
        assert {child for _, child in index.all_edges()} == blobs - {CHILD.top.digest}


def test_nothing_is_left_of_an_entry_of_the_trash_that_goes() -> None:
    with opened() as index:
        do(index, "attach", A, NAMES[0])
        do(index, "attach", GZIP, NAMES[1])
        plan = without_freeing(plan_removal(index, A.id.hex, force=True))
        number = index.bin(removed=0, expires=9).keep(plan)
        assert number is not None
        index.apply(plan)
        index.trash.drop(number)

        for table in ("trash", "trash_image", "trash_holding", "trash_name", "blob", "edge"):
            rows = index.connection.execute(f"SELECT * FROM {table}")  # noqa: S608 - of ours
            assert rows.fetchall() == []


def test_a_name_that_went_to_another_image_and_came_back_is_the_newest() -> None:
    with opened() as index:
        for name in NAMES[:2]:
            do(index, "attach", A, name)
        do(index, "admit", B)
        do(index, "attach", B, NAMES[2])
        index.commit()
        index.begin()
        do(index, "attach", B, NAMES[0])
        do(index, "attach", A, NAMES[0])

        changes = index.changes()

        assert changes is not None
        assert [(old.name, new) for old, new in changes[0]] == [(NAMES[0], None)]
        assert [row.name for row in changes[1]] == [NAMES[0]]


@pytest.mark.parametrize(("images", "told"), [(2, True), (3, False)])
def test_of_more_images_than_are_told_it_says_so(
    monkeypatch: pytest.MonkeyPatch, images: int, *, told: bool
) -> None:
    monkeypatch.setattr(edits, "MOST_TOLD", 2)
    with opened() as index:
        for record in (A, B, CHILD)[:images]:
            do(index, "admit", record)

        assert (index.changes() is not None) is told
        do(index, "admit", B)
        assert (index.changes() is not None) is told
        index.commit()
        index.begin()
        do(index, "pin", A, 1)
        assert index.changes() is not None


def test_the_place_of_a_name_is_its_share_of_all_names_by_age() -> None:
    with opened() as index:
        for name in NAMES:
            do(index, "attach", A, name)
        index.commit()
        index.begin()

        places = [row.place for row in index.published(A.id)]

    assert places == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_the_place_of_an_only_name_is_the_end() -> None:
    with opened() as index:
        do(index, "attach", A, NAMES[0])
        do(index, "admit", GZIP)

        assert [row.place for row in index.published(A.id)] == [1.0, 1.0]
