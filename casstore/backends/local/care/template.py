"""A local store as it was, kept in memory, of which others are made: blobs by hard link.

One that is made costs a link for each blob and three small files: no database is opened, and no
lock is taken. Source of what is shared, and what is not: another tool may write index.json in place
(skopeo does), SQLite writes casstore.db in place, and nobody ever writes a blob.
"""

from __future__ import annotations

import os
from contextlib import contextmanager

from casstore.backends.local import creation as making
from casstore.backends.local import told
from casstore.backends.local.care.made import Made
from casstore.backends.local.directory import LocalStore
from casstore.backends.local.published import LAYOUT
from casstore.errors import NotAStore, quote
from casstore.files import durable
from casstore.files.filecopy import copy_file
from casstore.files.strangers import is_systems

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from casstore.backends.local.care.knowntrees import KnownTrees
    from casstore.backends.local.edits import LocalEdits


class Template:
    """See ports/template.py."""

    @told("read the store")
    def __init__(self, disk: LocalStore, index: LocalEdits) -> None:
        """Keep what the store is; the lock of it is held."""
        self._directory = disk.blobs.directory
        self._blobs = [state.digest.hex for state in index.all_blobs()]
        self._database = index.connection.serialize()
        with open(disk.layout.path, "rb") as file:
            published = file.read()
        self.files = {
            "casstore.db": self._database,
            "index.json": published,
            "oci-layout": LAYOUT,
        }
        self._known: KnownTrees | None = None

    @property
    def known(self) -> KnownTrees:
        """What its index says of its images, read when it is first asked for."""
        if self._known is None:
            from casstore.backends.local.care.knowntrees import KnownTrees
            from casstore.backends.local.snapshot import in_memory

            connection = in_memory(self._database)
            try:
                self._known = KnownTrees(connection)
            finally:
                connection.close()
        return self._known

    def make(self, path: str) -> None:
        if os.path.isdir(path) and not all(map(is_systems, os.listdir(path))):
            raise NotAStore(f"{quote(path)} is not empty")
        copy = LocalStore(path)
        try:
            making.create(copy)
            self._copy_blobs(copy.blobs.directory)
            for name, content in self.files.items():  # what makes it a store comes last
                with open(os.path.join(copy.root, name), "xb", buffering=0) as file:
                    file.write(content)
                if content is self._database:
                    durable.sync_files([copy.database])
        except OSError as error:
            raise durable.storage_error(error, f"cannot clone to {quote(path)}") from None

    @told("look into the new store")
    def made_at(self, path: str) -> Made:
        return Made(self, LocalStore(path, volatile=durable.is_volatile(path)))

    def _copy_blobs(self, directory: str) -> None:
        with _opened(self._directory) as old, _opened(directory) as new:
            for name in self._blobs:
                if not durable.share(name, name, old=old, new=new):
                    copy_file(os.path.join(self._directory, name), os.path.join(directory, name))


@contextmanager
def _opened(directory: str) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
