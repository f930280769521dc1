"""fsck: hold the database, index.json and every blob against each other, and mend what can be.

Checking reads only. Repair never removes the last copy of anything: a corrupt blob is moved to
quarantine/ under its name, so that loading the image again puts good bytes in its place.
"""

from __future__ import annotations

import os
import stat
import time

from casstore.care.adoption import forget_kept, retry_kept, take_differing
from casstore.care.content import UNREADABLE, ContentCheck, directory_problem, unreadable
from casstore.care.indexedtree import IndexedTree
from casstore.care.ownfiles import (
    ERROR,
    NOTE,
    QUARANTINE,
    WARN,
    published_findings,
    root_findings,
    unreadable_index,
)
from casstore.care.soundness import REBUILD, database_problems
from casstore.disk import durable, rights, schema
from casstore.disk.leftovers import leftovers
from casstore.errors import CasstoreError, Damaged, NotAStore, printable
from casstore.model.digest import Digest, sha256
from casstore.model.imagetree import read_tree
from casstore.model.record import INDEX, MANIFEST
from casstore.results.upkeep import CheckResult, Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from casstore.commit import Change
    from casstore.disk.local import LocalStore
    from casstore.disk.sqliteindex import SqliteIndex
    from casstore.disk.sqliteview import SqliteView
    from casstore.progress import Progress
    from casstore.rules.view import BlobState

MISSING = "blob-missing"
MODE = "blob-mode"
SMALL = 64 << 10  # bytes: what is read at once, in the thread that asks
_WRONG_BLOB = frozenset(("blob-corrupt", "blob-size", "blob-not-file"))
_WRONG_INDEX = frozenset(("edge-missing", "config-bad", "ref-dangling"))
BAD_BLOB = _WRONG_BLOB | {MISSING, UNREADABLE}
_RECOUNT = """
SELECT blob.digest, blob.refcount,
    (SELECT count(*) FROM edge WHERE edge.child = blob.id)
    + (SELECT count(*) FROM holding WHERE holding.manifest = blob.id)
    + (SELECT count(*) FROM trash_holding WHERE trash_holding.manifest = blob.id) AS counted
FROM blob WHERE blob.refcount != counted ORDER BY blob.id
"""
_CORRECT = """
UPDATE blob SET refcount = (SELECT count(*) FROM edge WHERE edge.child = blob.id)
    + (SELECT count(*) FROM holding WHERE holding.manifest = blob.id)
    + (SELECT count(*) FROM trash_holding WHERE trash_holding.manifest = blob.id)
"""
_DANGLING = """
SELECT name FROM reference
WHERE image NOT IN (SELECT id FROM image)
    OR NOT EXISTS (SELECT 1 FROM holding WHERE holding.image = reference.image
        AND holding.manifest = reference.manifest)
ORDER BY id
"""
_TRASH_DANGLING = """
SELECT trash.id FROM trash WHERE NOT EXISTS (
    SELECT 1 FROM trash_image JOIN trash_holding ON trash_holding.image = trash_image.id
    WHERE trash_image.trash = trash.id)
UNION
SELECT trash_image.trash FROM trash_image JOIN trash_name ON trash_name.image = trash_image.id
WHERE NOT EXISTS (SELECT 1 FROM trash_holding WHERE trash_holding.image = trash_image.id
    AND trash_holding.manifest = trash_name.manifest)
UNION
SELECT trash_image.trash FROM trash_image JOIN trash_holding
    ON trash_holding.image = trash_image.id
WHERE trash_holding.manifest NOT IN (SELECT id FROM blob)
"""


def check_store(
    disk: LocalStore,
    repaired: Sequence[str],
    *,
    content: bool,
    progress: Progress | None = None,
) -> CheckResult:
    """Check a store; `repaired` is what was mended before and goes into the result.

    With `progress`, the bytes of blobs that are read are counted, as a task `Checking`.

    Raises:
        NotAStore: a newer casstore made it.
    """
    check = _Check(disk, progress)
    check.run(content=content)
    findings = tuple(sorted(check.findings, key=lambda f: (f.level, f.code, f.object)))
    return CheckResult(findings, check.blobs, check.bytes, tuple(repaired))


