"""What an index.json lists, one record at a time: for checks, and for a database made again."""

from __future__ import annotations

import os

from casstore.backends.local.published import (
    HEAD,
    SEPARATOR,
    TAIL,
    TAIL_LENGTH,
    generation_in,
    record,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from casstore.backends.local.published import LayoutFile
    from casstore.model.published import Published


def lines_of(path: str) -> Iterator[bytes] | None:
    """The records of a file of the form that casstore publishes; None for another form.

    A record is some bytes in braces; whether it is JSON is for a parser to say.
    """
    try:
        with open(path, "rb", opener=_open) as file:
            size = os.fstat(file.fileno()).st_size
            if file.read(len(HEAD)) != HEAD or not all(
                line.startswith(b"{") and line.endswith((b"}\n", b"},\n"))
                for line in _until(file, size - TAIL_LENGTH)
            ):
                return None
            if generation_in(b"\n" + file.read()) is None:
                return None
    except OSError:
        return None
    return _records(path)


def is_current(layout: LayoutFile, rows: Iterable[Published], generation: int) -> bool:
    """Whether index.json lists exactly these descriptors, in any order."""
    lines = lines_of(layout.path)
    if lines is None:  # another form, unless it lists nothing
        with open(layout.path, "rb") as file:
            whole = file.read(len(HEAD) + TAIL_LENGTH + 1)
        return whole == HEAD + TAIL % generation and not any(True for _ in rows)
    return layout.generation() == generation and _sum(lines) == _sum(map(record, rows))


def _sum(lines: Iterable[bytes]) -> int:
    """The sum of the hashes of lines: the same for the same ones in any order, for no others."""
    from hashlib import sha256

    return sum(int.from_bytes(sha256(line).digest(), "big") for line in lines)


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _records(path: str) -> Iterator[bytes]:
    with open(path, "rb", opener=_open) as file:
        end = os.fstat(file.fileno()).st_size - TAIL_LENGTH
        file.seek(len(HEAD))
        for line in _until(file, end):
            yield line[: -len(SEPARATOR)] if line.endswith(SEPARATOR) else line[:-1]


def _until(file: BinaryIO, end: int) -> Iterator[bytes]:
    """Whole lines up to an offset of the file."""
    at = file.tell()
    while at < end:
        line = file.readline()
        if not line:
            return
        at += len(line)
        yield line
