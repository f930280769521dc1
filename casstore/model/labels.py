"""The labels of an image, small: as many bytes as they have letters, until somebody looks.

As pairs of strings a label takes two hundred bytes, and an archive of 20 MB can have ten million
of them.
"""

from __future__ import annotations

import marshal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Labels:
    """An immutable sequence of pairs, key and value, sorted by key."""

    __slots__ = ("_data",)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        found = tuple(pairs)
        self._data = marshal.dumps(found) if found else b""

    @property
    def size(self) -> int:
        """Bytes that they take in memory."""
        return len(self._data)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(marshal.loads(self._data) if self._data else ())  # noqa: S302 - made here

    def __bool__(self) -> bool:
        return bool(self._data)

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, (Labels, tuple)) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"Labels({tuple(self)!r})"
