"""What another tool wrote into index.json becomes part of the store; nothing of it is lost.

`skopeo copy … oci:STORE:name`, `umoci tag` and their like rewrite index.json and lose its form. The
next change sees that, before it does anything else: images that are listed there and whole are
taken in with their names, and only then is index.json written again. What cannot be taken in is
kept aside as index.json.foreign-<hex>, and as long as such a file is there gc removes no blob, for
it may be one that is needed. The database stays the truth: a name that another tool left out comes
back, and a name that it moved is moved only if no change of ours came between.
"""

from __future__ import annotations

import os

from casstore.backends.local.care.listed import (
    given_name,
    given_parent,
    keep_aside,
    kept_files,
    layout_of,
    listed,
    read_file,
    written_as,
)
from casstore.backends.local.edits import LocalEdits
from casstore.backends.local.publishedlines import is_current
from casstore.errors import CasstoreError, Damaged, Refused, StorageError, quote
from casstore.files import durable, rights
from casstore.model.digest import Digest
from casstore.model.imagetree import read_tree
from casstore.model.keys import ADOPT, GENERATION, INDEX_GENERATION, REF_NAME
from casstore.transfer.keptlayers import describe_layer
from casstore.transfer.storedtree import StoredTree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from casstore.backends.local.directory import LocalStore
    from casstore.backends.local.schema import Connection
    from casstore.backends.local.view import LocalView
    from casstore.model.descriptor import Descriptor
    from casstore.model.kept import LayerRecord
    from casstore.model.manifest import Entry
    from casstore.model.record import ImageRecord

_READ = 1 << 20


def adopt_published(disk: LocalStore, connection: Connection, now: int) -> list[str]:
    """Take in what index.json, which is not of our form, lists; the lock is held.

    index.json itself is left to the change that follows, which writes it anew.

    Returns:
        A line for each thing that the user should know.

    Raises:
        StorageError, Damaged: the disk or the database fails; nothing is changed.
    """
    index = LocalEdits(connection, now=now, hard={})
    try:
        return _adopt(disk, index)
    except OSError as error:
        raise durable.storage_error(error, "cannot take in what is in index.json") from None
    finally:
        index.rollback()  # nothing to do after the commit


def _adopt(disk: LocalStore, index: LocalEdits) -> list[str]:
    try:
        data = read_file(disk.layout.path)
    except OSError as error:
        raise StorageError(unread(error)) from None
    if not data.strip(b"\0 \t\r\n"):
        return []  # nothing is listed there: a power cut, say
    try:
        found, annotations = listed(data)
    except Refused as error:
        name = keep_aside(disk, data)
        line = f"index.json was not readable ({error}) and is written again; it is kept as {name},"
        return [f"{line} and gc removes no blob until that file is removed"]
    ours = annotations.get(INDEX_GENERATION, "")
    fresh = ours.isdecimal() and len(ours) <= 20 and int(ours) == index.meta(GENERATION)
    index.begin()
    taken, failed, problems = _take(disk, index, found, move=bool(fresh))
    lines = []
    if taken:
        lines.append(f"another tool wrote index.json: {', '.join(taken)} taken into the store")
    if failed:
        name = keep_aside(disk, layout_of(failed))
        lines.append(
            f"another tool wrote index.json, and not all in it can be used ({problems[0]}); it is"
            f" kept as {name}, and gc removes no blob while it is there"
        )
    index.commit()  # what is kept aside is durable by now: after a crash, it starts again
    return lines


def unread(error: OSError) -> str:
    """What is said where index.json is there, and the operating system does not give it."""
    return (
        f"cannot read index.json: {durable.reason_of(error)}; nothing is changed, for it may list"
        " what another tool put into the store"
    )


def take_differing(disk: LocalStore, index: LocalEdits) -> list[str]:
    """Take in what index.json lists, of our form but not what was published; the lock is held.

    A bit has rotted in it, or somebody edited it: what it says of images that are known goes, and
    what is new and whole comes in. The caller commits, then publishes index.json anew.

    Returns:
        A line for each thing that was done; none where it is what was published.
    """
    layout = disk.layout
    generation = index.meta(GENERATION)
    if layout.generation() != generation:
        return []  # every change sees to that
    if is_current(layout, index.all_published(), generation):
        return []
    try:
        found, _ = listed(read_file(layout.path))
    except Refused as error:
        name = keep_aside(disk, read_file(layout.path))
        return [f"index.json written again; what was there ({error}) is kept as {name}"]
    taken, failed, problems = _take(disk, index, found, move=False)
    lines = ["index.json written again"]
    if taken:
        lines.append(f"{', '.join(taken)} taken into the store from index.json")
    if failed:
        name = keep_aside(disk, layout_of(failed))
        lines.append(f"what cannot be used ({problems[0]}) is kept as {name}")
    return lines