def repair_store(disk: LocalStore, change: Change, *, content: bool) -> tuple[list[str], bool]:
    """Bring database and index.json in order; put corrupt blobs aside. The lock is held.

    Returns:
        A line for each thing mended (a stale index.json is mended by every change); and whether
        the database says other than the blobs do, all of which can be read, so that it is to be
        made anew.
    """
    done: list[str] = []
    wrong = change.index.connection.execute(_RECOUNT).fetchall()
    if wrong:
        change.index.connection.execute(_CORRECT)
        done.append(f"{len(wrong)} reference counts corrected")
    differing = take_differing(disk, change.index)
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
        if finding.code in _WRONG_BLOB:
            quarantine(disk, Digest(finding.object))
            done.append(f"{finding.object} moved to {QUARANTINE}/: load its image again")
    codes = {finding.code for finding in findings}
    return done, bool(codes & _WRONG_INDEX) and not codes & BAD_BLOB


def _protect(disk: LocalStore, digest: Digest) -> bool:
    """Give a blob the mode of a blob; False where it has it, or is another user's."""
    try:
        return rights.protect(disk.blobs.path(digest))
    except OSError:
        return False


def findings_of(disk: LocalStore, *, content: bool) -> list[Finding]:
    """All findings of one pass over the store."""
    check = _Check(disk)
    check.run(content=content)
    return check.findings


def quarantine(disk: LocalStore, digest: Digest) -> None:
    """Put a blob aside, whatever it is."""
    directory = os.path.join(disk.root, QUARANTINE)
    if os.path.islink(directory):
        raise Damaged(f"{directory} is a symbolic link, which is refused in a store")
    if durable.make_directory(directory):
        durable.sync_directory(disk.root)
    target = os.path.join(directory, f"{digest.hex}-{os.urandom(4).hex()}")
    durable.move_aside(disk.blobs.path(digest), target)


