"""SHA-256 of the files in a layer, made by a second thread while the layer streams by.

It is given pieces of the tar with what of each belongs to files. Digests come in the order of the
files, and later than the files do.
"""

from __future__ import annotations

import hashlib
from functools import partial

from casstore.transfer.sidethread import SideThread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# What is hashed: content from one place in a piece to another, and whether the file ends with it.
# In the place of the first: zeros, as many as the second says; or that the file has no digest.
HOLE, UNHASHED = -1, -2
Step = tuple[int, int, bool]

# Bytes of holes that are hashed in one layer. A header of 512 bytes can claim a hole of exabytes.
MAX_HOLES = 1 << 30
BACKLOG = 12 << 20  # bytes of pieces that wait; they are those that wait to be hashed as a whole
_INLINE = 1 << 20  # bytes of a layer for which no thread is worth it
_ZEROS = bytes(1 << 20)


class ContentHashes:
    """The digests of one layer's files."""

    def __init__(self) -> None:
        self._side = SideThread(lambda: self._seen > _INLINE, backlog=BACKLOG)
        self._seen = 0  # bytes
        self._holes = MAX_HOLES
        self._made: list[bytes] = []
        self._hash = hashlib.sha256()

    def takes_hole(self, size: int) -> bool:
        """Whether so many zeros more are hashed; then they count."""
        if size > self._holes:
            return False
        self._holes -= size
        return True

    def add(self, piece: bytes, steps: Sequence[Step]) -> None:
        """Hash what belongs to files in a piece of the tar."""
        self._seen += len(piece)
        self._side.do(partial(self._follow, steps), piece)

    def made(self) -> list[bytes]:
        """The digests of the files that have ended since the last call; empty where UNHASHED."""
        self._side.finish()
        made, self._made = self._made, []
        return made

    def close(self) -> None:
        """End the thread; harmless a second time."""
        self._side.close()

    def _follow(self, steps: Sequence[Step], piece: bytes | memoryview) -> None:
        view = memoryview(piece)
        for start, stop, ends in steps:
            if start >= 0:
                self._hash.update(view[start:stop])
            elif start == HOLE:
                self._add_hole(stop)
            if ends:
                self._made.append(self._hash.digest() if start != UNHASHED else b"")
                self._hash = hashlib.sha256()

    def _add_hole(self, size: int) -> None:
        while size:
            step = min(size, len(_ZEROS))
            self._hash.update(memoryview(_ZEROS)[:step])
            size -= step
