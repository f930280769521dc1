"""Events of a local store: a table of the index, and a file for those that change nothing there.

A change writes its events into the table `event`, in its own transaction (edits.py). A save, a
push, or a load of what is there changes nothing in the index: to write them there would mean to
wait for the lock and the disk. They are lines of casstore.events, appended like the last uses
(uses.py), and mixed with the others by their time when somebody reads.

No version of the format has the table: an older casstore goes on without writing events, and what
it changes shows as a gap in their generations. So the first change that has an event makes the
table where it is missing.
"""

from __future__ import annotations

import errno
import os

from casstore.backends.local.statements import stored_digest
from casstore.backends.local.uses import AppendedFile, content
from casstore.clock import current_time
from casstore.errors import CasstoreError
from casstore.files import durable
from casstore.model.digest import Digest
from casstore.model.event import AGE, MOST, Event
from casstore.model.reference import Reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from casstore.backends.local.openindex import OpenIndex
    from casstore.backends.local.schema import Connection
    from casstore.ports.events import Place

NAME = "casstore.events"
BEFORE = NAME + ".old"  # what the file was, before it grew beyond MOST_BYTES
MOST_BYTES = 1 << 20  # some thousand lines
_TIME_DIGITS = 20
_TABLE = "event"

STATEMENTS = {
    "events": "SELECT id, generation, time, action, image, name, attributes FROM event"
    " WHERE id > ? ORDER BY id",
    "last": "SELECT ifnull(max(id), 0) FROM event",
    "first_since": "SELECT id FROM event WHERE time >= ? ORDER BY id LIMIT 1",
    "trim": "DELETE FROM event WHERE id < ?",
}
_IS_THERE = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'event'"
_SETTLE = 100_000_000  # ns: file times are no finer than a tick of the kernel


def make_table(connection: Connection) -> bool:
    """Make the table, within a change; False if it is there already."""
    if connection.execute(_IS_THERE).fetchone() is not None:
        return False
    from casstore.backends.local.migrations import made_when_needed  # an everyday change has none

    connection.execute(made_when_needed(_TABLE))
    return True


def trim(connection: Connection, last: int, now: int) -> None:
    """Remove the events that are too old or too many, within a change.

    Args:
        last: the number of the newest event, which stays: no number is used again.
        now: in ns.
    """
    row = connection.execute(STATEMENTS["first_since"], (now - AGE,)).fetchone()
    first = row[0] if row is not None else last
    connection.execute(STATEMENTS["trim"], (max(first, last - MOST + 1),))


def carry_over(old: Connection, new: Connection) -> None:
    """Copy the events of a database into another one, which has none."""
    if old.execute(_IS_THERE).fetchone() is None:
        return
    rows = old.execute(STATEMENTS["events"], (0,)).fetchall()
    new.executemany(
        "INSERT INTO event (id, generation, time, action, image, name, attributes)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        rows,
    )


class LocalEvents:
    """See ports/events.py. A place: last row, inode and length of the file."""

    def __init__(self, root: str, index: Callable[[], OpenIndex]) -> None:
        """`index` gives the open index, which is asked for when events are read."""
        self._index = index
        self._path = os.path.join(root, NAME)
        self._before = os.path.join(root, BEFORE)
        self._database = os.path.join(root, "casstore.db")
        self._file = AppendedFile(self._path, os.path.join(root, "ingest", NAME))
        self._seen: tuple[object, ...] = ()  # the files of the index, when they were last read

    # What is noted by the way

    def note(self, events: Sequence[Event]) -> None:
        if self._file.append("".join(map(_line, events))) > MOST_BYTES:
            self._file.set_aside(self._before, MOST_BYTES)

    # Reading

    def read(self, after: Place = (0, 0, 0)) -> tuple[list[Event], Place]:
        row, inode, length = after
        noted, inode, length = self._noted(inode, length)
        written, row = self._written(row)
        found = sorted([*written, *noted], key=lambda event: event.happened)  # in order where equal
        return found, (row, inode, length)

    def _written(self, row: int) -> tuple[list[Event], int]:
        index = self._index()
        connection = index.to_read()
        if index.is_copy:
            seen = (_status(self._database), _status(self._database + "-wal"))
            if row and seen == self._seen and self._is_settled(seen):
                return [], row
            self._seen = seen
            index.refresh()
            connection = index.to_read()
        if connection.execute(_IS_THERE).fetchone() is None:
            return [], 0
        if connection.execute(STATEMENTS["last"]).fetchone()[0] < row:
            row = 0  # another database is in its place, whose events are all new
        rows = connection.execute(STATEMENTS["events"], (row,)).fetchall()
        return [_event(values) for _, *values in rows], rows[-1][0] if rows else row

    def _is_settled(self, seen: tuple[tuple[int, int, int], ...]) -> bool:
        """Whether a change since would show in the files' times."""
        return all(changed < current_time() - _SETTLE for _, _, changed in seen)

    def _noted(self, inode: int, length: int) -> tuple[list[Event], int, int]:
        if _status(self._path)[:2] == (inode, length):
            return [], inode, length
        now, data = _content(self._path)
        old, old_data = (0, b"") if now == inode else _content(self._before)
        if old == now:
            now, data = 0, b""  # it was put aside just now
        events: list[Event] = []
        for own, lines in ((old, old_data), (now, data)):
            if own:
                more, end = _parsed_from(lines, length if own == inode else 0)
                events += more
                inode, length = own, end
        return events, inode, length


def _event(values: Sequence[Any]) -> Event:
    generation, at, action, raw, name, text = values
    image = None if raw is None else stored_digest(raw)
    words = text.split("\0") if text else []
    attributes = dict(zip(words[::2], words[1::2], strict=False))
    named = None if name is None else Reference(name)
    return Event(at, action, image, named, attributes, generation)


def _line(event: Event) -> str:
    pairs = [f"{key}={value}" for key, value in event.attributes.items()]
    words = [event.action, event.image or "", event.name or "", *pairs]
    return f"{event.happened:0{_TIME_DIGITS}d}\t" + "\t".join(words) + "\n"


def _content(path: str) -> tuple[int, bytes]:
    """The inode of a file, and what is in it; (0, b"") where there is none. Raises StorageError."""
    try:
        return content(path)
    except FileNotFoundError:
        return 0, b""
    except OSError as error:
        if error.errno == errno.ELOOP:
            return 0, b""  # a link is not followed
        raise durable.storage_error(error, f"cannot read {os.path.basename(path)}") from None


def _parsed_from(data: bytes, start: int) -> tuple[list[Event], int]:
    """The events from a place on, and the end of the last whole line."""
    end = max(data.rfind(b"\n") + 1, start)
    events = [_parsed(line) for line in data[start:end].split(b"\n")]
    return [event for event in events if event is not None], end


def _parsed(line: bytes) -> Event | None:
    """The event of a line; None where a crash has torn it, or it is none of ours."""
    try:
        at, action, image, name, *pairs = line.decode().split("\t")
        if len(at) != _TIME_DIGITS or not at.isdigit() or not action.isalpha():
            return None
        attributes = dict([pair.split("=", 1) for pair in pairs])
        digest = Digest.parse(image) if image else None
    except (ValueError, CasstoreError):
        return None
    return Event(int(at), action, digest, Reference(name) if name else None, attributes, None)


def _status(path: str) -> tuple[int, int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0, 0
    return status.st_ino, status.st_size, status.st_mtime_ns
