"""The session's cache: each archive is read once, into a store that tests get their images from.

All xdist workers share the cache. Building an entry holds a native lock, which the kernel frees
when a worker dies, and an entry counts only when its list of images, written last, is there.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from typing import TYPE_CHECKING

from casstore.model.digest import sha256
from casstore.pytest_plugin.sharing import copy_images, make_empty
from casstore.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from casstore.results.images import Image

LISTING = "images.json"  # IDs of an archive's images, in load order
EMPTY = "empty"  # the entry without an archive


class Cache:
    """Stores by the archive that was loaded into them, below one folder."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        # Files that tests share with the cache, by store: blob -> (inode, size, last write)
        self._shared: dict[str, dict[str, tuple[int, int, int]]] = {}
        self._private: set[str] = set()  # stores that share nothing
        os.makedirs(folder, exist_ok=True)

    def new_store(self, path: str, sources: Sequence[str] = (), *, private: bool = False) -> Store:
        """A new store at `path` that holds `sources`; `private`: sharing no file with others."""
        first, others = (sources[0], sources[1:]) if sources else (None, ())
        cached, _ = self._entry(first)
        with Store(cached) as origin:
            origin.clone(path)
        store = Store(path)
        if private:
            self._private.add(store.path)
        self._note_sharing(store, cached)
        for source in others:
            self.load(store, source)
        return store

    def load(self, store: Store, source: str) -> Sequence[Image]:
        """Load `source` into `store`, by way of the cache; its images in load order."""
        cached, images = self._entry(source)
        with Store(cached) as origin:
            copy_images(origin, store)
        self._note_sharing(store, cached)
        return [store.get(image) for image in images]

    def faults(self, store: Store) -> list[str]:
        """What is wrong with a test's store, a line each."""
        faults = [
            f"{finding.level} {finding.code} {finding.object}: {finding.text}"
            for finding in store.check(content=False).findings
            if finding.level == "error"
        ]
        faults += [
            f"a lease is still held: {lease.kind} lease {lease.name} on image {lease.image.short}"
            for lease in store.leases()
        ]
        files = _files(store.path)
        for name, state in self._shared.pop(store.path, {}).items():
            now = files.get(name, state)
            if now != state and now[0] == state[0]:
                self._forget(name)
                faults.append(
                    f"blob {name} was written to, a file that other tests share"
                    " (mark the test casstore_unchecked)"
                )
        return faults

    def _note_sharing(self, store: Store, cached: str) -> None:
        if store.path in self._private:
            _unshare(store.path)
        else:
            self._shared.setdefault(store.path, {}).update(_files(cached))

    def _entry(self, source: str | None) -> tuple[str, list[str]]:
        """A store into which `source`, if any, was loaded; the IDs of its images in load order."""
        key = EMPTY if source is None else sha256(json.dumps(_identity(source)).encode()).short
        entry = os.path.join(self._folder, key)
        path, listing = os.path.join(entry, "store"), os.path.join(entry, LISTING)
        with open(entry + ".lock", "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.exists(listing):
                shutil.rmtree(entry, ignore_errors=True)  # of a worker that died, or spoilt
                os.mkdir(entry)
                with Store(path) as store:
                    make_empty(store)
                    loaded = () if source is None else store.load(source).images
                images = [image.id for image in loaded]
                with open(listing, "w", encoding="utf-8") as file:
                    json.dump(images, file)
            with open(listing, encoding="utf-8") as file:
                return path, json.load(file)

    def _forget(self, blob: str) -> None:
        """Have every entry with this blob built anew: a test wrote into the file."""
        with os.scandir(self._folder) as entries:
            folders = [entry.path for entry in entries if entry.is_dir()]
        for folder in folders:
            if os.path.exists(os.path.join(_blobs(os.path.join(folder, "store")), blob)):
                with open(folder + ".lock", "ab") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX)
                    shutil.rmtree(folder, ignore_errors=True)


def _identity(source: str) -> tuple[str, int, int]:
    """What changes when somebody writes the archive, or the layout's index, anew."""
    path = os.path.realpath(source)
    index = os.path.join(path, "index.json")
    status = os.stat(index if os.path.exists(index) else path)
    return path, status.st_size, status.st_mtime_ns


def _blobs(path: str) -> str:
    return os.path.join(path, "blobs", "sha256")


def _files(path: str) -> dict[str, tuple[int, int, int]]:
    """The blobs of the store at `path`, as the file system describes them."""
    with os.scandir(_blobs(path)) as entries:
        statuses = {entry.name: entry.stat(follow_symlinks=False) for entry in entries}
    return {name: (s.st_ino, s.st_size, s.st_mtime_ns) for name, s in statuses.items()}


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
