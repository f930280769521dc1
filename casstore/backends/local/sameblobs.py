"""Whether a directory has exactly the blobs that the index knows, without keeping their names.

Most of gc is to find that it has nothing to do. A set of a million names takes 150 MB, and two
passes over them a second; how many there are, and the XOR of all digests, say the same.

Two different sets have one XOR by chance once in 2 ** 256 times. Who makes names on purpose so that
they have keeps garbage, in a store that lacks a blob as well, which is for fsck to find.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_HEX, _BITS = 64, 256  # of a digest


def xor_of_names(names: Iterable[Sequence[str]]) -> tuple[int, int] | None:
    """The number of names and the XOR of all of them; None if any is not a digest."""
    count = total = 0
    for some in names:
        packed = _packed(some)
        if packed is None:
            return None
        count += len(some)
        total ^= _xor(packed, len(some))
    return count, total


def xor_of_digests(digests: Iterable[Sequence[bytes]]) -> tuple[int, int]:
    """The same of digests, 32 bytes each."""
    count = total = 0
    for some in digests:
        count += len(some)
        total ^= _xor(b"".join(some), len(some))
    return count, total


def _packed(names: Sequence[str]) -> bytes | None:
    """The bytes of names that are 64 lower-case hex digits; None if one is not."""
    if not set(map(len, names)) <= {_HEX}:
        return None
    joined = "".join(names)
    try:
        packed = bytes.fromhex(joined)
    except ValueError:
        return None
    return packed if packed.hex() == joined else None  # spaces and capitals are read too


def _xor(packed: bytes, count: int) -> int:
    """The XOR of so many digests, by halves: a step for each would cost more than all the rest."""
    total = int.from_bytes(packed, "big")
    while count > 1:
        count = (count + 1) // 2
        bits = count * _BITS
        total = (total >> bits) ^ (total & (1 << bits) - 1)
    return total
