"""Entries of the cache: a store that an archive was loaded into once, and how its files were then.

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
from functools import cached_property
from typing import TYPE_CHECKING

from casstore.model.digest import sha256
from casstore.pytest_plugin.faults import faults_of
from casstore.pytest_plugin.sharedimages import make_empty
from casstore.store import Store
from casstore.transfer.formats import FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from casstore.ports.template import Template

LISTING = "listing.json"  # IDs of an archive's images in load order, and the files of its blobs
STORE = "store"
EMPTY = "empty"  # the entry without an archive


class Entry:
    """One that is built, as this process has found it."""

    def __init__(self, path: str) -> None:
        """Raises OSError, ValueError: it is not there, or not whole."""
        with open(os.path.join(path, LISTING), encoding="utf-8") as file:
            listing: dict[str, Any] = json.load(file)
        self.images: list[str] = listing["images"]
        self._blobs: dict[str, list[int]] = listing["blobs"]
        self._path = os.path.join(path, STORE)

    def store(self) -> Store:
        """What was loaded."""
        return Store(self._path, volatile=True)

    @cached_property
    def template(self) -> Template:
        """What the stores of tests are made of."""
        with self.store() as store, store.session.change() as change:
            return store.session.backend.template(change.index)

    @cached_property
    def is_sound(self) -> bool:
        """Whether nothing is wrong with it, so that what is made of it begins sound."""
        with self.store() as store:
            return not faults_of(store)

    def spoilt(self) -> list[str] | None:
        """The blobs that are not as they were when it was built; None where they are not there.

        Rights are given back: who takes them away from a shared file does not mean the others'.
        """
        try:
            now = _files(_blobs(self._path))
        except OSError:
            return None
        if now == self._blobs:
            return []
        spoilt = []
        for name, (*content, mode) in self._blobs.items():
            if name not in now or now[name][:-1] != content:
                spoilt.append(name)
            elif now[name][-1] != mode:
                os.chmod(os.path.join(_blobs(self._path), name), mode)
        return spoilt


class Entries:
    """The entries below one folder, by what was loaded into them."""

    def __init__(self, folder: str, *, common: str | None = None) -> None:
        """`common`: a folder of entries of which these are copies that share no file with them."""
        self._folder, self._common = folder, common
        self._found: dict[tuple[object, ...], Entry] = {}  # by this process

    def of(self, source: str | None) -> Entry:
        """Where `source`, if any, was loaded: built where it is not there, or not as it was."""
        identity = () if source is None else identity_of(source)
        found = self._found.get(identity)
        if found is None or found.spoilt() != []:
            found = self._found[identity] = self._built(identity, source)
        return found

    def _built(self, identity: tuple[object, ...], source: str | None) -> Entry:
        key = sha256(json.dumps(identity).encode()).short if identity else EMPTY
        with _locked(self._folder, key):
            if self._common is None:
                return _entry(self._folder, key, lambda path: _loaded(path, source))
            common = self._common
            return _entry(self._folder, key, lambda path: _copied(path, common, key, source))


def identity_of(source: str) -> tuple[object, ...]:
    """What changes when somebody writes the archive, or a directory's list of images, anew."""
    path = os.path.realpath(source)
    lists = {os.path.join(path, form.files[0][0]) for form in FORMATS}
    there = sorted(filter(os.path.exists, lists)) or [path]
    statuses = map(os.stat, there)
    return (path, *((status.st_size, status.st_mtime_ns) for status in statuses))


@contextmanager
def _locked(folder: str, key: str) -> Iterator[None]:
    """For one process at a time."""
    os.makedirs(folder, exist_ok=True)  # a test can have removed it
    with open(os.path.join(folder, key + ".lock"), "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _entry(folder: str, key: str, build: Callable[[str], list[str]]) -> Entry:
    """The entry `key`, whose lock is held, built anew where it is not as it was built."""
    path = os.path.join(folder, key)
    try:
        found = Entry(path)
        if found.spoilt() == []:
            return found
    except (OSError, ValueError):
        pass  # not there, or not whole
    shutil.rmtree(path, ignore_errors=True)
    os.mkdir(path)
    store = os.path.join(path, STORE)
    listing = {"images": build(store), "blobs": _files(_blobs(store))}
    with open(os.path.join(path, LISTING), "w", encoding="utf-8") as file:
        json.dump(listing, file)
    return Entry(path)


def _copied(path: str, folder: str, key: str, source: str | None) -> list[str]:
    """Copy the entry `key` of another folder to `path`, sharing no file with it."""
    with _locked(folder, key):
        found = _entry(folder, key, lambda store: _loaded(store, source))
        shutil.copytree(os.path.join(folder, key, STORE), path)
    return found.images


def _loaded(path: str, source: str | None) -> list[str]:
    with Store(path, volatile=True) as store:
        make_empty(store)
        images = () if source is None else store.load(source).images
    return [image.id for image in images]


def _blobs(store: str) -> str:
    return os.path.join(store, "blobs", "sha256")


def _files(directory: str) -> dict[str, list[int]]:
    """Inode, size, last write, and rights of the files in a directory."""
    with os.scandir(directory) as entries:
        statuses = {entry.name: entry.stat(follow_symlinks=False) for entry in entries}
    return {
        name: [s.st_ino, s.st_size, s.st_mtime_ns, stat.S_IMODE(s.st_mode)]
        for name, s in statuses.items()
    }


def unshare(store: str) -> None:
    """Replace each blob's hard link by a file of its own."""
    for name in os.listdir(_blobs(store)):
        blob = os.path.join(_blobs(store), name)
        with open(blob, "rb") as file:
            content = file.read()
        mode = os.stat(blob).st_mode
        os.unlink(blob)
        with open(blob, "xb") as file:
            file.write(content)
        os.chmod(blob, mode)
