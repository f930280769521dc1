"""A local view: one moment, however its transaction ends."""

from __future__ import annotations

from contextlib import closing

from casstore.backends.local import schema
from casstore.backends.local.edits import LocalEdits
from casstore.backends.local.idlist import listed_ids
from casstore.backends.local.view import LocalView
from tests.contract.records import image


def test_a_snapshot_whose_transaction_sqlite_has_ended_ends_without_an_error() -> None:
    with closing(schema.memory()) as connection:
        with LocalView(connection, now=0, hard={}).snapshot():
            connection.execute("ROLLBACK")  # as SQLite does where a disk fails

        assert not connection.in_transaction


def test_ids_are_listed_without_the_rest_of_the_images() -> None:
    record = image("a", "base")
    with closing(schema.memory()) as connection:
        index = LocalEdits(connection, now=0, hard={})
        index.begin()
        index.admit(record)
        found = listed_ids(connection, digits=12, everything=True)

        assert found is not None
        assert list(found) == [[record.id.hex[:12]]]
