"""Checks: what a backend can say of itself, and mend.

A check reads only. Others may be at work meanwhile: what looks wrong is looked at again before it
is told. A repair never removes the last copy of anything. Every method raises StorageError where it
cannot read or write.
"""

from __future__ import annotations

from casstore.startup.typed import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from casstore.model.findings import CheckResult
    from casstore.ports.change import Changing
    from casstore.ports.locks import WritersLock
    from casstore.ports.view import View
    from casstore.progress import Progress


class Checks(Protocol):
    """The checks of one store."""

    def check(
        self,
        repaired: Sequence[str],
        *,
        content: bool,
        documents: bool = True,
        progress: Progress | None = None,
    ) -> CheckResult:
        """Hold the index, the published index and every blob against each other.

        Args:
            repaired: what was mended before, for the result.
            content: read every blob; otherwise look at sizes only.
            documents: read each image's documents, and hold the index against them.
            progress: is told of the bytes of blobs that are read.

        Raises:
            NotAStore: there is no store, or a newer casstore made it.
            StorageError, Locked: it cannot be read, which does not mean that it is damaged.
        """

    def repair(self, change: Changing, *, content: bool) -> tuple[list[str], bool]:
        """Bring the index in order, and put corrupt blobs aside, by a change that it commits.

        Returns:
            A line for each thing mended; and whether the index says other than the blobs do, all of
            which can be read, so that it is to be rebuilt.
        """

    def mend_from(
        self, change: Callable[[], Changing], sources: Sequence[str], *, content: bool
    ) -> tuple[list[str], list[str]]:
        """Put good bytes in the place of missing and damaged blobs.

        Args:
            change: begins a change.
            sources: archives, layout directories and stores that may have them.
            content: look for damage by content, too.

        Returns:
            A line for each blob put back, and one for each thing that is in doubt.

        Raises:
            UsageError: a store that is kept in this way is not mended.
        """

    def rebuild(
        self, change: Callable[[], Changing], locked: Callable[[], WritersLock]
    ) -> tuple[list[str], bool]:
        """Make the index again from the published index and the blobs.

        Args:
            change: begins a change.
            locked: takes the writers' lock.

        Returns:
            What is to be told, and whether all content was verified.

        Raises:
            UsageError: a store that is kept in this way has nothing to be rebuilt from.
        """

    def give_rights_back(self) -> list[str]:
        """Give the store's owner, if that is who asks, the rights to change it; a line for each."""

    def is_damaged(self) -> bool:
        """Whether the index opens, and is damaged within."""

    def require_sound(self) -> None:
        """Raises Damaged if the index is damaged, so that nothing may be removed that it lacks."""

    def kept_aside(self) -> list[str]:
        """What lists images that could not be read: until it is gone no blob may be removed."""

    def recount(self, look: Callable[[], View], turn: Callable[..., Any]) -> list[str]:
        """Find out what an older casstore did not note of layers; a line for each thing done.

        Args:
            look: gives a look at the store as it is then.
            turn: makes a change.
        """


class Unfinished(Protocol):
    """What there was to finish when gc began: blobs, files and bytes."""

    def would_go(self) -> tuple[int, int, int]:
        """What a gc would finish."""

    def gone(self) -> tuple[int, int, int]:
        """What has been finished since."""
