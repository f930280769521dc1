"""The tag index made anew from index.json and the blobs, when casstore.db is lost or damaged.

Everything in the database follows from them: references in attach order, images without a name,
parent links, edges, sizes. Leases by name, settings and the trash do not: carryover.py takes them
from a database that is sound. An image whose layer is damaged is there again all the same (fsck
names the blob, rmi removes the image). An image whose documents cannot be read cannot be: then
index.json is kept aside, and gc refuses to sweep what that image may hold.
A store that publishes on demand has what was published last, and gc refuses in the same way.
"""

from __future__ import annotations

import os

from casstore.care.published import DAMAGED, given_name, keep_aside, layout_of, listed, read_file
from casstore.disk import durable, making, schema
from casstore.disk.layoutfile import PARENT, PINNED
from casstore.disk.sqliteindex import SqliteIndex
from casstore.errors import CasstoreError, Damaged, Refused
from casstore.model.digest import Digest
from casstore.model.imagetree import read_tree
from casstore.model.record import LayerRecord
from casstore.transfer.keeping import describe_layer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casstore.disk.blobdir import BlobDirectory
    from casstore.disk.local import LocalStore
    from casstore.model.record import Descriptor


# No list, so that nothing but a person removes it: until then gc removes no blob.
_UNLISTED = b"""\
casstore.db was lost while index.json was published on demand. Images that came after the last
publishing are among the blobs without a name; load them again, then remove this file.
"""


def rebuild_database(disk: LocalStore) -> list[str]:
    """Build casstore.db anew and put it in place; the lock is held.

    Returns:
        A line for each image of index.json that could not be read and was left out.

    Raises:
        Damaged: index.json itself cannot be read.
        NotAStore: a newer casstore made the database; it is left as it is.
    """
    schema.check_not_newer(disk.database)
    making.make_directories(disk)
    staging = making.staging_database(disk)
    try:
        _publish_pending(disk)
        schema.create(staging)
        connection = schema.connect(staging, writable=True)
        try:
            problems = _fill(disk, connection, writable=True)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            connection.close()
        making.install_database(disk, staging)
    except OSError as error:
        raise durable.storage_error(error, "cannot rebuild the database") from None
    except schema.Error as error:
        raise schema.database_error(error, staging) from None
    return problems


def _publish_pending(disk: LocalStore) -> None:
    """Bring a change into index.json that was committed and not published: a full disk, a crash.

    Only from a database that SQLite finds sound, and only where index.json is an older version of
    what that database says.
    """
    try:
        connection = disk.connect(writable=False)
    except CasstoreError:
        return
    try:
        index = SqliteIndex(connection, now=0, hard={})
        published, generation = disk.layout.generation(), index.meta("generation")
        if published is None or published >= generation:
            return
        if connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",):
            rows = list(index.all_published())
            disk.layout.write(rows, generation)
    except (schema.Error, KeyError, TypeError):
        return  # it says nothing that could be published
    finally:
        connection.close()


def index_in_memory(disk: LocalStore) -> schema.Connection:
    """The index as it would be rebuilt, for reading only."""
    connection = schema.memory()
    _fill(disk, connection, writable=False)
    return connection


def _fill(disk: LocalStore, connection: schema.Connection, *, writable: bool) -> list[str]:
    if not os.path.lexists(disk.layout.path):
        raise Damaged(
            "both casstore.db and index.json are missing; casstore fsck --rebuild finds the images"
            " among the blobs, without their names"
        )
    withdrawn = disk.layout.is_withdrawn()
    if withdrawn and not os.path.lexists(disk.layout.last):
        raise Damaged(
            "casstore.db is missing and index.json was not published; nothing says what the blobs"
            " are"
        )
    try:
        entries, _ = listed(read_file(disk.layout.last if withdrawn else disk.layout.path))
    except (Refused, OSError) as error:
        raise Damaged(f"index.json cannot be read ({error}); nothing is changed") from None
    index = SqliteIndex(connection, now=0, hard={})
    reader = StoredTree(disk.blobs)
    problems = ["index.json was published before the last changes"] if withdrawn else []
    parents: list[tuple[Digest, Digest]] = []
    index.begin()
    unreadable: list[Any] = []
    for entry, item in entries:
        descriptor = entry.descriptor
        try:
            image = read_tree(descriptor, reader)
        except CasstoreError as error:
            problems.append(f"{descriptor.digest}: {error}")
            unreadable.append(item)
            continue
        index.admit(image)
        name = given_name(entry.annotations, descriptor.digest)
        if name is not None:
            index.attach(name, image.id, descriptor.digest, tagged=0)
        if entry.annotations.get(PINNED) == "true":
            index.set_pin(image.id, pinned=True)
        if PARENT in entry.annotations:
            parents.append((image.id, Digest.parse(entry.annotations[PARENT])))
    for child, parent in parents:
        if index.has_image(parent):
            index.link_parent(child, parent)
    if writable:
        # One more than was published, so that the next change publishes anew.
        index.set_meta("generation", (disk.layout.generation() or 0) + 1)
        if unreadable:
            keep_aside(disk, layout_of(unreadable), DAMAGED)
        if withdrawn:
            keep_aside(disk, _UNLISTED, DAMAGED)
        from casstore.care.carryover import carry_over

        problems += carry_over(disk, index, reader)
    index.commit()
    return problems


class StoredTree:
    """Reads image trees from blobs in place: a `TreeReader` that verifies all it reads."""

    def __init__(self, blobs: BlobDirectory) -> None:
        self._blobs = blobs
        self._layers: dict[Digest, LayerRecord] = {}

    def document(self, descriptor: Descriptor) -> bytes | None:
        if self._blobs.size(descriptor.digest) is None:
            return None
        return self._blobs.read(descriptor.digest)

    def layer(self, descriptor: Descriptor, diff_id: Digest | None) -> LayerRecord:
        if descriptor.digest not in self._layers:
            try:
                record = describe_layer(self._blobs.open(descriptor.digest), descriptor, diff_id)
            except CasstoreError:
                if diff_id is None:
                    raise
                # Missing or damaged: the image keeps its place and its name, fsck tells of this.
                record = LayerRecord(
                    descriptor.digest, descriptor.size, descriptor.media_type, diff_id, 0, 0
                )
            self._layers[descriptor.digest] = record
        return self._layers[descriptor.digest]

    def leaf(self, descriptor: Descriptor) -> None:
        if self._blobs.size(descriptor.digest) != descriptor.size:
            raise Damaged(f"blob {descriptor.digest} is missing or of another size")
