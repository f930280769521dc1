"""What a forked child does with the connections of its parent, asked without a fork."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from casstore.backends.local import forkedchild, schema
from casstore.backends.local.forkedchild import close_inherited, leave_to_parent
from casstore.errors import StorageError


@pytest.fixture(autouse=True)
def nothing_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_inherited", "_forbidden"):
        monkeypatch.setattr(forkedchild, name, [])


@pytest.fixture
def connection() -> Iterator[schema.Connection]:
    with closing(schema.memory()) as connection:
        yield connection


def is_open(connection: schema.Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except schema.Error:
        return False
    return True


def test_an_index_that_was_not_open_leaves_nothing() -> None:
    leave_to_parent(None)

    close_inherited()


def test_what_was_open_is_closed_before_this_process_opens_its_own(
    connection: schema.Connection,
) -> None:
    with closing(schema.memory()) as other:
        for one in (connection, other):
            leave_to_parent(one)
        assert is_open(connection) and is_open(other)  # it must not wait

        close_inherited()

        assert not is_open(connection) and not is_open(other)
    close_inherited()


def test_a_change_of_the_parent_is_never_ended_here_and_no_store_can_be_used(
    connection: schema.Connection,
) -> None:
    connection.execute("BEGIN")
    before = sys.getrefcount(connection)

    leave_to_parent(connection)

    assert sys.getrefcount(connection) == before + 2  # one of them for ever
    with pytest.raises(StorageError, match="forked while its parent was changing a store"):
        close_inherited()
    assert connection.in_transaction
