"""The members, frames and blocks of a compressed stream, held against what comes out of them.

Each costs time, whatever it holds, and empty ones compress a thousandfold in an archive that is
compressed itself: 117 kB can be 40 MB of empty zstd frames. So a stream may have some thousands
of them for nothing; beyond that it must give some bytes for each.
"""

from __future__ import annotations

from casstore.transfer.outputlimit import BeyondLimit

FREE_PIECES = 16_384


class Pieces:
    """The count of one stream."""

    __slots__ = ("_kind", "_least", "count", "output")

    def __init__(self, kind: str, least: int) -> None:
        """`least` is what a piece must give beyond the free ones, in bytes."""
        self._kind = kind
        self._least = least
        self.count = 0
        self.output = 0  # bytes that came out so far; the decoder adds to it

    def add(self, count: int = 1) -> None:
        """Count more pieces.

        Raises:
            BeyondLimit: there were too many already for what has come out of them.
        """
        if self.count > FREE_PIECES + self.output // self._least:
            raise BeyondLimit(
                f"the {self._kind} data exceeds the limit of {FREE_PIECES} frames, members or "
                "blocks with next to nothing in them"
            )
        self.count += count
