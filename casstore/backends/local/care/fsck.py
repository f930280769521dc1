"""fsck: hold the database, index.json and every blob against each other. It reads only."""

from __future__ import annotations

import os
import stat
import time
from itertools import islice

from casstore.backends.local import schema
from casstore.backends.local.care.checks import (
    CORRUPT,
    MISSING,
    blob_problem,
    image_problems,
    is_right,
    shape_problem,
)
from casstore.backends.local.care.content import UNREADABLE, ContentCheck, directory_problem
from casstore.backends.local.care.indexedtree import IndexedTree
from casstore.backends.local.care.ownfiles import (
    ERROR,
    NOTE,
    WARN,
    published_findings,
    root_findings,
    unreadable_index,
)
from casstore.backends.local.care.rebuild import index_in_memory
from casstore.backends.local.care.soundness import REBUILD, database_problems, misfit
from casstore.backends.local.leftovers import leftovers
from casstore.backends.local.listings import BLOBS_AT_ONCE
from casstore.backends.local.statements import damaged
from casstore.clock import current_time
from casstore.errors import Damaged, printable
from casstore.model.digest import Digest
from casstore.model.findings import OF_LAYERS, UNSETTLED, CheckResult, Finding, in_order
from casstore.model.keys import GENERATION
from casstore.model.state import PROMISED
from casstore.rules.hurt import hurt_by

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from casstore.backends.local.care.checks import Problem
    from casstore.backends.local.care.knowntrees import Believed
    from casstore.backends.local.directory import LocalStore
    from casstore.model.descriptor import Descriptor
    from casstore.model.storage import StoredFile
    from casstore.progress import Progress

