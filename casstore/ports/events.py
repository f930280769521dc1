"""Events: what was done in a store, for those who want to know it later, or at once.

What a change does is written with it (`Edits.record`), so that there is an event if and only if the
change was made. What changes nothing in the index (a save, a push, a load of what is there) is
noted by the way: nobody waits for it, and a crash may lose it.
"""

from __future__ import annotations

from casstore.startup.typed import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from casstore.model.event import Event

Place = tuple[int, ...]  # in the events of one backend, which alone knows what the numbers mean


class Events(Protocol):
    """The events of a store, oldest first; old ones go."""

    def note(self, events: Sequence[Event]) -> None:
        """Add events without any lock or wait; where that cannot be done, silently not."""

    def read(self, after: Place = ...) -> tuple[list[Event], Place]:
        """The events after a place, by default all that are kept, and the place behind them.

        Raises:
            NotAStore, Damaged.
            StorageError: they cannot be read.
        """
