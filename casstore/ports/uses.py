"""Last uses: when each image was last used, for policies that go by it."""

from __future__ import annotations

from casstore.startup.typed import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from casstore.model.digest import Digest


class LastUses(Protocol):
    """A journal that needs no lock, and that a crash may cut short."""

    def note(self, images: Iterable[Digest], now: int) -> None:
        """Remember that images are used at `now` (ns); where it cannot, it says nothing."""

    def mark(self) -> tuple[int, int]:
        """A place in the journal, for `read` to go on from."""

    def read(self, now: int, since: tuple[int, int] = ...) -> dict[Digest, int]:
        """The last use of each image that has one (ns).

        Args:
            now: what claims a time well after it is passed over.
            since: only what was noted after this `mark`.

        Raises:
            StorageError: it cannot be read, which is not the same as never used.
        """

    def compact(self, images: Collection[Digest], now: int) -> None:
        """Shorten the journal if it is mostly history. The writers' lock is held."""
