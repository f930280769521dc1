"""The tag index made anew from index.json and the blobs, when casstore.db is lost or damaged.

Everything in the database follows from them: references in attach order, images without a name,
parent links, edges, sizes. Leases by name are lost. An image whose layer is damaged is there again
all the same (fsck names the blob, rmi removes the image). An image whose documents cannot be read
cannot be: then index.json is kept aside, and gc refuses to sweep what that image may hold.
"""

from __future__ import annotations

import os

from casstore.disk import durable, schema
from casstore.disk.layoutfile import IMAGE_NAME, PARENT, REF_NAME
from casstore.disk.sqliteindex import SqliteIndex
from casstore.errors import CasstoreError, Damaged, Refused
from casstore.model import document
from casstore.model.digest import Digest
from casstore.model.document import Fields
from casstore.model.imagetree import read_tree
from casstore.model.manifest import parse_entry
from casstore.model.record import LayerRecord
from casstore.model.reference import Reference, parse_name
from casstore.transfer.keeping import describe_layer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.disk.blobdir import BlobDirectory
    from casstore.disk.local import LocalStore
    from casstore.model.manifest import Entry
    from casstore.model.record import Descriptor


UNREADABLE = "unreadable"  # meta: images that the last rebuild had to leave out


def rebuild_database(disk: LocalStore) -> list[str]:
    """Build casstore.db anew and put it in place; the lock is held.

    Returns:
        A line for each image of index.json that could not be read and was left out.

    Raises:
        Damaged: index.json itself cannot be read.
        NotAStore: a newer casstore made the database; it is left as it is.
    """
    schema.check_not_newer(disk.database)
    for directory in (disk.ingest, disk.blobs.directory):
        os.makedirs(directory, mode=0o700, exist_ok=True)
    staging = disk.staging_database()
    try:
        schema.create(staging)
        connection = schema.connect(staging, writable=True)
        try:
            problems = _fill(disk, connection, writable=True)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            if problems:
                aside = f"{disk.layout.path}.damaged-{os.urandom(4).hex()}"
                durable.copy_file(disk.layout.path, aside)
                durable.sync_files([aside])
        finally:
            connection.close()
        disk.install_database(staging)
    except OSError as error:
        raise durable.storage_error(error, "cannot rebuild the database") from None
    except schema.Error as error:
        raise schema.database_error(error, staging) from None
    return problems


def index_in_memory(disk: LocalStore) -> schema.Connection:
    """The index as it would be rebuilt, for reading only."""
    connection = schema.memory()
    _fill(disk, connection, writable=False)
    return connection


def _fill(disk: LocalStore, connection: schema.Connection, *, writable: bool) -> list[str]:
    try:
        with open(disk.layout.path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise Damaged(
            "both casstore.db and index.json are missing; nothing says what the blobs are"
        ) from None
    try:
        layout = _entries(data)
    except Refused as error:
        raise Damaged(f"index.json cannot be read ({error}); nothing is changed") from None
    index = SqliteIndex(connection, now=0, hard={})
    reader = StoredTree(disk.blobs)
    problems: list[str] = []
    parents: list[tuple[Digest, Digest]] = []
    index.begin()
    for entry in layout:
        descriptor = entry.descriptor
        try:
            image = read_tree(descriptor, reader)
        except CasstoreError as error:
            problems.append(f"{descriptor.digest}: {error}")
            continue
        index.admit(image)
        name = _name(entry.annotations)
        if name is not None:
            index.attach(name, image.id, descriptor.digest, tagged=0)
        if PARENT in entry.annotations:
            parents.append((image.id, Digest.parse(entry.annotations[PARENT])))
    for child, parent in parents:
        if index.has_image(parent):
            index.link_parent(child, parent)
    if writable:
        # One more than was published, so that the next change publishes anew.
        index.set_meta("generation", (disk.layout.generation() or 0) + 1)
        if problems:
            index.set_meta(UNREADABLE, "; ".join(problems))
    index.commit()
    return problems


def _entries(data: bytes) -> list[Entry]:
    """The descriptors of our own index.json, which may be of any size."""
    fields = Fields(document.parse(data, "index.json", limit=len(data)), "index.json")
    return [
        parse_entry(item, f"manifest {number} of index.json")
        for number, item in enumerate(fields.items("manifests"), 1)
    ]


def _name(annotations: dict[str, str]) -> Reference | None:
    for key in (IMAGE_NAME, REF_NAME):
        text = annotations.get(key)
        if text and (key == IMAGE_NAME or any(c in text for c in ":/@")):
            try:
                return parse_name(text).reference
            except CasstoreError:
                continue
    return None


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
