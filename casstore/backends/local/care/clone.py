"""Store.clone: a second store with the same content, its blobs shared by hard link.

Costs a link for each blob and a copy of the database: milliseconds for a test's store.
"""

from __future__ import annotations

import os

from casstore.backends.local import creation as making
from casstore.backends.local.directory import LocalStore
from casstore.backends.local.published import LAYOUT
from casstore.errors import NotAStore, quote
from casstore.files import durable
from casstore.files.filecopy import copy_file
from casstore.files.strangers import is_systems

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.backends.local.edits import LocalEdits


def clone_store(disk: LocalStore, index: LocalEdits, path: str) -> None:
    """Copy the store to `path`; the lock of the original is held."""
    if os.path.isdir(path) and not all(map(is_systems, os.listdir(path))):
        raise NotAStore(f"{quote(path)} is not empty")
    copy = LocalStore(path)
    try:
        making.create(copy)
        for state in index.all_blobs():
            source, target = disk.blobs.path(state.digest), copy.blobs.path(state.digest)
            if not durable.share(source, target):
                copy_file(source, target)
        with open(copy.database, "xb") as file:
            file.write(index.connection.serialize())
        durable.sync_files([copy.database])
        with open(copy.layout.path, "xb") as file, open(disk.layout.path, "rb") as original:
            file.write(original.read())
        with open(os.path.join(copy.root, "oci-layout"), "xb") as file:
            file.write(LAYOUT)
    except OSError as error:
        raise durable.storage_error(error, f"cannot clone to {quote(path)}") from None
