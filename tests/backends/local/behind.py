"""The files and the index behind a `Store`, for tests that look at them or damage them."""

from __future__ import annotations

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
