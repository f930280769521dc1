"""index.json and oci-layout: the store as every other OCI tool sees it.

index.json is derived from the index and never the truth. It is one JSON object with one record a
line, so that a change costs a search and a copy, never a parse: the unchanged lines are copied
byte for byte, and only the changed records are written anew (the peers' habit of rewriting the
whole list is what makes them slow as they grow). The search starts where the record is likely to
be, and neither search nor copy keeps more than a piece of the file in memory.

A store may publish on demand only: then the first change withdraws index.json, which costs the same
whatever the store's size; the file says then that it names nothing.

The generation in its annotations tells at a glance whether it is the one last committed; another
tool that rewrites the file loses the form, and that shows too.
"""

from __future__ import annotations

import os

from casstore.backends.local import told
from casstore.files import durable
from casstore.model.keys import (
    CONTAINERD_NAME,
    INDEX_GENERATION,
    INDEX_PUBLISHED,
    PARENT,
    PINNED,
    REF_NAME,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from casstore.model.published import Published

LAYOUT = b'{"imageLayoutVersion":"1.0.0"}\n'
NOTED = "casstore.generation"

# What is there while nothing is published: an index of no manifests, valid for every other tool.
_WITHDRAWN = (
    b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],'
    b'"annotations":{"%b":"on-demand"}}\n'
) % INDEX_PUBLISHED.encode()
HEAD = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[\n'
SEPARATOR = b",\n"
TAIL = b'\n],"annotations":{"' + INDEX_GENERATION.encode() + b'":"%020d"}}\n'
TAIL_LENGTH = len(TAIL % 0)
# From this many edits on, one pass over all lines is cheaper than a search for each.
_MANY = 16
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WINDOW = 256 << 10  # what a search or a pass reads at a time
_BATCH = 4096  # records that `write` joins at a time

# Where a record is in the file, and what comes in its place: start, end, new record or None.
Place = tuple[int, int, "bytes | None"]


def record(row: Published) -> bytes:
    """The line of one descriptor. Nothing in it needs JSON escapes: names are grammar-checked."""
    annotations = []
    if row.name is not None:
        annotations.append(f'"{REF_NAME}":"{row.written or row.name.familiar}"')
        annotations.append(f'"{CONTAINERD_NAME}":"{row.name}"')
    if row.parent is not None:
        annotations.append(f'"{PARENT}":"{row.parent}"')
    if row.pinned:
        annotations.append(f'"{PINNED}":"true"')
    ending = f',"annotations":{{{",".join(annotations)}}}' if annotations else ""
    media_type, digest, size = row.top
    return f'{{"mediaType":"{media_type}","digest":"{digest}","size":{size}{ending}}}'.encode()


class LayoutFile:
    """index.json in a store."""

    def __init__(self, root: str, staging: str) -> None:
        """`staging` is the path of a file on the same file system to write new versions to."""
        self.path = os.path.join(root, "index.json")
        self.last = self.path + ".last"  # what was published before it was withdrawn
        self._noted = os.path.join(root, NOTED)
        self._staging = staging

    def generation(self) -> int | None:
        """The generation published; None where the file is missing or not of our form."""
        try:
            file = os.open(self.path, _READ)
        except OSError:
            return None
        try:
            size = os.fstat(file).st_size
            if size < len(HEAD) + TAIL_LENGTH or os.pread(file, len(HEAD), 0) != HEAD:
                return None
            return generation_in(os.pread(file, TAIL_LENGTH, size - TAIL_LENGTH))
        except OSError:
            return None
        finally:
            os.close(file)

    def problem(self) -> OSError | None:
        """Why the file, which is there, cannot be read; None where it can, or is missing."""
        try:
            file = os.open(self.path, _READ)
            try:
                os.pread(file, 1, 0)
            finally:
                os.close(file)
        except FileNotFoundError:
            return None
        except OSError as error:
            return error
        return None

    def is_foreign(self) -> bool:
        """Whether there is a file that is not of our form: another tool wrote it."""
        return self.generation() is None and not self.is_withdrawn() and os.path.lexists(self.path)

    def is_withdrawn(self) -> bool:
        """Whether the file says that nothing is published."""
        try:
            with open(self.path, "rb", buffering=0) as file:
                return file.read(len(_WITHDRAWN) + 1) == _WITHDRAWN
        except OSError:
            return False

    def noted(self) -> int | None:
        """The generation that `note` has last written; None where there is none to be read."""
        try:
            file = os.open(self._noted, _READ)
        except OSError:
            return None
        try:
            text = os.pread(file, 32, 0)
        except OSError:
            return None
        finally:
            os.close(file)
        digits = text.removesuffix(b"\n")
        return int(digits) if len(digits) == 20 and digits.isdigit() else None

    def note(self, generation: int) -> None:
        """Note what was committed, where index.json, being withdrawn, does not say it.

        Neither flushed nor necessary: it only tells a database from an old copy of it.
        """
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            file = os.open(self._noted, flags, 0o644)
            if os.fstat(file).st_nlink > 1:  # a copy of the store by hard links has it, too
                os.close(file)
                os.unlink(self._noted)
                file = os.open(self._noted, flags | os.O_EXCL, 0o644)
            try:
                os.pwrite(file, b"%020d\n" % generation, 0)
                durable.share_with_group(file, self._noted)
            finally:
                os.close(file)
        except OSError:
            pass

    @told("publish index.json")
    def withdraw(self) -> None:
        """Let index.json name nothing, and keep what it named as `last`; durable on return."""
        if self.is_withdrawn():
            return
        self.forget_last()
        if os.path.exists(self.path) and not durable.share(self.path, self.last):
            from casstore.files.filecopy import copy_file

            copy_file(self.path, self.last)
            durable.sync_files([self.last])
        with durable.replace_file(self.path, self._staging) as new:
            new.file.write(_WITHDRAWN)

    @told("publish index.json")
    def forget_last(self) -> None:
        """Remove what `withdraw` kept."""
        try:
            os.unlink(self.last)
        except FileNotFoundError:
            pass

    @told("make index.json durable")
    def flush(self) -> None:
        """Make durable that the version last published has the name."""
        durable.sync_directory(os.path.dirname(self.path))

    @told("publish index.json")
    def write(self, rows: Iterable[Published], generation: int) -> None:
        """Publish a whole new version; `flush` makes it last."""
        with durable.replace_file(self.path, self._staging, named=False) as new:
            new.file.write(HEAD)
            batch: list[bytes] = []
            separator = b""
            for row in rows:
                batch.append(record(row))
                if len(batch) == _BATCH:
                    new.file.write(separator + SEPARATOR.join(batch))
                    batch, separator = [], SEPARATOR
            if batch:
                new.file.write(separator + SEPARATOR.join(batch))
            new.file.write(TAIL % generation)

    @told("publish index.json")
    def splice(
        self,
        edits: Sequence[tuple[Published, Published | None]],
        added: Sequence[Published],
        generation: int,
    ) -> bool:
        """Publish a version that differs by a few records; `flush` makes it last.

        Args:
            edits: each old record with the one to put in its place, or None to cut it.
            added: records to append.

        Returns:
            False, and nothing is changed, if an old record is not in the file: then the file is
            not what was last published, and `write` must be used.
        """
        with open(self.path, "rb", buffering=0) as file:
            old = file.fileno()
            end = os.fstat(old).st_size - TAIL_LENGTH
            places = _places(old, end, edits)
            if places is None:
                return False
            with durable.replace_file(self.path, self._staging, named=False) as new:
                new.file.write(HEAD)
                separator = b""
                for piece in _pieces(places, end, added):
                    new.file.write(separator)
                    if isinstance(piece, bytes):
                        new.file.write(piece)
                    else:
                        durable.copy_part(old, piece.start, piece.stop, new.file)
                    separator = SEPARATOR
                new.file.write(TAIL % generation)
        return True


def _pieces(
    places: Sequence[Place], end: int, added: Sequence[Published]
) -> Iterator[bytes | range]:
    """The new version in order, without separators: records, and ranges of the old file."""
    at = len(HEAD)
    for start, stop, new in places:
        if start > at:
            yield range(at, start - len(SEPARATOR))
        if new is not None:
            yield new
        at = stop + len(SEPARATOR)
    if at < end:
        yield range(at, end)
    for row in added:
        yield record(row)


def _places(
    file: int, end: int, edits: Sequence[tuple[Published, Published | None]]
) -> list[Place] | None:
    """Where the old records are, in order of the file; None if one is not there."""
    if len(edits) >= _MANY:
        return _places_of_many(file, end, {record(old): new and record(new) for old, new in edits})
    places = []
    for old, new in edits:
        line = record(old)
        start = _find(file, end, line, old.place)
        if start is None:
            return None
        places.append((start, start + len(line), new and record(new)))
    return sorted(places)


def _find(file: int, end: int, line: bytes, place: float) -> int | None:
    """The offset of `line`, looked for from `place` (0 start, 1 end of the list) outwards."""
    start = len(HEAD)
    count = (end - start + _WINDOW - 1) // _WINDOW
    guess = min(int(place * count), count - 1)
    for distance in range(count):
        for number in (guess + distance, guess - distance) if distance else (guess,):
            if 0 <= number < count:
                window = start + number * _WINDOW
                # longer than the window by what a line on its border needs
                length = min(_WINDOW + len(line) - 1, end - window)
                found = os.pread(file, length, window).find(line)
                if found >= 0:
                    return window + found
    return None


def _places_of_many(file: int, end: int, edits: dict[bytes, bytes | None]) -> list[Place] | None:
    places = []
    at = len(HEAD)
    rest = b""
    while at + len(rest) < end:
        position = at + len(rest)
        data = os.pread(file, min(_WINDOW, end - position), position)
        if not data:
            return None
        *lines, rest = (rest + data).split(SEPARATOR)
        if position + len(data) == end:
            lines.append(rest)
        for line in lines:
            if line in edits:
                places.append((at, at + len(line), edits.pop(line)))
            at += len(line) + len(SEPARATOR)
    return None if edits else places


def generation_in(tail: bytes) -> int | None:
    """The generation that the end of a file tells; None where it is of another form."""
    prefix, _, rest = TAIL.partition(b"%020d")
    digits = tail[len(prefix) : -len(rest)]
    if tail.startswith(prefix) and tail.endswith(rest) and digits.isdigit():
        return int(digits)
    return None
