"""The session's cache: each archive is read once, into a store that tests get their images from.

A test shares the blobs with the cache by hard link, so that it could spoil them for others. Hence
each xdist worker has a cache of its own, which one test at a time uses, and copies what another
worker has read from a common one, which no test shares a file with. At the end of each test its
shared files are looked at, and so are those of an entry before it is used: one that has changed is
made again.

Nothing else is shared: a test's index is written from memory. What a test has not changed since is
not checked at its end, for the entry it comes from was.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from casstore.pytest_plugin.entries import Entries, identity_of, unshare
from casstore.pytest_plugin.faults import faults_of
from casstore.pytest_plugin.sharedimages import copy_images, make_empty
from casstore.store import Store, store_of
from casstore.store.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from casstore.ports.template import Made
    from casstore.pytest_plugin.entries import Entry
    from casstore.results.images import Image


class Cache:
    """Stores by the archive that was loaded into them, below one folder."""

    def __init__(self, folder: str, *, worker: str = "") -> None:
        """`worker` is the name of this xdist worker, which no other has at any time."""
        if worker:
            self._entries = Entries(os.path.join(folder, worker), common=folder)
        else:
            self._entries = Entries(folder)
        self._shared: dict[str, list[Entry]] = {}  # what a store shares files with, by its path
        self._made: dict[str, Made] = {}  # how a store was made, where it began sound
        self._private: set[str] = set()  # stores that share nothing
        self._in_memory: dict[tuple[object, ...], Store] = {}  # to be copied, by what is in them

    def new_store(
        self,
        path: str,
        sources: Sequence[str] = (),
        *,
        private: bool = False,
        volatile: bool = True,
    ) -> Store:
        """A new store at `path` that holds `sources`.

        Args:
            path: where nothing is, or an empty directory.
            sources: archives and layouts.
            private: it shares no file with others.
            volatile: nothing in it is flushed.
        """
        first, others = (sources[0], sources[1:]) if sources else (None, ())
        entry = self._entries.of(first)
        store = Store(path, volatile=volatile)
        entry.template.make(store.path)
        if private:
            self._private.add(store.path)
        elif entry.is_sound:
            self._made[store.path] = entry.template.made_at(store.path)
        self._note_sharing(store, entry)
        for source in others:
            self.load(store, source)
        return store

    def new_store_in_memory(self, sources: Sequence[str] = ()) -> Store:
        """A new store in memory that holds `sources`: a copy of one that no test has."""
        key = tuple(map(identity_of, sources))
        if key not in self._in_memory:
            origin = Store.in_memory()
            make_empty(origin)
            for source in sources:
                self.load(origin, source)
            self._in_memory[key] = origin
        return store_of(Session.in_memory(like=self._in_memory[key].session), Store)

    def load(self, store: Store, source: str) -> Sequence[Image]:
        """Load `source` into `store`, by way of the cache; its images in load order."""
        entry = self._entries.of(source)
        with entry.store() as origin:
            copy_images(origin, store)
        self._note_sharing(store, entry)
        return [store.get(image) for image in entry.images]

    def faults(self, store: Store) -> list[str]:
        """What is wrong with a test's store, a line each."""
        shared = self._shared.pop(store.path, ())
        written = [name for entry in shared for name in entry.spoilt() or ()]
        return [
            f"blob {name} was written to, a file that other tests share"
            " (mark the test casstore_unchecked)"
            for name in dict.fromkeys(written)
        ] + faults_of(store, self._made.pop(store.path, None))

    def _note_sharing(self, store: Store, entry: Entry) -> None:
        if store.path in self._private:
            unshare(store.path)
        elif os.path.isabs(store.path):  # not in memory
            self._shared.setdefault(store.path, []).append(entry)
