"""The files and the index behind a `Store`, for tests that look at them or damage them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from casstore.backends.local.backend import LocalBackend
from casstore.backends.local.directory import LocalStore
from casstore.backends.local.view import LocalView
from casstore.store import Store


def directory_of(store: Store) -> LocalStore:
    """Where the files of `store` are."""
    backend = store.session.backend
    assert isinstance(backend, LocalBackend)
    return backend.directory


def view_of(store: Store) -> LocalView:
    """A look at `store` as it is now, with the connection that it reads."""
    view = store.session.view()
    assert isinstance(view, LocalView)
    return view


def blanked(root: Path, *names: str) -> None:
    """Let pages of tables and indexes say that they hold no rows, as flipped bits can."""
    path = root / "casstore.db"
    with sqlite3.connect(path) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        pages = dict(connection.execute("SELECT name, rootpage FROM sqlite_master").fetchall())
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    data = bytearray(path.read_bytes())
    for name in names:
        start = (pages[name] - 1) * size + 3  # sqlite.org/fileformat2.html, 1.6: number of cells
        data[start : start + 2] = bytes(2)
    path.write_bytes(data)
