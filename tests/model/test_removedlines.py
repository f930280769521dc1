"""The lines of a prune, packed: the same lines again, whenever one is looked at."""

from __future__ import annotations

import pytest

from casstore.model.digest import sha256
from casstore.model.removal import DELETED, UNTAGGED, Removed
from casstore.model.removedlines import RemovedLines

ONE, TWO = sha256(b"one"), sha256(b"two")
LINES = [
    Removed(UNTAGGED, "one:1", None, "reference", 0, 0),
    Removed(DELETED, ONE.hex, ONE, "image", 300, 0),
    Removed(UNTAGGED, "two:1", None, "reference", 0, 0),
    Removed(DELETED, TWO.hex, TWO, "layer", 1 << 40, 1 << 41),
]


def test_lines_are_those_that_were_added_in_their_order() -> None:
    lines = RemovedLines(LINES[:2])
    lines.extend(LINES[2:])

    assert len(lines) == 4
    assert list(lines) == LINES
    assert (lines[-1], lines[1:3]) == (LINES[-1], tuple(LINES[1:3]))
    with pytest.raises(IndexError):
        lines[4]


def test_the_bytes_of_files_are_counted_together() -> None:
    assert RemovedLines(LINES).file_bytes == 1 << 41
    assert RemovedLines().file_bytes == 0


def test_they_are_equal_to_the_same_lines_and_to_nothing_else() -> None:
    assert RemovedLines(LINES) == RemovedLines(LINES)
    assert RemovedLines(LINES) == LINES
    assert RemovedLines(LINES) == tuple(LINES)
    assert RemovedLines(LINES) != RemovedLines(LINES[1:])
    assert RemovedLines(LINES[:1]) != RemovedLines(LINES[2:3])
    assert RemovedLines(LINES[1:2]) != RemovedLines(LINES[3:])
    assert RemovedLines(LINES) != LINES[1:]
    assert RemovedLines(LINES) != iter(LINES)
    assert RemovedLines(LINES) != 4
