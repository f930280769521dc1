"""The tag index as a change sees it: every edit of casstore.db, inside one transaction.

Edits cost what they touch. Refcounts are kept by triggers (migrations.py); deleting a blob whose
count is not zero is refused here, whatever a plan says.
"""

from __future__ import annotations

from casstore.backends.local.log import Log
from casstore.backends.local.removals import LEAVING, RemovalIndex
from casstore.backends.local.schema import forget_commit
from casstore.backends.local.statements import WRITTEN, damaged, stored_digest
from casstore.errors import CasstoreError, NotFound
from casstore.model.descriptor import Descriptor
from casstore.model.published import Published
from casstore.model.reference import Reference, subject_of
from casstore.startup.parts import cached_property, completed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from casstore.backends.local.admission import Admission
    from casstore.model.digest import Digest
    from casstore.model.event import Event
else:
    Admission = RemovalIndex


# ruff: noqa: S608 - all parts are constants
# Records of index.json: name, media type, digest, size, parent, id of the reference, pinned.
_NAMES = (
    "SELECT reference.name, holding.media_type, blob.digest, blob.size, parent.digest, reference.id"
    f", image.id IN pin, (SELECT value FROM meta WHERE key = '{WRITTEN}' || reference.name)"
    " FROM reference JOIN image ON image.id = reference.image"
    " JOIN holding ON holding.image = image.id AND holding.manifest = reference.manifest"
    " JOIN blob ON blob.id = reference.manifest"
    " LEFT JOIN image AS parent ON parent.id = image.parent {} ORDER BY reference.id"
)
_NAMELESS = (
    "SELECT NULL, holding.media_type, blob.digest, blob.size, parent.digest, 0, image.id IN pin"
    ", NULL FROM image JOIN holding ON holding.image = image.id"
    " JOIN blob ON blob.id = holding.manifest LEFT JOIN image AS parent ON parent.id = image.parent"
    " WHERE {} NOT EXISTS (SELECT 1 FROM reference WHERE reference.image = image.id"
    " AND reference.manifest = blob.id) ORDER BY image.id, blob.id"
)

EDITS = {
    **LEAVING,
    "ages": "SELECT (SELECT min(id) FROM reference), (SELECT max(id) FROM reference)",
    "published_names": _NAMES.format("WHERE image.digest = ?"),
    "published_nameless": _NAMELESS.format("image.digest = ? AND"),
    "all_published_names": _NAMES.format(""),
    "all_published_nameless": _NAMELESS.format(""),
    "id_of_blob": "SELECT id FROM blob WHERE digest = ?",
    "is_held": "SELECT 1 FROM holding WHERE image = (SELECT id FROM image WHERE digest = ?)"
    " AND manifest = (SELECT id FROM blob WHERE digest = ?)",
    "add_reference": "INSERT INTO reference (name, image, manifest, tagged) VALUES (?, ?, ?, ?)",
    "set_manifest": "UPDATE reference SET manifest = ? WHERE id = ?",
    "add_subject": "INSERT OR IGNORE INTO subject (manifest, digest) VALUES (?, ?)",
    "drop_expired": "DELETE FROM lease WHERE expires <= ?",
    "set_meta": "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)",
}

_EVENT = "((SELECT value FROM meta WHERE key = 'generation'), ?, ?, ?, ?, ?)"
_ADD_EVENTS = "INSERT INTO event (generation, time, action, image, name, attributes) VALUES "
_EVENTS_AT_ONCE = 100

# Bytes of SQLite's log from which on a change brings it back into the database. The first process
# that opens the database reads the log whole: this much costs it a millisecond.
LOG_LIMIT = 1 << 20

# Events are trimmed whenever so many more have come: it costs as much as some dozen of them.
TRIM_EVERY = 250

# Images whose records a change can tell from those before: with more, and 10 MB of them, it is
# cheaper to write index.json whole.
MOST_TOLD = 10_000


