"""The index as a change sees it: what is admitted, and in how many steps."""

from __future__ import annotations

from contextlib import closing

import pytest

from casstore.backends.local import schema
from casstore.backends.local.edits import LocalEdits
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
