"""The index as a change sees it: what is admitted, and in how many steps."""

from __future__ import annotations

from contextlib import closing

import pytest

from casstore.backends.local import schema
from casstore.backends.local.edits import LocalEdits
from casstore.model.reference import parse_name
from tests.backends.local.test_bulk import digest, image

WRONG = (
    "SELECT count(*) FROM blob WHERE refcount = 0 OR refcount !="
    " (SELECT count(*) FROM edge WHERE child = blob.id)"
    " + (SELECT count(*) FROM holding WHERE manifest = blob.id)"
)


@pytest.mark.parametrize("second", ["a+b-a", "a+b"])
def test_an_index_that_comes_in_parts_needs_all_that_has_come(second: str) -> None:
    index = LocalEdits(schema.memory(), now=0, hard={})
    with closing(index.connection):
        index.begin()
        index.admit(image("a+b-b", "1 2"))

        index.admit(image(second, "1 2"))

        index.commit()
        needs = {state.digest for state in index.needs_of(digest("a+b"))}
        assert needs == {digest("a"), digest("b")}
        assert index.connection.execute(WRONG).fetchone() == (0,)


def test_what_was_taken_back_is_admitted_again_with_all_its_blobs() -> None:
    index = LocalEdits(schema.memory(), now=0, hard={})
    with closing(index.connection):
        index.begin()
        index.admit(image("other", "3"))
        index.admit(image("a", "1 2"))
        index.rollback()
        index.begin()

        index.admit(image("a", "1 2"))

        index.commit()
        needs = {state.digest for state in index.needs_of(digest("a"))}
        assert {digest("1"), digest("2")} <= needs
        assert index.connection.execute(WRONG).fetchone() == (0,)


def test_a_parent_that_is_found_later_is_a_change_of_what_is_published() -> None:
    index = LocalEdits(schema.memory(), now=0, hard={})
    with closing(index.connection):
        index.begin()
        child, parent = image("child", "1 2"), image("parent", "1")
        for one in (child, parent):
            index.admit(one)
        index.commit()
        index.begin()

        index.link_parent(child.id, parent.id)

        told = index.changes()
        assert told is not None
        ((before, after),) = told[0]
        assert (before.parent, after and after.parent) == (None, parent.id)


def test_images_without_names_are_told_form_by_form() -> None:
    index = LocalEdits(schema.memory(), now=0, hard={})
    with closing(index.connection):
        index.begin()
        first = image("a", "1")
        index.admit(first)
        index.admit(image("b", "2")._replace(id=first.id))
        index.commit()
        index.begin()

        index.set_pin(first.id, pinned=True)

        told = index.changes()
        assert told is not None
        assert len(told[0]) == 2 and told[1] == []
        assert all(after is not None and after.pinned for _, after in told[0])


def test_blobs_that_are_gone_are_taken_off_the_list_in_a_transaction_of_its_own() -> None:
    index = LocalEdits(schema.memory(), now=0, hard={})
    doomed = sorted(digest(name) for name in "abc")
    with closing(index.connection):
        rows = [(one.raw,) for one in doomed]
        index.connection.executemany("INSERT INTO doomed VALUES (?)", rows)

        index.forget_unlinked(doomed[1])

        assert list(index.doomed()) == doomed[2:]
        assert not index.connection.in_transaction


@pytest.mark.parametrize("told", [True, False])
def test_what_goes_because_its_name_moved_goes_before_the_commit(*, told: bool) -> None:
    index = LocalEdits(schema.memory(), now=0, hard={})
    name = parse_name("a:1").reference
    with closing(index.connection):
        index.begin()
        first, second = image("a", "1 2"), image("b", "1 3")
        for one in (first, second):
            index.admit(one)
        index.attach(name, first.id, first.top.digest, tagged=0)
        index.attach(parse_name("b:1").reference, second.id, second.top.digest, tagged=0)
        index.commit()
        index.begin()
        index.admit(image("a-again", "1")._replace(id=first.id))
        again = digest("a-again")

        index.attach(name, first.id, again, tagged=0)

        if told:
            changes = index.changes()
            assert changes is not None
            shown = [*(new for _, new in changes[0] if new is not None), *changes[1]]
            assert first.top.digest not in {row.top.digest for row in shown}
        index.commit()
        assert [top.digest for top in index.tops_of(first.id)] == [again]