class LocalEdits(Admission):
    """The view, and the edits of one transaction."""

    if not TYPE_CHECKING:
        __getattr__ = completed(
            "backends.local.admission.Admission",
            "admit record_layers resize_images write_as link_parent set_pin set_lease "
            "drop_lease drop_meta",
        )

    _touched: dict[Digest, list[Published]]
    _ages: tuple[int, int] | None  # reference.id of the oldest and the newest name
    _too_many: bool  # more images are touched than are told
    _rows_before = -1  # changed through the connection, before the transaction
    _edits = EDITS

    @cached_property
    def _log(self) -> Log:
        return Log(self.connection)

    def begin(self) -> None:
        """Start the write transaction, or go on with the one begun; the store lock is held."""
        if not self.connection.in_transaction:
            if self._log.is_lasting():
                self._log.leave_unflushed()
            self.connection.execute("BEGIN IMMEDIATE")
            self._rows_before = self.connection.total_changes
        self._touched, self._ages, self._too_many = {}, None, False
        self._admitted.clear()

    def commit(self) -> None:
        """Make the transaction durable: the point of no return."""
        self.settle()
        self._let_go()
        if self._events and self.connection.total_changes != self._rows_before:
            self._write_events()
        self._log.open()
        try:
            self._commit()
        finally:
            self._log.close()
        self._end_of_many()
        self._shorten_log()

    def _commit(self) -> None:
        try:
            self.connection.execute("COMMIT")
        except CasstoreError:
            self.rollback()
            forget_commit(self.connection)
            raise
        self._log.flush()

    def _write_events(self) -> None:
        events, self._events = self._events, []
        while events:
            some, events = events[:_EVENTS_AT_ONCE], events[_EVENTS_AT_ONCE:]
            values: list[object] = []
            for action, image, name, more in some:
                raw = None if image is None else image.raw
                pairs = "\0".join(["\0".join(pair) for pair in more.items()])
                values += (self.now, action, raw, name, pairs)
            statement = _ADD_EVENTS + ", ".join([_EVENT] * len(some))
            try:
                last = self.connection.execute(statement, values).lastrowid
            except CasstoreError:
                from casstore.backends.local.events import make_table

                if not make_table(self.connection):
                    raise
                last = self.connection.execute(statement, values).lastrowid
            if last // TRIM_EVERY != (last - len(some)) // TRIM_EVERY:
                from casstore.backends.local.events import trim

                trim(self.connection, last, self.now)

    def forget_events(self) -> None:
        """Note nothing of what was done so far."""
        self.settle()
        self._events.clear()

    def unwritten_events(self) -> list[Event]:
        """Events of a change that changed nothing else."""
        if not self._events:
            return []
        from casstore.model.event import Event

        events, self._events = self._events, []
        return [
            Event(self.now, action, image, name, more, None) for action, image, name, more in events
        ]

    def _shorten_log(self) -> None:
        """Bring back a log that has grown long; the commit stands, whatever becomes of this.

        To have it emptied is what counts: how much of a log has been brought back is known to those
        who have the database open, and to nobody after the last of them.
        """
        try:
            if self._log.size() >= LOG_LIMIT:
                self.compact()
        except CasstoreError:
            pass  # the next change tries again

    def rollback(self) -> None:
        """Take everything since `begin` back."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
            self._log.flush_again()
        self._events.clear()

    def forget_unlinked(self, last: Digest) -> None:
        """Take blobs off the list of the doomed, in a transaction that is not flushed."""
        self._log.leave_unflushed()
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            self.forget_doomed(last)
            self.connection.execute("COMMIT")
        finally:
            self._log.flush_again()

    # What other tools see

    def published(self, image: Digest) -> list[Published]:
        """Descriptors of index.json for one image, in order."""
        if self._ages is None:
            self._ages = self._do("ages").fetchone()
        oldest, newest = self._ages
        span = (newest - oldest) if newest is not None else 0
        named = [
            _published(row, place=(row[5] - oldest) / span if span else 1.0)
            for row in self._do("published_names", image.raw)
        ]
        return named + [_published(row) for row in self._do("published_nameless", image.raw)]

    def all_published(self) -> Iterator[Published]:
        """Descriptors of index.json for the whole store: names in attach order, then the rest."""
        for statement in ("all_published_names", "all_published_nameless"):
            yield from map(_published, self._do(statement))

    def _touch(self, image: Digest) -> None:
        """Remember how index.json shows an image, before the first edit of it."""
        if image in self._touched or self._too_many:
            return
        self._touched[image] = self.published(image) if self.has_image(image) else []
        if len(self._touched) > MOST_TOLD:
            self._touched, self._too_many = {}, True

    def changes(self) -> tuple[list[tuple[Published, Published | None]], list[Published]] | None:
        """What this transaction changes in index.json: (old, new or None) pairs, and additions.

        None where that is so much that the whole is sooner written than told.
        """
        self.settle()
        if self._too_many:
            return None
        edits: list[tuple[Published, Published | None]] = []
        added: list[Published] = []
        for image, before in self._touched.items():
            after = self.published(image) if self.has_image(image) else []
            by_key = {_key(row): row for row in after}
            for row in before:
                new = by_key.pop(_key(row), None)
                if new is not None and new.made != row.made:
                    added.append(new)  # it went to another image and came back: it is the newest
                    new = None
                if new != row:
                    edits.append((row, new))
            added += by_key.values()
        added.sort(key=lambda row: (row.name is None, row.made))
        return edits, added

    def attach(
        self, name: Reference, image: Digest, manifest: Digest, *, tagged: int
    ) -> Digest | None:
        """Let a reference point to an image by one of its manifests.

        Args:
            tagged: when somebody tagged it (ns), 0 for a name that came with its image.

        Returns:
            The image that the name pointed to before, if it was another.

        Raises:
            NotFound: the image does not hold this manifest, or does not any more.
        """
        if self._do("is_held", image.raw, manifest.raw).fetchone() is None:
            raise NotFound(f"image {image.short} has no manifest {manifest.short}")
        self._touch(image)
        self._naming.pop(image, None)
        row = self._do("reference_of", name).fetchone()
        target = self._id("id_of_blob", manifest)
        subject = subject_of(name)
        if subject is not None:
            self._do("add_subject", target, subject.raw)
        moved = None
        if row is not None:
            key, old_image, old_manifest = row[0], stored_digest(row[1]), stored_digest(row[2])
            if old_image == image:
                # Attached again to the same image: nothing moves, but it may name a new manifest.
                if old_manifest != manifest:
                    self._do("set_manifest", target, key)
                    self._lose_name(name, image, old_manifest)
                return None
            self._touch(old_image)
            self._naming.pop(old_image, None)
            self._do("drop_reference", name)
            self._do("drop_written", WRITTEN + name)
            self._lose_name(name, old_image, old_manifest)
            moved = old_image
        self._do("add_reference", name, self._id("id_of_image", image), target, tagged)
        return moved

    def _lose_name(self, name: Reference, image: Digest, manifest: Digest) -> None:
        # What has a tag that refers to this manifest would go with it, as soon as it has come.
        if subject_of(name) != manifest:
            self._lost_name[image, manifest] = None

    def drop_expired(self, now: int) -> int:
        dropped: int = self._do("drop_expired", now).rowcount
        return dropped

    def set_meta(self, key: str, value: str | int) -> None:
        self._do("set_meta", key, value)


def _published(row: Any, place: float = 1.0) -> Published:
    name, media_type, raw, size, parent, made, pinned, written = row
    if not isinstance(size, int):
        raise damaged("a blob whose size is not a number")
    return Published(
        Reference(name) if name is not None else None,
        Descriptor(media_type, stored_digest(raw), size),
        stored_digest(parent) if parent is not None else None,
        bool(pinned),
        place,
        made,
        written,
    )


def _key(row: Published) -> tuple[Reference | None, Digest | None]:
    return (row.name, None if row.name is not None else row.top.digest)
