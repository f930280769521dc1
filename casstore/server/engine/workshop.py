"""A store for work in a thread of its own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from casstore.store import Store, store_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from casstore.progress import ProgressCallback


@contextmanager
def borrowed(store: Store, *, progress: ProgressCallback | None = None) -> Iterator[Store]:
    """The same store for this thread, closed at the end; `progress` hears how far it is."""
    session = store.session.another()
    session.max_layer_size = store.session.max_layer_size
    session.callback = progress
    another = store_of(session, Store)
    try:
        yield another
    finally:
        another.close()
