"""Entries of a layer brought in order, in bounded memory.

As many as memory holds are sorted at a time; where there are more, each such run goes to a scratch
file, and all are merged when they are read.
"""

from __future__ import annotations

import heapq
from struct import Struct

from casstore.model.fileentry import FileEntry, sort_key
from casstore.transfer.entryblocks import decode, encode, weight

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO

RUN = 30_000  # entries in memory
RUN_WEIGHT = 8 << 20  # bytes of names and the like in memory
_TOGETHER = 128  # entries of a run that are read at a time; there are hundreds of runs at most
_HEAD = Struct("<II")


class EntryRuns:
    """Entries, given in any order, read by name and then by `order`, as often as one likes."""

    def __init__(
        self,
        scratch: Callable[[], IO[bytes]],
        complete: Callable[[list[FileEntry]], None] | None = None,
    ) -> None:
        """Begin with none.

        Args:
            scratch: makes an empty file for what memory does not hold.
            complete: is given what is in memory, in the order in which it came, before it is
                sorted, and may replace entries.
        """
        self._scratch, self._complete = scratch, complete
        self._file: IO[bytes] | None = None
        self._runs: list[tuple[int, int]] = []  # where in the file
        self.held: list[FileEntry] = []
        self._weight = 0
        self._is_sorted = True

    def __bool__(self) -> bool:
        return bool(self._runs or self.held)

    def add(self, entry: FileEntry) -> None:
        """Take an entry. Raises OSError where there is no space for it."""
        self.held.append(entry)
        self._is_sorted = False
        self._weight += weight(entry)
        if len(self.held) >= RUN or self._weight >= RUN_WEIGHT:
            self._spill()

    def runs(self) -> list[Iterator[FileEntry]]:
        """Each sorted; the entries of one name and order come in the order of the runs."""
        self._sort()
        found = [self._read(start, end) for start, end in self._runs]
        return [*found, iter(self.held)]

    def _sort(self) -> None:
        if not self._is_sorted:
            if self._complete is not None:
                self._complete(self.held)
            self.held.sort(key=place)
            self._is_sorted = True

    def _spill(self) -> None:
        self._sort()
        if self._file is None:
            self._file = self._scratch()
        end = start = self._runs[-1][1] if self._runs else 0
        self._file.seek(start)
        for at in range(0, len(self.held), _TOGETHER):
            columns, hashes = encode(self.held[at : at + _TOGETHER])
            self._file.write(_HEAD.pack(len(columns), len(hashes)))
            self._file.write(columns)
            self._file.write(hashes)
            end += _HEAD.size + len(columns) + len(hashes)
        self._runs.append((start, end))
        self.held, self._weight = [], 0

    def _read(self, at: int, end: int) -> Iterator[FileEntry]:
        assert self._file is not None
        while at < end:
            self._file.seek(at)
            columns, hashes = _HEAD.unpack(self._file.read(_HEAD.size))
            at += _HEAD.size + columns + hashes
            yield from decode(self._file.read(columns), self._file.read(hashes))


def place(entry: FileEntry) -> tuple[bytes, int]:
    """What entries are sorted by."""
    return sort_key(entry[0]), entry[13]


def merged(*runs: EntryRuns) -> Iterator[FileEntry]:
    """All entries in order; of those with one name and order first what the first runs have."""
    each = [one for some in runs if some for one in some.runs()]
    return each[0] if len(each) == 1 else heapq.merge(*each, key=place)
