"""Layers that an older casstore counted, counted again: SIZE has the targets of symbolic links.

Until format version 3 those were left out. The upgrade lists the layers in the table `uncounted`.
It reads none of them, for that takes minutes where there are many: they keep their old number,
which is too small by the targets, until the next gc or `fsck --repair` has read them. A few small
ones are read by the change that upgrades.
"""

from __future__ import annotations

from casstore.backends.local.edits import LocalEdits
from casstore.errors import CasstoreError, StorageError
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from casstore.backends.local.blobs import BlobDirectory
    from casstore.backends.local.schema import Connection
    from casstore.backends.local.view import LocalView
    from casstore.ports.change import Changing

LAYERS_A_TURN = 32
# What a change reads that upgrades a store: at most so many layers, of so many bytes together.
LAYERS_AT_ONCE = 64
BYTES_AT_ONCE = 8 << 20

_NEXT = """
SELECT blob.id, blob.digest, blob.size FROM uncounted JOIN blob ON blob.id = uncounted.layer
WHERE blob.id > ? ORDER BY blob.id LIMIT ?
"""

# id, digest, file bytes; None where it cannot be read as a layer: then the number stays as it is
Counted = tuple[int, Digest, int | None]


def recount(blobs: BlobDirectory, look: Callable[[], Any], turn: Callable[..., Any]) -> int:
    """Count again what is to be; the layers are read without the lock.

    Returns:
        How many were counted. What could not be read just now is left for the next time.
    """
    done = at = 0
    while True:
        view = look()
        rows = view.connection.execute(_NEXT, (at, LAYERS_A_TURN)).fetchall()
        if not rows:
            return done
        at = rows[-1][0]
        counted = list(_count(blobs, view, rows))
        if counted:
            turn(lambda change, counted=counted: _enter(change, counted))
            done += len(counted)


def told(count: int) -> list[str]:
    """What is said of it."""
    return [f"{count} layers measured again: sizes count symbolic links now"] if count else []


def recount_few(blobs: BlobDirectory, connection: Connection) -> None:
    """Count again what an upgrade has listed, if it is little; the lock is held.

    If that fails it is no reason for the change to fail: gc does it too.
    """
    rows = connection.execute(_NEXT, (0, LAYERS_AT_ONCE + 1)).fetchall()
    if not rows or len(rows) > LAYERS_AT_ONCE or sum(row[2] for row in rows) > BYTES_AT_ONCE:
        return
    index = LocalEdits(connection, now=0, hard={})
    counted = list(_count(blobs, index, rows))
    try:
        index.begin()
        _write(index, counted)
        index.commit()
    except CasstoreError:
        index.rollback()


def _count(
    blobs: BlobDirectory, view: LocalView, rows: Iterable[tuple[int, bytes, int]]
) -> Iterable[Counted]:
    from casstore.transfer.keptlayers import describe_layer

    for number, raw, size in rows:
        digest = Digest.of_bytes(raw)
        known = view.layer(digest)
        if known is None:
            continue
        try:
            stream = blobs.open(digest)
            descriptor = Descriptor(known.media_type, digest, size)
            yield number, digest, describe_layer(stream, descriptor, known.diff_id).file_bytes
        except StorageError:
            pass  # an I/O error, no descriptor left: the next gc tries again
        except CasstoreError:
            yield number, digest, None  # encrypted, or damaged: fsck tells


def _enter(change: Changing, counted: list[Counted]) -> None:
    _write(change.index, counted)
    change.commit()


def _write(index: LocalEdits, counted: list[Counted]) -> None:
    do = index.connection.execute
    larger: set[Digest] = set()
    for number, digest, file_bytes in counted:
        do("DELETE FROM uncounted WHERE layer = ?", (number,))
        known = index.layer(digest)
        if file_bytes is not None and known is not None and known.file_bytes != file_bytes:
            do("UPDATE layer SET file_bytes = ? WHERE blob = ?", (file_bytes, number))
            larger.add(digest)
    index.resize_images(larger)
