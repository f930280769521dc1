"""The files of a store that are no blobs: is each what it should be, and does index.json agree?

fsck names what is wrong with them; with `--repair` their owner gets back the rights without which
no change can be made. What is missing is missed where it is needed, not here.
"""

from __future__ import annotations

import os
import stat
import time

from casstore.backends.local.care.adoption import unknown_images
from casstore.backends.local.care.listed import kept_files
from casstore.backends.local.directory import INDEX_JSON, TRUST_POLICY
from casstore.backends.local.published import NOTED
from casstore.backends.local.publishedlines import is_current
from casstore.backends.local.reserve import NAME as RESERVE
from casstore.errors import CasstoreError
from casstore.files import durable, rights
from casstore.model.findings import Finding
from casstore.model.keys import GENERATION, ON_DEMAND, PUBLISH, SETTING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from casstore.backends.local.directory import LocalStore
    from casstore.backends.local.edits import LocalEdits

ERROR, WARN, NOTE = "error", "warn", "note"
QUARANTINE = "quarantine"
_LOCK = "casstore.lock"
_LOOKS, _PAUSE = 10, 0.02  # seconds between two looks at index.json
_OURS = frozenset(
    ("oci-layout", "blobs", "contents", "ingest", QUARANTINE, TRUST_POLICY, RESERVE, NOTED)
)
_OUR_FILES = ("casstore.db", _LOCK, "casstore.uses", "casstore.events", INDEX_JSON)
_UNSETTLED = frozenset(("index-stale", "index-bad", "db-outdated"))
# What the owner of a store must be allowed, to change it: a part and the rights.
_READ, _WRITE, _ALL = 0o400, 0o600, 0o700
_RIGHTS = (
    (".", _ALL),
    ("blobs", _ALL),
    ("blobs/sha256", _ALL),
    ("ingest", _ALL),
    ("oci-layout", _READ),
    (INDEX_JSON, _READ),
    ("casstore.db", _WRITE),
    ("casstore.db-wal", _WRITE),
    ("casstore.db-shm", _WRITE),
    (_LOCK, _WRITE),
)


def is_ours(name: str) -> bool:
    """Whether a name in a store's root belongs to the store."""
    return name in _OURS or name.startswith(_OUR_FILES)


def root_findings(disk: LocalStore) -> Iterator[Finding]:
    """What is to be said of the store's directory and the files in it, less the database."""
    mode = stat.S_IMODE(os.stat(disk.root).st_mode)
    if mode & 0o002:
        text = f"mode {mode:04o}: everybody can change or remove what is in it"
        yield Finding(NOTE, "store-mode", ".", text)
    for part, mode in _parts_without_rights(disk):
        text = f"mode {mode:04o}: its owner needs more for a change; fsck --repair"
        yield Finding(NOTE, "part-mode", part, text)
    try:
        regular = stat.S_ISREG(os.lstat(disk.lock).st_mode)
    except FileNotFoundError:
        regular = True  # the next change makes it
    if not regular:
        text = "not a regular file: no change can be made until it is removed"
        yield Finding(ERROR, "lock-bad", _LOCK, text)
    for name in sorted(os.listdir(disk.root)):
        if name in (_LOCK, TRUST_POLICY) or not is_ours(name):
            continue  # told otherwise, or a person's own
        if os.path.islink(os.path.join(disk.root, name)):
            yield Finding(ERROR, "part-link", name, "a symbolic link, which is refused in a store")
    for name in kept_files(disk):
        text = "lists images that could not be read; gc removes no blob while it is there"
        yield Finding(WARN, "index-kept", name, text)
    for name in sorted(os.listdir(disk.root)):
        if not is_ours(name):
            yield Finding(NOTE, "foreign-file", name, "not part of the store")


def give_rights_back(disk: LocalStore) -> list[str]:
    """Give the owner, if that is who asks, the rights to change the store.

    Returns:
        A line for each part that has other rights now.
    """
    done = []
    for part, mode in _parts_without_rights(disk):
        try:
            rights.change_mode(os.path.join(disk.root, part), mode | dict(_RIGHTS)[part])
        except OSError:
            continue  # another user's, or a file system that cannot be written
        done.append(f"{part} had mode {mode:04o}: its owner can change it again")
    return done


def _parts_without_rights(disk: LocalStore) -> Iterator[tuple[str, int]]:
    for part, wanted in _RIGHTS:
        try:
            status = os.lstat(os.path.join(disk.root, part))
        except OSError:
            continue  # missing, or behind a directory that was named before
        regular = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
        if regular and status.st_mode & wanted != wanted:
            yield part, stat.S_IMODE(status.st_mode)


def unreadable_index(disk: LocalStore) -> list[Finding]:
    """A finding if index.json is there and cannot be read."""
    error = disk.layout.problem()
    if error is None:
        return []
    text = f"cannot be read: {durable.reason_of(error)}; nothing is changed until it can be, for"
    text += " it may list what another tool put into the store"
    return [Finding(ERROR, "index-unreadable", INDEX_JSON, text)]


def published_findings(disk: LocalStore, view: LocalEdits) -> list[Finding]:
    """What is wrong with index.json; `view` has a transaction, which is renewed.

    Looked at again while others are at work: they publish milliseconds after their commit.
    """
    found: list[Finding] = []
    for look in range(_LOOKS):
        if look:
            time.sleep(_PAUSE)
        view.connection.execute("COMMIT")
        view.connection.execute("BEGIN")
        found = [Finding(level, code, INDEX_JSON, text) for level, code, text in _one(disk, view)]
        if not any(one.code in _UNSETTLED for one in found):
            break
    return unreadable_index(disk) or found


def _one(disk: LocalStore, view: LocalEdits) -> Iterator[tuple[str, str, str]]:
    layout = disk.layout
    generation, committed = layout.generation(), view.meta(GENERATION)
    again = "the next change writes it again"
    if not os.path.exists(layout.path):
        yield WARN, "index-missing", again
    elif layout.is_withdrawn():
        if view.meta(SETTING + PUBLISH) == ON_DEMAND:
            yield NOTE, "index-withdrawn", "published on demand"
        else:
            yield WARN, "index-stale", again
    elif generation is None:
        try:
            foreign = [str(digest) for digest in unknown_images(disk, view)]
        except CasstoreError as error:
            yield ERROR, "index-bad", f"not as casstore wrote it ({error}); {again}"
        except OSError:
            return  # told by who looks whether it can be read
        else:
            if foreign:
                text = f"another tool wrote it; the next change takes in {', '.join(foreign)}"
                yield WARN, "index-foreign", text
            else:
                yield ERROR, "index-bad", f"not as casstore wrote it; {again}"
    elif generation > committed:
        text = "newer than casstore.db, as if an old copy of that had been put back"
        yield ERROR, "db-outdated", f"{text}; the next change makes casstore.db again"
    elif generation < committed:
        yield WARN, "index-stale", again
    elif not is_current(layout, view.all_published(), generation):
        yield ERROR, "index-bad", "differs from the database"
