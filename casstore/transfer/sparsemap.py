"""Where the pieces of a sparse file in a tar belong: GNU tar's four ways to say it.

GNU tar manual, "Storing Sparse Files". A map is a list of pieces, each the place of it in the file
and its length; the tar has them one behind the other.
"""

from __future__ import annotations

from casstore.transfer.layertar import BLOCK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Piece = tuple[int, int]

MAX_PIECES = 65536
BLOCKS = MAX_PIECES // 21 + 1  # of an old GNU map: each has 21 pieces
_FIELD = 12
_DIGITS = 19


def old_gnu_map(fields: bytes, number: Callable[[bytes], int]) -> list[Piece]:
    """Of the old form: numbers as in a header, up to the first piece that has none."""
    pieces = []
    for at in range(0, len(fields), 2 * _FIELD):
        place, length = fields[at : at + _FIELD], fields[at + _FIELD : at + 2 * _FIELD]
        if not length[0]:
            break
        pieces.append((number(place), number(length)))
    return pieces


def pax_map(numbers: Sequence[bytes]) -> list[Piece] | None:
    """Of pax 0.0 and 0.1: place, length, place, length; None where it is malformed."""
    found = _decimals(numbers)
    return None if found is None or len(found) % 2 else _pairs(found)


def map_in_content(read: Callable[[], bytes], most: int) -> tuple[list[Piece] | None, int]:
    """Of pax 1.0: lines before the content, the first of which says how many pieces follow.

    Args:
        read: gives the next block of the content.
        most: bytes of the map.

    Returns:
        The map, None where it is malformed; and how many bytes it has taken.
    """
    text, lines, wanted = b"", 0, 1
    while lines < wanted:
        if len(text) >= most or len(block := read()) < BLOCK:
            return None, len(text)
        text += block
        lines += block.count(b"\n")
        if wanted == 1 and lines:
            count = _decimals([text.partition(b"\n")[0]])
            if count is None:
                return None, len(text)
            wanted = 1 + 2 * count[0]
    found = _decimals(text.split(b"\n", wanted)[1:wanted])
    return None if found is None else _pairs(found), len(text)


def checked(pieces: Sequence[Piece], size: int, stored: int) -> tuple[Piece, ...] | None:
    """The pieces that are not empty; None unless they fit a file and what the tar has of it."""
    end = total = 0
    for place, length in pieces:
        if place < end or length < 0:
            return None
        end = place + length
        total += length
    if end > size or total != stored or len(pieces) > MAX_PIECES:
        return None
    return tuple((place, length) for place, length in pieces if length)


def _decimals(texts: Sequence[bytes]) -> list[int] | None:
    if not all(text.isdigit() and len(text) <= _DIGITS for text in texts):
        return None
    return [int(text) for text in texts]


def _pairs(numbers: Sequence[int]) -> list[Piece]:
    return list(zip(numbers[::2], numbers[1::2], strict=True))
