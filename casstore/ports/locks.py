"""Locks: one writer at a time, and what live processes hold.

Both end with the process, however it ends: nothing has to be cleaned up by hand, and nothing is
broken by its age.
"""

from __future__ import annotations

from casstore.startup.typed import Protocol

TYPE_CHECKING = False


class WritersLock(Protocol):
    """The right to change a store."""

    @property
    def timeout(self) -> float:
        """Seconds that `acquire` waits."""

    @property
    def is_mine(self) -> bool:
        """Whether this process took it, and is no child of the one that did."""

    def acquire(self) -> None:
        """Take it.

        Raises:
            Locked: others keep it for longer than this one waits.
            StorageError: it cannot be taken at all.
        """

    def release(self) -> None:
        """Give it back; harmless a second time."""


class Hold(Protocol):
    """A hard lease of this process: it ends with `release`, or with the process."""

    @property
    def descriptor(self) -> int | None:
        """The file descriptor whose lock is the lease, if there is one; a child inherits it."""

    def release(self) -> None:
        """End it; harmless a second time."""
