"""The tag index made anew from index.json and the blobs, when casstore.db is lost or damaged.

Everything in the database follows from them: references in attach order, images without a name,
parent links, edges, sizes. Leases by name, settings and the trash do not: carryover.py takes them
from a database that is sound. An image whose layer is damaged is there again all the same (fsck
names the blob, rmi removes the image). An image whose documents cannot be read cannot be: then
index.json is kept aside, and gc refuses to sweep what that image may hold.
What the operating system cannot read just now ends a rebuild, but for one that was asked for where
the database is lost anyway.
A store that publishes on demand has what was published last, and gc refuses in the same way.
"""

from __future__ import annotations

import os

from casstore.backends.local import creation as making
from casstore.backends.local import schema
from casstore.backends.local.bulk import BulkIndex, write_logged, write_unlogged
from casstore.backends.local.care.listed import (
    DAMAGED,
    each_listed,
    given_name,
    given_parent,
    keep_aside,
    layout_of,
    written_as,
)
from casstore.backends.local.care.soundness import database_problems
from casstore.backends.local.edits import LocalEdits
from casstore.clock import current_time
from casstore.errors import CasstoreError, Damaged, Refused, StorageError
from casstore.files import durable
from casstore.model.imagetree import read_tree
from casstore.model.keys import GENERATION, PARENT, PINNED, REBUILD
from casstore.transfer.storedtree import StoredTree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casstore.backends.local.directory import LocalStore


# No list, so that nothing but a person removes it: until then gc removes no blob.
_UNLISTED = b"""\
casstore.db was lost while index.json was published on demand. Images that came after the last
publishing are among the blobs without a name; load them again, then remove this file.
"""


def rebuild_database(disk: LocalStore, *, leave_out: bool = False) -> tuple[list[str], bool]:
    """Build casstore.db anew and put it in place; the lock is held.

    Args:
        disk: the store.
        leave_out: go on without what the operating system cannot read just now, as without what is
            damaged. Otherwise such an error ends the rebuild: it may be gone the next time.

    Returns:
        A line for each image of index.json that could not be read and was left out; and whether
        every blob of the new index was read and has its digest.

    Raises:
        Damaged: index.json itself cannot be read.
        StorageError: nothing is changed.
        NotAStore: a newer casstore made the database; it is left as it is.
    """
    disk.check_not_newer()
    making.make_directories(disk)
    staging = making.staging_database(disk)
    try:
        _publish_pending(disk)
        schema.create(staging, volatile=disk.volatile)
        connection = schema.connect(staging, writable=True)
        try:
            write_unlogged(connection)
            problems, verified = _fill(disk, connection, writable=True, leave_out=leave_out)
            write_logged(connection)
        finally:
            connection.close()
        making.install_database(disk, staging)
    except OSError as error:
        raise durable.storage_error(error, "cannot rebuild the database") from None
    except schema.Error as error:
        raise schema.database_error(error, staging) from None
    return problems, verified


def _publish_pending(disk: LocalStore) -> None:
    """Bring a change into index.json that was committed and not published: a full disk, a crash.

    Only from a database that SQLite finds sound, and only where index.json is an older version of
    what that database says.
    """
    try:
        connection = disk.connect_as_is()
    except CasstoreError:
        return
    try:
        index = LocalEdits(connection, now=0, hard={})
        published, generation = disk.layout.generation(), index.meta(GENERATION)
        if published is None or published >= generation:
            return
        if not database_problems(connection, 1):
            disk.layout.write(index.all_published(), generation)
            disk.layout.flush()
    except schema.Error:
        return  # not even SQLite finds its way in it
    except (KeyError, TypeError):
        return  # it says nothing that could be published
    finally:
        connection.close()


def index_in_memory(disk: LocalStore) -> schema.Connection:
    """The index as it would be rebuilt, for reading only."""
    connection = schema.memory()
    try:
        _fill(disk, connection, writable=False, leave_out=True)
    except BaseException:
        connection.close()
        raise
    return connection


def _fill(
    disk: LocalStore, connection: schema.Connection, *, writable: bool, leave_out: bool
) -> tuple[list[str], bool]:
    if not os.path.lexists(disk.layout.path):
        raise Damaged(
            "index.json is missing, and casstore.db is missing or damaged; casstore fsck --rebuild"
            " finds the images among the blobs, without their names"
        )
    withdrawn = disk.layout.is_withdrawn()
    if withdrawn and not os.path.lexists(disk.layout.last):
        raise Damaged(
            "casstore.db is missing and index.json was not published; nothing says what the blobs"
            " are"
        )
    bulk = BulkIndex(connection)
    reader = StoredTree(disk.blobs, bulk.layer, leave_out=leave_out)
    problems = ["index.json was published before the last changes"] if withdrawn else []
    bulk.begin()
    unreadable = _read_images(disk, bulk, reader, problems, withdrawn=withdrawn)
    bulk.finish()
    index = LocalEdits(connection, now=0, hard={})
    index.begin()
    for name, image, manifest in bulk.names_given_again():
        index.attach(name, image, manifest, tagged=0)
    if writable:
        # One more than was published, so that the next change publishes anew.
        index.set_meta(GENERATION, (disk.layout.generation() or 0) + 1)
        if unreadable:
            keep_aside(disk, layout_of(unreadable), DAMAGED)
        if withdrawn:
            keep_aside(disk, _UNLISTED, DAMAGED)
        from casstore.backends.local.care.carryover import carry_over

        problems += carry_over(disk, index, reader)
        index.forget_events()  # of making what was there before
        index.now = current_time()
        index.record(REBUILD)
    index.commit()
    return problems, not reader.unverified


def _read_images(
    disk: LocalStore, bulk: BulkIndex, reader: StoredTree, problems: list[str], *, withdrawn: bool
) -> list[Any]:
    """All that index.json lists, into `bulk`; the records that could not be read."""
    unreadable: list[Any] = []
    path = disk.layout.last if withdrawn else disk.layout.path
    records = each_listed(path)
    while True:
        try:
            entry, item = next(records)
        except StopIteration:
            return unreadable
        except Refused as error:
            raise Damaged(f"index.json cannot be read ({error}); nothing is changed") from None
        except OSError as error:
            raise StorageError(
                f"cannot read index.json: {durable.reason_of(error)}; nothing is changed"
            ) from None
        top = entry.descriptor
        image = bulk.holder(top)
        if image is None:
            try:
                image = bulk.add(read_tree(top, reader, lacks=reader.lacks))
            except StorageError:
                raise  # by a reader that is not to leave out what cannot be read just now
            except CasstoreError as error:
                problems.append(f"{top.digest}: {error}")
                unreadable.append(item)
                continue
        name = given_name(entry.annotations, top.digest)
        if name is not None:
            bulk.attach(name, image, top.digest)
            if (text := written_as(entry.annotations, name)) is not None:
                bulk.write_as(name, text)
        if entry.annotations.get(PINNED) == "true":
            bulk.pin(image)
        parent = given_parent(entry.annotations)
        if parent is not None:
            bulk.set_origin(image, parent)
        elif PARENT in entry.annotations:
            problems.append(f"{top.digest}: its parent in index.json is not a digest")