MODE = "blob-mode"
LOOKS, PAUSE = 3, 0.02  # second looks at what seems wrong; seconds between two
SMALL = 64 << 10  # bytes: what is read at once, in the thread that asks
WRONG_BLOB = frozenset((CORRUPT, "blob-size", "blob-not-file"))
_CONTENT = frozenset(
    (CORRUPT, UNREADABLE)
)  # what a reading found, which is done twice, not oftener
BAD_BLOB = WRONG_BLOB | {MISSING, UNREADABLE}
RECOUNT = """
SELECT blob.digest, blob.refcount,
    (SELECT count(*) FROM edge WHERE edge.child = blob.id)
    + (SELECT count(*) FROM holding WHERE holding.manifest = blob.id)
    + (SELECT count(*) FROM trash_holding WHERE trash_holding.manifest = blob.id) AS counted
FROM blob WHERE blob.refcount != counted ORDER BY blob.id
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
    documents: bool,
    progress: Progress | None = None,
) -> CheckResult:
    """Check a store; `repaired` is what was mended before and goes into the result.

    With `progress`, the bytes of blobs that are read are counted, as a task `Checking`.

    Raises:
        NotAStore: a newer casstore made it.
    """
    check = _Check(disk, progress, documents=documents)
    check.run(content=content)
    return CheckResult(tuple(in_order(check.findings)), check.blobs, check.bytes, tuple(repaired))


def findings_of(disk: LocalStore, *, content: bool) -> list[Finding]:
    """All findings of one pass over the store."""
    check = _Check(disk, documents=True)
    check.run(content=content)
    return check.findings


def errors_of(disk: LocalStore, believed: Believed) -> list[Finding]:
    """What one pass over the store, without content, finds of level `error`, in order.

    What is `believed` is not read. Raises NotAStore: a newer casstore made it.
    """
    check = _Check(disk, documents=True, believed=believed)
    check.run(content=False)
    return [one for one in in_order(check.findings) if one.level == ERROR]


class _Check:
    """One pass over a store, and a second look at whatever seemed wrong.

    Others may be at work. A pass takes its time, and what the index had when it began may be gone
    from the disk when its turn comes: that is an rmi, and no damage. So what looks wrong is only in
    doubt, and is said when it looks wrong on new snapshots, too (`_look_again`).
    """

    def __init__(
        self,
        disk: LocalStore,
        progress: Progress | None = None,
        *,
        documents: bool,
        believed: Believed | None = None,
    ) -> None:
        """With what is `believed`, only errors are found: notes and warnings may be missing."""
        self._disk = disk
        self._believed = believed
        self._documents = documents
        self._progress = progress
        self.findings: list[Finding] = []
        self._problems: dict[Digest, Problem] = {}  # blobs in doubt
        self._tops: list[tuple[Digest, Descriptor]] = []  # images and manifests in doubt
        self._orphans: dict[Digest, Finding] = {}  # files that the index did not know
        self.blobs = 0
        self.bytes = 0

    def run(self, *, content: bool) -> None:
        """Check everything.

        Raises:
            StorageError, Locked: the store cannot be read, which does not mean that it is damaged.
        """
        self.findings += root_findings(self._disk)
        try:
            self._open()
        except Damaged as error:
            missing = not os.path.exists(self._disk.database)
            self._found(ERROR, "db-missing" if missing else "db-bad", "casstore.db", str(error))
            self.findings += unreadable_index(self._disk)
            return
        try:
            if self._can_look(self._disk.blobs.directory):
                firm = list(self.findings)
                try:
                    self._pass(content=content)
                except Damaged:
                    self.findings, self.blobs, self.bytes = firm, 0, 0
                    self._once_more(content=content)
        finally:
            self._view.connection.close()
        self._tables(content=content)
        self._leftovers()

    def _once_more(self, *, content: bool) -> None:
        """SQLite called its file damaged: it is if it does so twice, and the disk can be read."""
        self._disk.check_readable()
        self._view.connection.close()
        try:
            self._open()
            self._pass(content=content)
        except Damaged as error:
            self._found(ERROR, "db-bad", "casstore.db", str(error))

    def _pass(self, *, content: bool) -> None:
        self._problems, self._tops, self._orphans = {}, [], {}
        try:
            self._database()
            self._files(content=content)
            if self._documents:
                self._trees()
            if self._believed is None:  # in the directory, no more than warnings are found
                self._directory()
            self._look_again(content=content)
            if not self._never_ours:
                self.findings += published_findings(self._disk, self._view)
        except schema.Error as error:
            raise schema.database_error(error, self._disk.database) from None

    def _can_look(self, directory: str) -> bool:
        """Whether a directory can be looked into; told if not."""
        problem = directory_problem(directory)
        if problem is not None:
            self._found(ERROR, problem[0], os.path.relpath(directory, self._disk.root), problem[1])
        return problem is None

    def _tables(self, *, content: bool) -> None:
        if self._believed is None:  # what is to be said of tables are notes
            from casstore.backends.local.care.tables import table_findings

            self.findings += table_findings(self._disk, content=content)

    def _leftovers(self) -> None:
        if self._can_look(self._disk.ingest):
            for path in leftovers(self._disk.root):
                name = os.path.basename(path)
                self._found(NOTE, "temp-left", name, "left by a process that ended")

    def _open(self) -> None:
        from casstore.backends.local.edits import LocalEdits

        self._never_ours = (
            not os.path.exists(self._disk.database) and self._disk.layout.is_foreign()
        )
        if self._never_ours:
            # The layout of another tool, of which no change has made a store yet.
            connection, self._is_live = index_in_memory(self._disk), False
        else:
            connection, self._is_live = self._disk.connect_to_read()
        self._view = LocalEdits(connection, now=current_time(), hard={})
        connection.execute("BEGIN")

    def _renew(self) -> None:
        """Look at the store as it is now."""
        if self._is_live:
            self._view.connection.execute("COMMIT")
            self._view.connection.execute("BEGIN")
        elif not self._never_ours:
            self._view.connection.close()
            self._open()

    def _found(self, level: str, code: str, thing: str, text: str) -> None:
        self.findings.append(Finding(level, code, thing, printable(text)))

    def _database(self) -> None:
        if self._never_ours:
            text = "not made yet: the next change makes it from index.json and the blobs"
            self._found(NOTE, "db-missing", "casstore.db", text)
        problems = database_problems(self._view.connection)
        if problems:
            self._disk.check_readable()
            self._view.connection.close()  # what it has read stays in its cache
            self._open()
            problems = database_problems(self._view.connection)
        view = self._view
        for problem in problems:
            self._found(ERROR, "db-bad", "casstore.db", f"{problem}; {REBUILD}")
        if not problems and (column := misfit(view.connection)) is not None:
            raise damaged(f"a value of another type in {column}")
        if not isinstance(view.meta(GENERATION), int):
            raise damaged("no generation")
        for raw, refcount, counted in view.connection.execute(RECOUNT):
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
        for name, _, expires in view.all_leases():
            if expires is not None and expires <= current_time():
                self._found(NOTE, "lease-expired", name, "gc removes it")

    def _files(self, *, content: bool) -> None:
        """Every blob of the index: there, a regular file, of its size, of its content.

        Large ones are read side by side; for a small one a thread costs more than it saves.
        """
        task = None
        if content and self._progress is not None:
            task = self._progress.task("Checking", self._view.stored_bytes())
        large = []
        for state in self._view.all_blobs():
            if content and state.size <= SMALL and is_right(self._disk.blobs, state):
                if task is not None:
                    task.advance(state.size)
            elif (problem := shape_problem(self._disk.blobs, state)) is not None:
                self._problems[state.digest] = problem
                continue
            elif content:
                large.append((state.digest, state.size))
            self.blobs += 1
            self.bytes += state.size
        check = ContentCheck(self._disk.blobs, large, task)
        try:
            self._problems |= check.problems()
        finally:
            check.stop()
        if task is not None:
            task.finish()

    def _trees(self) -> None:
        """Every image's documents say what the index says."""
        reader = IndexedTree(self._disk.blobs, self._view)
        believed = self._believed.trees(self._view.connection) if self._believed else ()
        for image, top in self._view.all_tops():
            if (image, top) not in believed and image_problems(self._view, reader, image, top):
                self._tops.append((image, top))
        for digest in reader.encrypted:
            self._found(
                NOTE, "layer-encrypted", digest, "its diff ID cannot be checked without a key"
            )
        for layer in self._view.unsettled_layers():
            if layer.state == PROMISED:
                self._found(
                    NOTE, UNSETTLED, layer.digest, "nobody has read it: no diff ID is known"
                )

    def _directory(self) -> None:
        doomed = set(self._view.doomed())
        files = self._disk.blobs.walk()
        while some := list(islice(files, BLOBS_AT_ONCE)):
            digests = [file.digest for file in some if file.digest is not None]
            known = self._view.known_among(digests)
            for file in some:
                self._file(file, known, doomed)

    def _file(self, file: StoredFile, known: set[Digest], doomed: set[Digest]) -> None:
        """One file of the directory of blobs."""
        name, digest, size, file_mode, _ = file
        if digest is None:
            self._found(NOTE, "blob-name-bad", name, "no digest; not part of the store")
        elif digest in known:
            mode = stat.S_IMODE(file_mode)
            if mode & 0o222 and digest not in self._problems:
                self._found(NOTE, MODE, digest, f"mode {mode:04o}: it can be written to")
        elif stat.S_ISDIR(file_mode):
            text = "a directory, which no load of this blob can replace; fsck --repair"
            self._orphans[digest] = Finding(WARN, "blob-not-file", digest, text)
        else:
            text = "a crash left it" if digest in doomed else "nothing needs it"
            text = f"{size} bytes, {text}"
            self._orphans[digest] = Finding(NOTE, "orphan-blob", digest, text)

    def _look_again(self, *, content: bool) -> None:
        """Say what is in doubt, if it looks the same on new snapshots."""
        for look in range(LOOKS):
            if not (self._problems or self._tops or self._orphans):
                return
            if look:
                time.sleep(PAUSE)
            for digest in list(self._problems):
                problem = self._second_look(digest, content=content and not look)
                if problem is None and (not look or self._problems[digest][0] not in _CONTENT):
                    del self._problems[digest]
            for image, top in list(self._tops):
                self._renew()
                reader = IndexedTree(self._disk.blobs, self._view)
                wrong = image_problems(self._view, reader, image, top)
                self._renew()
                if not wrong or image not in self._view.holders_of(top.digest):
                    self._tops.remove((image, top))
            self._renew()
            for digest in list(self._orphans):
                there = os.path.lexists(self._disk.blobs.path(digest))
                if not there or self._view.blob_size(digest) is not None:
                    del self._orphans[digest]
        for digest, (code, text) in self._problems.items():
            if self._view.blob_state(digest) is None:
                continue  # one that was corrupt has gone meanwhile
            self._found(ERROR, code, digest, f"{text}; needed by {hurt_by(self._view, digest)}")
        reader = IndexedTree(self._disk.blobs, self._view)
        for image, top in self._tops:
            for code, thing, text in image_problems(self._view, reader, image, top, self._problems):
                hurt = f"; needed by {hurt_by(self._view, top.digest)}" if code in OF_LAYERS else ""
                self._found(ERROR, code, thing, text + hurt)
        self.findings += self._orphans.values()

    def _second_look(self, digest: Digest, *, content: bool) -> Problem | None:
        """What is wrong with a blob that the index had before the look at its file, and after."""
        self._renew()
        state = self._view.blob_state(digest)
        if state is None:
            return None
        problem = blob_problem(self._disk.blobs, state, content=content)
        self._renew()
        return problem if self._view.blob_state(digest) is not None else None
