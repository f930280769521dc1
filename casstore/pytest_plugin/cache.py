"""The session's cache: each archive is read once, into a store that tests get their images from.

A test shares the blobs with the cache by hard link, so that it could spoil them for others. Hence
each xdist worker has a cache of its own, which one test at a time uses, and copies what another
worker has read from a common one, which no test shares a file with. At the end of each test its
shared files are looked at, and so are those of an entry before it is used: one that has changed is
made again.

Building an entry holds a native lock, which the kernel frees when a worker dies, and an entry
counts only when its listing, written last, is there.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from casstore.errors import CasstoreError
from casstore.model.digest import sha256
from casstore.pytest_plugin.sharedimages import copy_images, make_empty
from casstore.store import Store, store_of
from casstore.store.session import Session
from casstore.transfer.formats import FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from casstore.results.images import Image

LISTING = "listing.json"  # IDs of an archive's images in load order, and the files of its blobs
EMPTY = "empty"  # the entry without an archive


class Cache:
    """Stores by the archive that was loaded into them, below one folder."""

    def __init__(self, folder: str, *, worker: str = "") -> None:
        """`worker` is the name of this xdist worker, which no other has at any time."""
        self._folder = os.path.join(folder, worker) if worker else folder
        self._common = folder if worker else None
        self._shared: dict[str, set[str]] = {}  # entries that tests share files with, by store
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
        entry, _ = self._entry(first)
        store = Store(path, volatile=volatile)
        with _of_cache(entry) as origin:
            origin.clone(path)
        if private:
            self._private.add(store.path)
        self._note_sharing(store, entry)
        for source in others:
            self.load(store, source)
        return store

    def new_store_in_memory(self, sources: Sequence[str] = ()) -> Store:
        """A new store in memory that holds `sources`: a copy of one that no test has."""
        key = tuple(map(_identity, sources))
        if key not in self._in_memory:
            origin = Store.in_memory()
            make_empty(origin)
            for source in sources:
                self.load(origin, source)
            self._in_memory[key] = origin
        return store_of(Session.in_memory(like=self._in_memory[key].session), Store)

    def load(self, store: Store, source: str) -> Sequence[Image]:
        """Load `source` into `store`, by way of the cache; its images in load order."""
        entry, images = self._entry(source)
        with _of_cache(entry) as origin:
            copy_images(origin, store)
        self._note_sharing(store, entry)
        return [store.get(image) for image in images]

    def faults(self, store: Store) -> list[str]:
        """What is wrong with a test's store, a line each."""
        shared = sorted(self._shared.pop(store.path, ()))
        written = [name for entry in shared for name in _spoilt(entry) or ()]
        faults = [
            f"blob {name} was written to, a file that other tests share"
            " (mark the test casstore_unchecked)"
            for name in dict.fromkeys(written)
        ]
        try:
            faults += [
                f"{finding.level} {finding.code} {finding.object}: {finding.text}"
                for finding in store.check(content=False).findings
                if finding.level == "error"
            ]
            faults += [
                f"a lease is still held: {one.kind} lease {one.name} on image {one.image.short}"
                for one in store.leases.list()
            ]
        except CasstoreError as error:  # it is gone, or no store any more
            faults.append(str(error))
        return faults

    def _note_sharing(self, store: Store, entry: str) -> None:
        if store.path in self._private:
            _unshare(store.path)
        elif os.path.isabs(store.path):  # not in memory
            self._shared.setdefault(store.path, set()).add(entry)

    def _entry(self, source: str | None) -> tuple[str, list[str]]:
        """Where `source`, if any, was loaded; the IDs of its images in load order."""
        key = EMPTY if source is None else sha256(json.dumps(_identity(source)).encode()).short
        with _locked(self._folder, key):
            if self._common is None:
                return _built(self._folder, key, lambda path: _loaded(path, source))
            common = self._common
            return _built(self._folder, key, lambda path: _copied(path, common, key, source))


@contextmanager
def _locked(folder: str, key: str) -> Iterator[None]:
    """For one process at a time."""
    os.makedirs(folder, exist_ok=True)  # a test can have removed it
    with open(os.path.join(folder, key + ".lock"), "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _built(folder: str, key: str, build: Callable[[str], list[str]]) -> tuple[str, list[str]]:
    """The entry `key`, built anew where it is not there, or not as it was built."""
    entry = os.path.join(folder, key)
    if _spoilt(entry) != []:
        shutil.rmtree(entry, ignore_errors=True)
        os.mkdir(entry)
        images = build(_store(entry))
        with open(os.path.join(entry, LISTING), "w", encoding="utf-8") as file:
            json.dump({"images": images, "blobs": _files(_store(entry))}, file)
    return entry, _listing(entry)["images"]


def _copied(path: str, folder: str, key: str, source: str | None) -> list[str]:
    """Copy the entry `key` of another folder to `path`, sharing no file with it."""
    with _locked(folder, key):
        entry, images = _built(folder, key, lambda store: _loaded(store, source))
        shutil.copytree(_store(entry), path)
    return images


def _loaded(path: str, source: str | None) -> list[str]:
    with Store(path, volatile=True) as store:
        make_empty(store)
        images = () if source is None else store.load(source).images
    return [image.id for image in images]


def _spoilt(entry: str) -> list[str] | None:
    """The blobs that are not as they were when the entry was built; None if it is not whole.

    Rights are given back: who takes them away from a shared file does not mean the others'.
    """
    path = _store(entry)
    try:
        built, now = _listing(entry)["blobs"], _files(path)
    except (OSError, ValueError):
        return None
    spoilt = []
    for name, (*content, mode) in built.items():
        if name not in now or now[name][:-1] != content:
            spoilt.append(name)
        elif now[name][-1] != mode:
            os.chmod(os.path.join(_blobs(path), name), mode)
    return spoilt


def _listing(entry: str) -> dict[str, Any]:
    with open(os.path.join(entry, LISTING), encoding="utf-8") as file:
        found: dict[str, Any] = json.load(file)
    return found


def _identity(source: str) -> tuple[object, ...]:
    """What changes when somebody writes the archive, or a directory's list of images, anew."""
    path = os.path.realpath(source)
    lists = {os.path.join(path, form.files[0][0]) for form in FORMATS}
    there = sorted(filter(os.path.exists, lists)) or [path]
    statuses = map(os.stat, there)
    return (path, *((status.st_size, status.st_mtime_ns) for status in statuses))


def _of_cache(entry: str) -> Store:
    return Store(_store(entry), volatile=True)


def _store(entry: str) -> str:
    return os.path.join(entry, "store")


def _blobs(path: str) -> str:
    return os.path.join(path, "blobs", "sha256")


def _files(path: str) -> dict[str, list[int]]:
    """The blobs of the store at `path`: inode, size, last write, and rights of each."""
    with os.scandir(_blobs(path)) as entries:
        statuses = {entry.name: entry.stat(follow_symlinks=False) for entry in entries}
    return {
        name: [s.st_ino, s.st_size, s.st_mtime_ns, stat.S_IMODE(s.st_mode)]
        for name, s in statuses.items()
    }


def _unshare(path: str) -> None:
    """Replace each blob's hard link by a file of its own."""
    for name in _files(path):
        blob = os.path.join(_blobs(path), name)
        with open(blob, "rb") as file:
            content = file.read()
        mode = os.stat(blob).st_mode
        os.unlink(blob)
        with open(blob, "xb") as file:
            file.write(content)
        os.chmod(blob, mode)
