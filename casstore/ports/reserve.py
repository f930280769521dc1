"""The reserve: space that a store keeps back, so that removals work on a full disk."""

from __future__ import annotations

from casstore.startup.typed import Protocol


class Reserve(Protocol):
    """The space that one store keeps back. Where nothing can be done there is none: no error."""

    def is_wanted(self) -> bool:
        """Whether there may be too little space for a removal."""

    def give_up(self) -> bool:
        """Let go of the space; False if there was none. No lock is needed."""

    def restore(self) -> None:
        """Keep space back again, as far as there is some. The writers' lock is held."""
