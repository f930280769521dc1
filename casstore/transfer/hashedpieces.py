"""A stream that comes in pieces, read in order; what in it is the content of files is hashed."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from casstore.transfer.contenthashes import ContentHashes, Step


class HashedPieces:
    """Where in a stream its reader is. What is read does not come again."""

    def __init__(self, pieces: Iterator[bytes], hashes: ContentHashes) -> None:
        """None of the pieces is empty."""
        self._pieces, self._hashes = pieces, hashes
        self._piece = b""
        self._before = 0  # bytes before the piece
        self._at = 0  # in the piece
        self._steps: list[Step] = []  # what is to be hashed of the piece

    @property
    def offset(self) -> int:
        """Bytes that were read or passed."""
        return self._before + self._at

    def read(self, size: int) -> bytes:
        """So many bytes, fewer at the end."""
        start = self._at
        end = start + size
        if end <= len(self._piece):
            self._at = end
            return self._piece[start:end]
        parts = [self._piece[start:]]
        size -= len(parts[0])
        self._at = len(self._piece)
        while size and self._next():
            parts.append(self._piece[:size])
            self._at = len(parts[-1])
            size -= self._at
        return b"".join(parts)

    def skip(self, size: int) -> bool:
        """Pass so many bytes; whether they are there."""
        while True:
            step = min(size, len(self._piece) - self._at)
            self._at += step
            size -= step
            if not size:
                return True
            if not self._next():
                return False

    def hash(self, size: int, *, ends: bool = True) -> bool:
        """Have so many bytes hashed as the content of a file; whether they are there.

        Args:
            size: how many.
            ends: whether the file ends with them.
        """
        while True:
            start = self._at
            step = min(size, len(self._piece) - start)
            size -= step
            self._at = start + step
            self._steps.append((start, self._at, ends and not size))
            if not size:
                return True
            if not self._next():
                return False

    def hash_other(self, step: Step) -> None:
        """Have something hashed that is not in the stream (contenthashes.py)."""
        self._steps.append(step)

    def takes_hole(self, size: int) -> bool:
        """Whether so many zeros more are hashed; then they count."""
        return self._hashes.takes_hole(size)

    def flush(self) -> None:
        """Hand over all that is to be hashed so far."""
        if self._steps:
            self._hashes.add(self._piece, self._steps)
            self._steps = []

    def drain(self) -> None:
        """Read to the end: only then it is known whether the stream is what it should be."""
        self.flush()
        for _ in self._pieces:
            pass

    def _next(self) -> bool:
        self.flush()
        self._before += len(self._piece)
        self._piece, self._at = next(self._pieces, b""), 0
        return bool(self._piece)
