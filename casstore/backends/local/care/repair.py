"""fsck --repair: mend what can be mended.

It never removes the last copy of anything: a corrupt blob is moved to quarantine/ under its name,
so that loading the image again puts good bytes in its place.
"""

from __future__ import annotations

import os

from casstore.backends.local.care.adoption import forget_kept, retry_kept, take_differing
from casstore.backends.local.care.content import UNREADABLE
from casstore.backends.local.care.fsck import BAD_BLOB, MODE, RECOUNT, WRONG_BLOB, findings_of
from casstore.backends.local.care.ownfiles import QUARANTINE
from casstore.backends.local.care.salvage import top_of
from casstore.backends.local.care.tables import remove_bad_tables
from casstore.errors import CasstoreError, Damaged
from casstore.files import durable, rights
from casstore.model.digest import Digest
from casstore.model.imagetree import read_tree
from casstore.model.reference import Reference
from casstore.transfer.storedtree import StoredTree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.backends.local.directory import LocalStore
    from casstore.backends.local.edits import LocalEdits
    from casstore.ports.change import Changing

_WRONG_INDEX = frozenset(("edge-missing", "config-bad", "ref-dangling"))
_NOT_HELD = """
SELECT reference.name, image.digest, blob.digest FROM reference
JOIN image ON image.id = reference.image JOIN blob ON blob.id = reference.manifest
WHERE NOT EXISTS (SELECT 1 FROM holding WHERE holding.image = reference.image
    AND holding.manifest = reference.manifest)
ORDER BY reference.id
"""
_CORRECT = """
UPDATE blob SET refcount = (SELECT count(*) FROM edge WHERE edge.child = blob.id)
    + (SELECT count(*) FROM holding WHERE holding.manifest = blob.id)
    + (SELECT count(*) FROM trash_holding WHERE trash_holding.manifest = blob.id)
"""


def repair_store(disk: LocalStore, change: Changing, *, content: bool) -> tuple[list[str], bool]:
    """Bring database and index.json in order; put corrupt blobs aside. The lock is held.

    Returns:
        A line for each thing mended (a stale index.json is mended by every change); and whether
        the database says other than the blobs do, all of which can be read, so that it is to be
        made anew.
    """
    done: list[str] = []
    wrong = change.index.connection.execute(RECOUNT).fetchall()
    if wrong:
        change.index.connection.execute(_CORRECT)
        done.append(f"{len(wrong)} reference counts corrected")
    differing = take_differing(disk, change.index)
    done += _hold_again(disk, change.index)
    lines, spent = retry_kept(disk, change.index)
    change.commit()
    if differing:
        change.publish(anew=True)
        done += differing
    forget_kept(disk, spent)
    done += lines
    findings = findings_of(disk, content=content)
    for finding in findings:
        if finding.code in (MODE, UNREADABLE) and _protect(disk, Digest(finding.object)):
            done.append(f"{finding.object} made read-only")
        if finding.code in WRONG_BLOB:
            quarantine(disk, Digest(finding.object))
            done.append(f"{finding.object} moved to {QUARANTINE}/: load its image again")
    done += remove_bad_tables(disk, findings)
    codes = {finding.code for finding in findings}
    return done, bool(codes & _WRONG_INDEX) and not codes & BAD_BLOB


def _hold_again(disk: LocalStore, index: LocalEdits) -> list[str]:
    """Let images hold the manifests that their names name: a name is not to go for a lost row.

    An earlier casstore lost it where a name left a manifest and another came to it in one load.
    """
    lines = []
    for name, image, manifest in index.connection.execute(_NOT_HELD).fetchall():
        try:
            digest = Digest.of_bytes(manifest)
            top = top_of(digest, disk.blobs.read(digest))
            tree = StoredTree(disk.blobs)
            record = read_tree(top, tree, lacks=tree.lacks) if top is not None else None
        except CasstoreError:
            continue  # it is told with the blob
        if record is not None and record.id.raw == image:
            index.admit(record)
            lines.append(f"{Reference(name).familiar} is held by its image again")
    return lines


def _protect(disk: LocalStore, digest: Digest) -> bool:
    """Give a blob the mode of a blob; False where it has it, or is another user's."""
    try:
        return rights.protect(disk.blobs.path(digest))
    except OSError:
        return False


def quarantine(disk: LocalStore, digest: Digest) -> None:
    """Put a blob aside, whatever it is."""
    directory = os.path.join(disk.root, QUARANTINE)
    if os.path.islink(directory):
        raise Damaged(f"{directory} is a symbolic link, which is refused in a store")
    if durable.make_directory(directory):
        durable.sync_directory(disk.root)
    target = os.path.join(directory, f"{digest.hex}-{os.urandom(4).hex()}")
    durable.move_aside(disk.blobs.path(digest), target)
