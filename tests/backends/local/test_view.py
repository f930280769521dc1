"""A local view: one moment, however its transaction ends."""

from __future__ import annotations

from contextlib import closing

from casstore.backends.local import schema
from casstore.backends.local.view import LocalView


def test_a_snapshot_whose_transaction_sqlite_has_ended_ends_without_an_error() -> None:
    with closing(schema.memory()) as connection:
        with LocalView(connection, now=0, hard={}).snapshot():
            connection.execute("ROLLBACK")  # as SQLite does where a disk fails

        assert not connection.in_transaction
