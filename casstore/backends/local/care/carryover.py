"""What a rebuilt database takes over: settings, leases, pins, times of arrival, events, the trash.

index.json and the blobs do not have these. They are taken from the database before it, if SQLite
finds that sound, so an explicit rebuild loses nothing; from a damaged one nothing is taken.
"""

from __future__ import annotations

from casstore.backends.local.care.soundness import database_problems, misfit
from casstore.backends.local.events import carry_over as carry_over_events
from casstore.backends.local.schema import Error
from casstore.backends.local.trash import TrashTables
from casstore.backends.local.view import LocalView
from casstore.errors import CasstoreError
from casstore.model.digest import Digest
from casstore.model.imagetree import read_tree
from casstore.model.removal import RemovalPlan
from casstore.model.trashed import KeptEntry, KeptImage
from casstore.rules.settings import SETTINGS, checked, key_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.backends.local.directory import LocalStore
    from casstore.backends.local.edits import LocalEdits
    from casstore.transfer.storedtree import StoredTree

_PINS = "SELECT image.digest FROM pin JOIN image ON image.id = pin.image"
_ARRIVED = "SELECT arrived, digest FROM image WHERE arrived IS NOT NULL"
_SET_ARRIVED = "UPDATE image SET arrived = ? WHERE digest = ?"


def carry_over(disk: LocalStore, index: LocalEdits, reader: StoredTree) -> list[str]:
    """Copy from the database of the store, if it is sound, into the new `index`.

    Args:
        disk: the store; its lock is held.
        index: the new index with all images, in a transaction.
        reader: reads image trees from the blobs.

    Returns:
        A line for each entry of the trash that could not be read and was left out.
    """
    try:
        connection = disk.connect_as_is()
    except CasstoreError:
        return []
    try:
        old = LocalView(connection, now=0, hard={})
        if database_problems(connection, 1) or misfit(connection) is not None:
            return []
        _settings(old, index)
        for name, image, expires in old.all_leases():
            if index.has_image(image):
                index.set_lease(name, image, expires)
        for row in connection.execute(_ARRIVED):
            index.connection.execute(_SET_ARRIVED, row)
        carry_over_events(connection, index.connection)
        trash = TrashTables(index)
        for (raw,) in connection.execute(_PINS).fetchall():
            trash.pin(Digest.of_bytes(raw))
        return _trash(TrashTables(old), trash, index, reader)
    except Error:
        return []  # what was copied so far is right
    finally:
        connection.close()


def _settings(old: LocalView, index: LocalEdits) -> None:
    for name in SETTINGS:
        value = old.meta(key_of(name))
        if value is None:
            continue
        try:
            index.set_meta(key_of(name), checked(name, str(value)))
        except CasstoreError:
            pass  # no value that could have been set


def _trash(
    old: TrashTables, trash: TrashTables, index: LocalEdits, reader: StoredTree
) -> list[str]:
    problems = []
    for entry in filter(None, map(old.entry, old.ids())):
        try:
            images = [_read(image, reader) for image in entry.images]
        except CasstoreError as error:
            problems.append(f"entry {entry.id} of the trash: {error}")
            continue
        only_there = [image.id for image in images if not index.has_image(image.id)]
        of_the_trash = [  # an image that lives on under another manifest lacks them still
            (image.id, record.top.digest)
            for image in images
            for record in image.records
            if record.top.digest not in {top.digest for top in index.tops_of(image.id)}
        ]
        for image in images:
            for record in image.records:
                index.admit(record)
        trash.put(KeptEntry(entry.id, entry.removed, entry.expires, tuple(images)))
        deleted = tuple(dict.fromkeys(only_there))
        index.apply(RemovalPlan((), tuple(of_the_trash), deleted, (), (), 0, ()))
    return problems


def _read(image: KeptImage, reader: StoredTree) -> KeptImage:
    records = tuple(
        read_tree(one.top, reader, lacks=reader.lacks).arriving(one.stored().arrived)
        for one in image.records
    )
    return KeptImage(image.id, records, image.parent, image.pinned, image.names)
