"""What is left in ingest/: files at rest, which somebody will go on with, and rubbish.

Liveness decides, not age: what belongs to a live process is never touched, what a dead one left is
removed at once. But what is at rest has a day: a part that a pull left, an upload between two of
its requests, and a blob that was uploaded and that no manifest names yet.
"""

from __future__ import annotations

import os

from casstore.backends.local.tokens import is_held, lock_dead, tokens
from casstore.backends.resting import REST_SECONDS, UPLOAD_ID_LENGTH
from casstore.clock import current_time
from casstore.files import durable
from casstore.files.strangers import is_systems
from casstore.files.trees import remove_tree
from casstore.model.digest import is_hex

PART = "part-"  # the first bytes of the blob with this digest
UPLOAD = "upload-"  # the first bytes of a blob whose digest will be told
BLOB = "blob-"  # all bytes of the blob with this digest, verified and flushed
_DIGITS = {PART: 64, UPLOAD: UPLOAD_ID_LENGTH, BLOB: 64}  # hex digits that follow


def put_parts_to_rest(directory: str, area: str) -> None:
    """Move the parts of a load that failed to where the next one finds them."""
    try:
        names = [name for name in os.listdir(directory) if _is_part(name)]
    except FileNotFoundError:
        return
    for name in names:
        mine, resting = os.path.join(directory, name), os.path.join(area, name)
        try:
            if os.lstat(resting).st_size >= os.lstat(mine).st_size:
                continue  # another load came further
        except FileNotFoundError:
            pass
        durable.take(mine, resting)


def rescue_dead(area: str) -> None:
    """Put the parts of loads whose process died to rest; whoever holds a dead token may."""
    for path, alive in tokens(area, "load"):
        directory = path.removesuffix(".lock")
        if alive or not os.path.isdir(directory):
            continue
        descriptor = lock_dead(path)
        if descriptor is not None:
            try:
                put_parts_to_rest(directory, area)
            finally:
                os.close(descriptor)


def may_rest(name: str) -> bool:
    """Whether a file of this name has its day in ingest/."""
    kind, dash, digits = name.partition("-")
    return len(digits) == _DIGITS.get(kind + dash) and is_hex(digits)


def is_at_rest(path: str) -> bool:
    """Whether this is a file at rest whose day is not over. Raises FileNotFoundError."""
    return may_rest(os.path.basename(path)) and (
        current_time() / 1e9 - os.lstat(path).st_mtime < REST_SECONDS
    )


def _is_part(name: str) -> bool:
    return name.startswith(PART) and may_rest(name)


def _is_kept(path: str) -> bool:
    try:
        return is_at_rest(path)
    except FileNotFoundError:
        return True  # somebody has taken it


def leftovers(root: str) -> list[str]:
    """Paths in ingest/ that no live process holds."""
    area = os.path.join(root, "ingest")
    try:
        names = sorted(os.listdir(area))
    except FileNotFoundError:
        return []
    # The list comes first, the look at the locks second: a token is locked before its directory
    # is made, so what stands in the list without a lock has lost its process.
    paths = [os.path.join(area, name) for name in names if not is_systems(name)]
    return [
        path
        for path in paths
        if not _is_kept(path) and not is_held(path.removesuffix(".lock") + ".lock")
    ]


def remove_leftovers(root: str) -> tuple[int, int]:
    """Remove what no live process holds; the store lock is held.

    A token is removed only by who has locked it: a process that has just made its token, and not
    locked it yet, then finds it locked or without a name, and makes another.

    Returns:
        Files removed, and their bytes on disk.
    """
    files = size = 0
    area = os.path.join(root, "ingest")
    for path in leftovers(root):
        token = path.removesuffix(".lock") + ".lock"
        descriptor = lock_dead(token)
        if descriptor is None and os.path.lexists(token):
            continue  # somebody has come to life
        if descriptor is None and _is_kept(path):
            continue  # an upload has gone on
        try:
            if descriptor is not None:
                put_parts_to_rest(token.removesuffix(".lock"), area)
            for dead in (token.removesuffix(".lock"), token):
                more_files, more_size = remove_tree(dead)
                files, size = files + more_files, size + more_size
        finally:
            if descriptor is not None:
                os.close(descriptor)
    return files, size


def measure(path: str) -> tuple[int, int]:
    """Files that `remove_tree` would remove, and their bytes, less parts, which come to rest."""
    try:
        status = os.lstat(path)
        if not os.path.isdir(path) or os.path.islink(path):
            return 1, status.st_size if status.st_nlink == 1 else 0
        names = [name for name in os.listdir(path) if not _is_part(name)]
    except OSError:
        return 0, 0
    below = [measure(os.path.join(path, name)) for name in names]
    return sum(files for files, _ in below), sum(size for _, size in below)
