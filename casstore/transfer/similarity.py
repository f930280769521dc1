"""Where in one tar the bytes of another one can be found again: by samples of its blocks.

A tar consists of blocks of 512 bytes, and files begin on their borders. So what is unchanged in two
tars is the same blocks, wherever these have moved. Of each block a check sum is made, and one block
in so many is a sample, chosen by that sum: the same blocks are samples in both. Where something was
put into a file, its blocks differ from there on though its bytes are the same; then the place is
guessed from where the blocks before were found, and looked at with room on both sides.

All this only chooses what a compressor gets to look at. A wrong guess costs bytes, nothing else.
"""

from __future__ import annotations

from collections import Counter
from zlib import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BLOCK = 512
GRAIN = 1 << 20  # what is chosen of the other tar, is chosen in pieces of this size
MOST_SAMPLES = 1 << 18  # of a tar; some 40 MiB of memory
_LEAST_MASK = 15  # one block in 16
_ENOUGH = 0.9  # of the samples, from which nothing is guessed
_RARE = 20  # one sample in so many, below which a shift is not believed
_SURE = 4  # samples in a grain that are more than chance
_ZEROS = crc32(bytes(BLOCK))

Range = tuple[int, int]  # offset, length


def mask_for(size: int) -> int:
    """Which check sums are of samples, in tars of up to so many bytes: those with no such bits."""
    mask = _LEAST_MASK
    while size // BLOCK // (mask + 1) > MOST_SAMPLES:
        mask = 2 * mask + 1
    return mask


def samples(data: memoryview, mask: int) -> Iterator[tuple[int, int]]:
    """Offset and check sum of each block of `data` that is a sample; zeros are none."""
    for at in range(0, len(data) - BLOCK + 1, BLOCK):
        checksum = crc32(data[at : at + BLOCK])
        if not checksum & mask and checksum != _ZEROS:
            yield at, checksum


class BaseIndex:
    """The samples of a tar that others are compared with."""

    def __init__(self, size: int, mask: int | None = None) -> None:
        self.size = size
        self.mask = mask if mask is not None else mask_for(size)
        self._places: dict[int, int] = {}
        self._shift = 0  # from a place in the other tar to the one in this, where last found

    def add(self, offset: int, data: memoryview) -> None:
        """Note the next bytes; all but the last are of whole blocks."""
        for at, checksum in samples(data, self.mask):
            self._places.setdefault(checksum, offset + at)

    def begin(self) -> None:
        """Another tar is going to be compared from its beginning."""
        self._shift = 0

    def ranges(self, offset: int, data: memoryview, most: int) -> list[Range]:
        """What of this tar is likely to be in a slice of another, in ascending order.

        Args:
            offset: of the slice; slices come one behind the other.
            data: the slice.
            most: bytes of all ranges.
        """
        found: Counter[int] = Counter()
        shifts: Counter[int] = Counter()
        count = 0
        for at, checksum in samples(data, self.mask):
            count += 1
            place = self._places.get(checksum)
            if place is not None:
                found[place // GRAIN] += 1
                shifts[place - offset - at] += 1
        # Of two that are as frequent the lower one, so that the same tars give the same bytes.
        best = max(shifts, key=lambda shift: (shifts[shift], -shift), default=0)
        if shifts[best] * _RARE > count:  # what is rarer may be anywhere
            self._shift = best
        begin = offset + self._shift
        around = [*_grains(begin, begin + len(data))]
        if found.total() < _ENOUGH * count:
            around += _outwards(around, most // GRAIN)
        places = sorted(found, key=lambda grain: (-found[grain], grain))
        sure = [grain for grain in places if found[grain] >= _SURE]
        last = (self.size - 1) // GRAIN
        wanted = [one for one in dict.fromkeys((*sure, *around, *places)) if 0 <= one <= last]
        return self._joined(sorted(wanted[: most // GRAIN]))

    def _joined(self, grains: Iterable[int]) -> list[Range]:
        ranges: list[Range] = []
        for grain in grains:
            begin = grain * GRAIN
            length = min(GRAIN, self.size - begin)
            if ranges and sum(ranges[-1]) == begin:
                ranges[-1] = (ranges[-1][0], ranges[-1][1] + length)
            else:
                ranges.append((begin, length))
        return ranges


def _grains(begin: int, end: int) -> range:
    return range(begin // GRAIN, -(-end // GRAIN))


def _outwards(grains: list[int], count: int) -> Iterator[int]:
    """What is before and behind, nearest first."""
    if grains:
        for step in range(1, count):
            yield grains[-1] + step
            yield grains[0] - step
