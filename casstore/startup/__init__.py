"""What makes a start cheap; every other room is plain Python.

A command works for a few milliseconds, so an import can be most of it. Each module here says what
it gains, as processor time of one process where the bare interpreter takes 11.5 ms (CPython 3.11,
a busy machine), and on which Pythons it was tried. This one has names of the standard library from
the modules in C that have them, without the Python that is around those.

Gain: 1.4 ms for `ref` (`weakref`), 0.8 for `length_hint` (`operator`), 3.5 for `Sequence`
(`collections.abc`), 6.4 for threads (`threading`). Tried on CPython 3.11, 3.12 and 3.13.
"""

from __future__ import annotations

from _collections_abc import Sequence
from _thread import RLock, allocate_lock, get_ident, start_new_thread
from _weakref import ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "RLock", "Sequence", "allocate_lock", "get_ident", "length_hint", "ref", "start_new_thread",
]  # fmt: skip


def length_hint(items: Iterator[object]) -> int:
    """How many a list's iterator will still give."""
    count: int = items.__length_hint__()  # type: ignore[attr-defined]  # not of every iterator
    return count
