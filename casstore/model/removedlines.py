"""What a prune removed, line by line, in a sixth of the memory that the lines would take.

A prune of a large store tells of a million images and layers.
"""

from __future__ import annotations

from struct import Struct

from casstore.model.digest import Digest
from casstore.model.removal import DELETED, UNTAGGED, Removed
from casstore.startup import Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import overload

SHOWN = 20  # lines in a repr
_ROLES = ("reference", "image", "layer")
_LINE = Struct("<B32sqq")  # role, digest, size, file bytes; of a reference: where its text is


class RemovedLines(Sequence[Removed] if TYPE_CHECKING else Sequence):  # type: ignore[misc]
    """A sequence of `Removed`, made anew whenever one is looked at."""

    def __init__(self, lines: Iterable[Removed] = ()) -> None:
        self._packed = bytearray()
        self._names: list[str] = []
        self.file_bytes = 0
        self.extend(lines)

    def extend(self, lines: Iterable[Removed]) -> None:
        """Add lines at the end."""
        for line in lines:
            _, text, digest, role, size, file_bytes = line
            if digest is None:
                self._packed += _LINE.pack(0, b"", len(self._names), 0)
                self._names.append(text)
            else:
                self._packed += _LINE.pack(_ROLES.index(role), digest.raw, size, file_bytes)
                self.file_bytes += file_bytes

    def __len__(self) -> int:
        return len(self._packed) // _LINE.size

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, index: int) -> Removed: ...
        @overload
        def __getitem__(self, index: slice) -> tuple[Removed, ...]: ...

    def __getitem__(self, index: int | slice) -> Removed | tuple[Removed, ...]:
        if isinstance(index, slice):
            return tuple(self[at] for at in range(len(self))[index])
        role, raw, size, file_bytes = _LINE.unpack_from(
            self._packed, range(len(self))[index] * _LINE.size
        )
        if not role:
            return Removed(UNTAGGED, self._names[size], None, _ROLES[0], 0, 0)
        digest = Digest.of_bytes(raw)
        return Removed(DELETED, digest.hex, digest, _ROLES[role], size, file_bytes)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, RemovedLines):
            return self._packed == other._packed and self._names == other._names
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        if len(self) <= SHOWN:
            return repr(tuple(self))
        first = ", ".join(map(repr, self[:SHOWN]))
        return f"({first}, ... and {len(self) - SHOWN} more)"
