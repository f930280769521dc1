"""index.json and oci-layout: the store as every other OCI tool sees it.

index.json is derived from the index and never the truth. It is one JSON object with one record a
line, so that a change costs a search and a copy, never a parse: the unchanged lines are copied
byte for byte, and only the changed records are written anew (the peers' habit of rewriting the
whole list is what makes them slow as they grow).

The generation in its annotations tells at a glance whether it is the one last committed; another
tool that rewrites the file loses the form, and that shows too.
"""

from __future__ import annotations

import os

from casstore.disk import durable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from casstore.disk.sqliteindex import Published

LAYOUT = b'{"imageLayoutVersion":"1.0.0"}\n'
REF_NAME = "org.opencontainers.image.ref.name"
IMAGE_NAME = "io.containerd.image.name"
PARENT = "io.casstore.image.parent"
GENERATION = "io.casstore.index.generation"

_HEAD = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[\n'
_SEPARATOR = b",\n"
_TAIL = b'\n],"annotations":{"' + GENERATION.encode() + b'":"%020d"}}\n'
_TAIL_LENGTH = len(_TAIL % 0)
# From this many edits on, one pass over all lines is cheaper than a search for each.
_MANY = 16


def record(row: Published) -> bytes:
    """The line of one descriptor. Nothing in it needs JSON escapes: names are grammar-checked."""
    annotations = []
    if row.name is not None:
        annotations.append(f'"{REF_NAME}":"{row.name.familiar}"')
        annotations.append(f'"{IMAGE_NAME}":"{row.name}"')
    if row.parent is not None:
        annotations.append(f'"{PARENT}":"{row.parent}"')
    ending = f',"annotations":{{{",".join(annotations)}}}' if annotations else ""
    media_type, digest, size = row.top
    return f'{{"mediaType":"{media_type}","digest":"{digest}","size":{size}{ending}}}'.encode()


class LayoutFile:
    """index.json in a store."""

    def __init__(self, root: str, staging: str) -> None:
        """`staging` is the path of a file on the same file system to write new versions to."""
        self.path = os.path.join(root, "index.json")
        self._staging = staging

    def generation(self) -> int | None:
        """The generation published; None where the file is missing or not of our form."""
        try:
            with open(self.path, "rb", buffering=0) as file:
                head = file.read(len(_HEAD))
                size = file.seek(0, os.SEEK_END)
                if head != _HEAD or size < len(_HEAD) + _TAIL_LENGTH:
                    return None
                file.seek(size - _TAIL_LENGTH)
                return _generation_in(file.read(_TAIL_LENGTH))
        except OSError:
            return None

    def write(self, rows: Iterable[Published], generation: int) -> None:
        """Publish a whole new version."""
        body = _SEPARATOR.join(map(record, rows))
        with durable.replace_file(self.path, self._staging) as new:
            new.file.write(_HEAD + body + _TAIL % generation)

    def is_current(self, rows: Iterable[Published], generation: int) -> bool:
        """Whether the file lists exactly these descriptors, in any order of the nameless ones."""
        with open(self.path, "rb") as file:
            data = file.read()
        body = data[len(_HEAD) : -_TAIL_LENGTH]
        lines = body.split(_SEPARATOR) if body else []
        whole = data == _HEAD + body + _TAIL % generation
        return whole and sorted(lines) == sorted(map(record, rows))

    def splice(
        self,
        edits: Sequence[tuple[Published, Published | None]],
        added: Sequence[Published],
        generation: int,
    ) -> bool:
        """Publish a version that differs by a few records.

        Args:
            edits: each old record with the one to put in its place, or None to cut it.
            added: records to append.

        Returns:
            False, and nothing is changed, if an old record is not in the file: then the file is
            not what was last published, and `write` must be used.
        """
        with open(self.path, "rb") as old:
            size = os.fstat(old.fileno()).st_size
            body = old.read()[len(_HEAD) : size - _TAIL_LENGTH]
        segments = _cut(body, [(record(a), b and record(b)) for a, b in edits])
        if segments is None:
            return False
        segments += [memoryview(record(row)) for row in added]
        with durable.replace_file(self.path, self._staging) as new:
            new.file.write(_HEAD)
            for position, segment in enumerate(segments):
                if position:
                    new.file.write(_SEPARATOR)
                new.file.write(segment)
            new.file.write(_TAIL % generation)
        return True


def _cut(body: bytes, edits: Sequence[tuple[bytes, bytes | None]]) -> list[memoryview] | None:
    """`body` as runs of records without separators at their ends, with the edits made."""
    if len(edits) >= _MANY:
        return _cut_many(body, dict(edits))
    places = []
    for old, new in edits:
        start = body.find(old)
        if start < 0:
            return None
        places.append((start, start + len(old), new))
    places.sort()
    view, gap = memoryview(body), len(_SEPARATOR)
    segments: list[memoryview] = []
    at = 0
    for start, end, new in places:
        if start - gap > at:
            segments.append(view[at : start - gap])
        if new is not None:
            segments.append(memoryview(new))
        at = end + gap
    if at < len(body):
        segments.append(view[at:])
    return segments


def _cut_many(body: bytes, edits: dict[bytes, bytes | None]) -> list[memoryview] | None:
    segments: list[memoryview] = []
    for line in body.split(_SEPARATOR) if body else ():
        new = edits.pop(line, line)
        if new is not None:
            segments.append(memoryview(new))
    return None if edits else segments


def _generation_in(tail: bytes) -> int | None:
    prefix, _, rest = _TAIL.partition(b"%020d")
    digits = tail[len(prefix) : -len(rest)]
    if tail.startswith(prefix) and tail.endswith(rest) and digits.isdigit():
        return int(digits)
    return None