class _Check:
    """One pass over a store."""

    def __init__(self, disk: LocalStore, progress: Progress | None = None) -> None:
        self._disk = disk
        self._progress = progress
        self.findings: list[Finding] = []
        self.blobs = 0
        self.bytes = 0

    def run(self, *, content: bool) -> None:
        self.findings += root_findings(self._disk)
        try:
            view = self._open()
        except NotAStore:
            raise
        except CasstoreError as error:
            missing = not os.path.exists(self._disk.database)
            self._found(ERROR, "db-missing" if missing else "db-bad", "casstore.db", str(error))
            self.findings += unreadable_index(self._disk)
            return
        if not self._can_look(self._disk.blobs.directory):
            view.connection.close()
            self._leftovers()
            return
        try:
            view.connection.execute("BEGIN")
            self._database(view)
            self._files(view, content=content)
            self._trees(view)
            self._directory(view)
            self.findings += published_findings(self._disk, view)
        except CasstoreError as error:
            self._found(ERROR, "db-bad", "casstore.db", str(error))
        finally:
            view.connection.close()
        self._leftovers()

    def _can_look(self, directory: str) -> bool:
        """Whether a directory can be looked into; told if not."""
        problem = directory_problem(directory)
        if problem is not None:
            self._found(ERROR, problem[0], os.path.relpath(directory, self._disk.root), problem[1])
        return problem is None

    def _leftovers(self) -> None:
        if self._can_look(self._disk.ingest):
            for path in leftovers(self._disk.root):
                name = os.path.basename(path)
                self._found(NOTE, "temp-left", name, "left by a process that ended")

    def _open(self) -> SqliteIndex:
        from casstore.disk.sqliteindex import SqliteIndex

        connection, _ = self._disk.connect_to_read()
        return SqliteIndex(connection, now=time.time_ns(), hard={})

    def _found(self, level: str, code: str, thing: str, text: str) -> None:
        self.findings.append(Finding(level, code, thing, printable(text)))

    def _database(self, view: SqliteView) -> None:
        import time

        try:
            for problem in database_problems(view.connection):
                self._found(ERROR, "db-bad", "casstore.db", f"{problem}; {REBUILD}")
            for raw, refcount, counted in view.connection.execute(_RECOUNT):
                self._found(
                    ERROR, "refcount-wrong", Digest.of_bytes(raw), f"{refcount}, counted {counted}"
                )
            for (name,) in view.connection.execute(_DANGLING):
                self._found(ERROR, "ref-dangling", name, "its image is not in the index")
            for (entry,) in view.connection.execute(_TRASH_DANGLING):
                self._found(
                    ERROR, "trash-bad", str(entry),
                    "this entry of the trash lacks its manifests: empty it",
                )  # fmt: skip
        except schema.Error as error:
            raise Damaged(f"{error}; {REBUILD}") from None
        for name, _, expires in view.all_leases():
            if expires is not None and expires <= time.time_ns():
                self._found(NOTE, "lease-expired", name, "gc removes it")

    def _files(self, view: SqliteView, *, content: bool) -> None:
        """Every blob of the index: there, a regular file, of its size, of its content.

        Large ones are read side by side; for a small one a thread costs more than it saves.
        """
        task = None
        if content and self._progress is not None:
            task = self._progress.task("Checking", view.stored_bytes())
        large = []
        for state in view.all_blobs():
            if content and state.size <= SMALL and self._is_right(state):
                if task is not None:
                    task.advance(state.size)
            elif (problem := self._shape(state)) is not None:
                self._blob(view, problem, state.digest)
                continue
            elif content:
                large.append((state.digest, state.size))
            self.blobs += 1
            self.bytes += state.size
        check = ContentCheck(self._disk.blobs, large, task)
        try:
            problems = check.problems()
        finally:
            check.stop()
        for digest, problem in problems.items():
            self._blob(view, problem, digest)
        if task is not None:
            task.finish()

    def _is_right(self, state: BlobState) -> bool:
        """Whether a small blob is there with its content; if not, others find out what is wrong."""
        try:
            data = self._disk.blobs.content(state.digest, state.size)
        except CasstoreError:
            return False
        return data is not None and len(data) == state.size and sha256(data) == state.digest

    def _shape(self, state: BlobState) -> tuple[str, str] | None:
        try:
            status = os.lstat(self._disk.blobs.path(state.digest))
        except FileNotFoundError:
            return MISSING, "the file is missing"
        except OSError as error:
            return unreadable(error)
        if not stat.S_ISREG(status.st_mode):
            return "blob-not-file", "not a regular file"
        if status.st_size != state.size:
            return "blob-size", f"{status.st_size} bytes, not {state.size}"
        return None

    def _blob(self, view: SqliteView, problem: tuple[str, str], digest: Digest) -> None:
        """A bad blob, with the images that it hurts."""
        code, text = problem
        self._found(ERROR, code, digest, f"{text}; needed by {hurt_by(view, digest)}")

    def _trees(self, view: SqliteView) -> None:
        """Every image's documents say what the index says."""
        bad = {finding.object for finding in self.findings if finding.level == ERROR}
        reader = IndexedTree(self._disk.blobs, view)
        for image, top in view.all_tops():
            reader.expect(top.digest)
            try:
                record = read_tree(top, reader)
            except CasstoreError as error:
                if not any(_holds(view, top.digest, thing) for thing in bad):
                    code = "diffid-mismatch" if "diffID" in str(error) else "manifest-bad"
                    self._found(ERROR, code, top.digest, str(error))
                continue
            if record.id != image:
                self._found(ERROR, "config-bad", image, f"the manifest means {record.id}")
            for blob in record.blobs:
                if blob.kind not in (INDEX, MANIFEST):
                    continue
                needs = reader.needs(blob.digest)
                # Of an index a platform may be missing; one that is damaged was told of already.
                if needs != blob.children and bad.isdisjoint(needs):
                    self._found(
                        ERROR, "edge-missing", blob.digest,
                        "casstore.db says that it needs other blobs than it does; fsck --repair",
                    )  # fmt: skip
        for digest in reader.encrypted:
            self._found(
                NOTE, "layer-encrypted", digest, "its diff ID cannot be checked without a key"
            )

    def _directory(self, view: SqliteView) -> None:
        doomed = set(view.doomed())
        bad = {finding.object for finding in self.findings if finding.level == ERROR}
        for name, digest, status in self._disk.blobs.walk():
            if digest is None:
                self._found(WARN, "blob-name-bad", name, "no digest; not part of the store")
            elif view.blob_size(digest) is not None:
                mode = stat.S_IMODE(status.st_mode)
                if mode & 0o222 and digest not in bad:
                    self._found(NOTE, MODE, digest, f"mode {mode:04o}: it can be written to")
            elif stat.S_ISDIR(status.st_mode):
                text = "a directory, which no load of this blob can replace; fsck --repair"
                self._found(WARN, "blob-not-file", digest, text)
            else:
                text = "a crash left it" if digest in doomed else "nothing needs it"
                self._found(NOTE, "orphan-blob", digest, f"{status.st_size} bytes, {text}")


def hurt_by(view: SqliteView, digest: Digest) -> str:
    """The images that need a blob, for people."""
    hurt = []
    for image in view.images_needing(digest):
        names = [one.name.familiar for one in view.references_of(image)]
        hurt.append(names[0] if names else image.short)
    return ", ".join(hurt) or "the trash"


def _holds(view: SqliteView, document: Digest, thing: str) -> bool:
    """Whether `thing` is the document or below it."""
    if document == thing:
        return True
    return any(_holds(view, need.digest, thing) for need in view.needs_of(document))
