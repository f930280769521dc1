"""How much may come out of a compressed stream.

A layer is never unpacked on the disk, and what compresses well is stored well compressed, so a
bomb costs time: some seconds for each GiB. Real layers may be mostly zeros, a thousandth of
their size when compressed: /var/log/lastlog has 292 bytes for each user ID, used or not. So a
few GiB are always allowed, more in proportion to what is there compressed, and whoever knows
that a layer is larger says so.
"""

from __future__ import annotations

from casstore.errors import Refused
from casstore.startup.value import Value

ALWAYS_ALLOWED = 4 << 30  # lastlog of the user ID 14 700 000; refused within 20 seconds
MAX_RATIO = 100
MAX_OUTPUT = 64 << 30
MAX_ARCHIVE = 64 << 30
LAYERS_IN_ARCHIVE = 4  # of the largest size that is allowed, in an archive that is compressed
_NO_BYTES = 1 << 62  # more than any file has


class BeyondLimit(Refused):
    """Compressed input that is past a limit, which says nothing of what else is wrong with it."""


class Limit(Value):
    """Bytes that may come out."""

    always: int  # whatever the size of what goes in
    most: int  # however large that is

    def check(self, total: int, compressed: int) -> None:
        """Hold the bytes that came out against those that went in.

        Raises:
            BeyondLimit: they exceed the limit.
        """
        allowed = min(max(self.always, MAX_RATIO * compressed), self.most)
        if total > allowed:
            raise BeyondLimit(
                f"the uncompressed data exceeds the limit of {allowed} bytes, which"
                " --max-layer-size raises"
            )


NO_LIMIT = Limit(_NO_BYTES, _NO_BYTES)  # for what the store has: it was held against one before


def layer_limit(most: int | None) -> Limit:
    """The limit of a layer: `most`, where the user has said how large one may be."""
    return Limit(ALWAYS_ALLOWED, MAX_OUTPUT) if most is None else Limit(most, most)


def archive_limit(most: int | None) -> Limit:
    """The limit of an archive whose layers may have `most` bytes."""
    least = LAYERS_IN_ARCHIVE * (most or 0)
    return Limit(max(ALWAYS_ALLOWED, least), max(MAX_ARCHIVE, least))