def retry_kept(disk: LocalStore, index: LocalEdits) -> tuple[list[str], list[str]]:
    """Try again to take in what was kept aside; the lock is held.

    Returns:
        A line for each thing that is new; and the files of which all is in the store, for
        `forget_kept` once the caller has committed.
    """
    lines = []
    done = []
    for name in kept_files(disk):
        path = os.path.join(disk.root, name)
        try:
            found, _ = listed(read_file(path))
        except Refused:
            continue
        taken, failed, _ = _take(disk, index, found, move=False)
        lines += [f"{one} taken into the store from {name}" for one in taken]
        if not failed:
            done.append(name)
            lines.append(f"{name} removed: all that it lists is in the store")
    return lines, done


def forget_kept(disk: LocalStore, names: Iterable[str]) -> None:
    """Remove files whose content is in the store, durably."""
    for name in names:
        os.unlink(os.path.join(disk.root, name))


def unknown_images(disk: LocalStore, view: LocalView) -> list[Digest]:
    """What index.json lists and the database does not know. Raises Refused: it is not readable."""
    found, _ = listed(read_file(disk.layout.path))
    return [
        entry.descriptor.digest
        for entry, _ in found
        if not view.holders_of(entry.descriptor.digest)
    ]


def _take(
    disk: LocalStore, index: LocalEdits, found: Sequence[tuple[Entry, Any]], *, move: bool
) -> tuple[list[str], list[Any], list[str]]:
    """Names (or IDs) that are new; the items that cannot be used, and why."""
    taken: list[str] = []
    failed: list[Any] = []
    problems: list[str] = []
    parents: list[tuple[Digest, Digest]] = []
    reader = _CheckedTree(disk, index)
    for entry, item in found:
        top = entry.descriptor
        name = given_name(entry.annotations, top.digest)
        known = index.holders_of(top.digest)
        if known and (name is None or index.top_named(name) == top):
            continue
        try:
            if known:
                image = known[0]
            else:
                record = read_tree(top, reader, lacks=reader.lacks)
                _make_durable(disk, record)
                index.admit(record.arriving(index.now))
                image = record.id
        except (CasstoreError, OSError) as error:
            failed.append(item)
            problems.append(f"{top.digest}: {error}")
            continue
        if not known and (parent := given_parent(entry.annotations)) is not None:
            parents.append((image, parent))
        if name is not None and (move or index.image_named(name) is None):
            index.attach(name, image, top.digest, tagged=0)
            index.record(ADOPT, image, name)
            if (text := written_as(entry.annotations, name)) is not None:
                index.write_as(name, text)
            taken.append(name.familiar)
        elif not known:
            index.record(ADOPT, image)
            text = entry.annotations.get(REF_NAME) if name is None else None
            bad = f" (without the name {quote(text)}, which is not valid)" if text else ""
            taken.append(image.short + bad)
    for child, parent in parents:
        if index.has_image(parent) and not _descends(index, parent, child):
            index.link_parent(child, parent)
    return taken, failed, problems


def _descends(index: LocalEdits, image: Digest, ancestor: Digest) -> bool:
    one: Digest | None = image
    while one is not None and one != ancestor:
        one = index.parent_of(one)
    return one is not None


class _CheckedTree:
    """Image trees in the store's own blobs, all of them read and verified but known layers."""

    def __init__(self, disk: LocalStore, view: LocalView) -> None:
        self._blobs, self._view = disk.blobs, view
        stored = StoredTree(disk.blobs)
        self.document, self._leaf, self.lacks = stored.document, stored.leaf, stored.lacks
        self._layers: dict[Digest, LayerRecord] = {}

    def layer(self, descriptor: Descriptor, diff_id: Digest | None) -> LayerRecord:
        known = self._view.layer(descriptor.digest)
        if known is not None and self._blobs.size(descriptor.digest) == known.size:
            return known
        if descriptor.digest not in self._layers:
            file = self._blobs.open(descriptor.digest)
            self._layers[descriptor.digest] = describe_layer(file, descriptor, diff_id)
        return self._layers[descriptor.digest]

    def leaf(self, descriptor: Descriptor) -> None:
        import hashlib

        self._leaf(descriptor)
        state = hashlib.sha256()
        with self._blobs.open(descriptor.digest) as file:
            while piece := file.read(_READ):
                state.update(piece)
        if state.hexdigest() != descriptor.digest.hex:
            raise Damaged(f"blob {descriptor.digest} is corrupt: its content has another digest")


def _make_durable(disk: LocalStore, record: ImageRecord) -> None:
    """Other tools do not flush what they write, and leave it writable."""
    paths = [disk.blobs.path(blob.digest) for blob in record.blobs]
    for path in paths:
        rights.protect(path)
    durable.sync_files(paths)
    durable.sync_directory(disk.blobs.directory)
