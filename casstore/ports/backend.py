"""A backend: one store, wherever it is kept. Naming one touches nothing.

Only `store/session.py` chooses a backend. What a backend raises is always a CasstoreError: Locked,
Damaged and their like where a method says so, and StorageError, which any method can raise that
looks at the store or writes to it, where the operating system refuses that. So do the files that a
backend hands out, when they are read or written, but for tables of contents (contents.py).
"""

from __future__ import annotations

from casstore.startup.typed import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import Self

    from casstore.model.digest import Digest
    from casstore.model.lease import HardLease
    from casstore.model.storage import Disk
    from casstore.ports.blobs import Blobs
    from casstore.ports.checks import Checks, Unfinished
    from casstore.ports.contents import ContentsTables
    from casstore.ports.edits import Edits
    from casstore.ports.events import Events
    from casstore.ports.ingest import Ingest
    from casstore.ports.locks import Hold, WritersLock
    from casstore.ports.published import PublishedIndex
    from casstore.ports.reserve import Reserve
    from casstore.ports.template import Template
    from casstore.ports.uploads import Uploads
    from casstore.ports.uses import LastUses
    from casstore.ports.view import View

ASIDE_DAYS = 30  # for which an index that was put aside is kept


class Backend(Protocol):
    """Where a store is kept, and its parts."""

    @property
    def where(self) -> str:
        """What people call it: of a directory, its absolute path."""

    @property
    def blobs(self) -> Blobs:
        """Its blobs."""

    @property
    def contents(self) -> ContentsTables:
        """What is in its layers, as far as somebody has looked."""

    @property
    def published(self) -> PublishedIndex:
        """What other tools see."""

    @property
    def uses(self) -> LastUses:
        """When its images were last used."""

    @property
    def events(self) -> Events:
        """What was done in it."""

    @property
    def reserve(self) -> Reserve:
        """The space that it keeps back."""

    @property
    def checks(self) -> Checks:
        """What it can say of itself."""

    # Opening

    def exists(self) -> bool:
        """Whether there is a store (or an OCI image layout) here."""

    def require(self) -> None:
        """Raises NotAStore unless there is a store here."""

    def create(self) -> None:
        """Make the store, or finish making it; harmless where it is there. No lock is held.

        Raises:
            NotAStore: something else is there.
            StorageError: it cannot be made.
        """

    def is_writable(self) -> bool:
        """Whether this process may change the store."""

    def cautions(self) -> list[str]:
        """What the user should know before the first change: that a lock may not hold, say."""

    def lock(self, timeout: float, command: str) -> WritersLock:
        """The writers' lock, not taken yet.

        Args:
            timeout: seconds that `acquire` waits.
            command: what those are told who wait; the program's name where it is empty.
        """

    def view(self, now: int) -> View:
        """A look at the store as it is; `now` (ns) decides which soft leases live.

        Raises:
            NotAStore, Damaged.
            StorageError: it cannot be read.
        """

    def listed_ids(self, *, digits: int, everything: bool) -> Iterator[list[str]] | None:
        """Hex digits of the image IDs, one for each name, many at a time, newest first.

        An image without names is there once; without `everything` only if no image is made
        from it, and it refers to none. None where the backend has no quick way to tell.

        Raises:
            NotAStore, Damaged.
        """

    def prepare(self, *, create: bool) -> list[str]:
        """Open the index to be changed, mending first what has to be mended; the lock is held.

        Returns:
            What the user should know of that.

        Raises:
            NotAStore: a newer casstore made it.
            Damaged: it cannot be mended.
            StorageError: it cannot be read or written; what was mended by then may stay.
        """

    def edits(self, now: int, hard: Mapping[Digest, Sequence[str]]) -> Edits:
        """The index, prepared, to be changed; `hard` names the live hard leases by image."""

    def rehearse(self, now: int, hard: Mapping[Digest, Sequence[str]]) -> tuple[Edits, list[str]]:
        """Edits of a copy of the index, which nobody will see: no lock, nothing written.

        Returns:
            The copy, and what the user should know that is not in it.
        """

    def refresh(self) -> None:
        """Let the next look be of the store itself, where the last was of a copy."""

    def make_durable(self) -> None:
        """Make durable what others have committed and published, and this process sees.

        The lock is held. Raises StorageError.
        """

    def clear_leftovers(self) -> None:
        """Remove the staging of processes that ended, if there is any; the lock is held.

        Raises StorageError.
        """

    def let_go(self, *, at_once: bool = False) -> None:
        """Open the index again for the next look; views in use stay usable.

        Args:
            at_once: give back what the index takes beside itself, where no view is in use.
        """

    def close(self) -> None:
        """Close what is open, with the views in use; the backend can be used again."""

    def leave(self) -> None:
        """Before the process ends: leave what is open to its end, where that is cheaper.

        What is committed is durable. The backend can be used again.
        """

    def another(self) -> Self:
        """The same store for another thread, which opens it for itself."""

    # Staging and leases

    def prepare_ingest(self) -> None:
        """Make what staging needs, where that is missing; no lock is needed.

        Raises StorageError.
        """

    def begin_ingest(
        self,
        view: Callable[[], View],
        make_room: Callable[[], bool] = ...,
        max_layer_size: int | None = None,
        digests_only: Callable[[], bool] | None = None,
        *,
        with_uploads: bool = False,
    ) -> Ingest:
        """Begin to stage.

        Args:
            view: gives a look at the store as it is then.
            make_room: is called when there is no space; True if it could free anything.
            max_layer_size: bytes that a layer may have uncompressed; None: the usual limit.
            digests_only: whether layers are held to their digests and sizes alone; asked for when
                the first comes. By default all of a layer is verified.
            with_uploads: a blob that was uploaded is found too, and is staged then.

        Raises:
            StorageError: there is no place to stage in.
        """

    def uploads(self, make_room: Callable[[], bool] = ...) -> Uploads:
        """Blobs that come before the image that needs them; `make_room` as for an ingest."""

    def door(self, timeout: float, *, shared: bool) -> AbstractContextManager[None]:
        """What leases are taken (`shared`) and removals committed behind.

        So a lease is either seen before the commit, or taken after it, by one who sees that the
        image is gone. Raises Locked after `timeout` seconds.
        """

    def hold(self, name: str, holder: str, images: Iterable[Digest]) -> Hold:
        """Take a hard lease for this process (and children that inherit it).

        Args:
            name: of the lease.
            holder: the command that holds it; the program's name where it is empty.
            images: what it holds.

        Raises:
            StorageError: it cannot be taken; nothing is held.
        """

    def hard_leases(self, *, to_change: bool = False) -> list[HardLease]:
        """Hard leases whose process lives; the holder is told as others are told of it.

        Raises:
            StorageError: with `to_change`, one cannot be read: it may be on any image.
        """

    # Space, and the rest

    def space(self) -> Disk:
        """How large, and how full, what it is kept on is. Raises StorageError."""

    def lacking_bytes(self) -> int:
        """Bytes that should be freed before much is written; 0 where there are enough."""

    def arriving_bytes(self) -> int:
        """Bytes of what is still arriving. Raises StorageError."""

    def unfinished(self) -> Unfinished:
        """What stopped changes and ended processes have left to do, as it is now.

        Raises StorageError.
        """

    def old_copies(self, now: int) -> list[tuple[str, int]]:
        """Name and size of indexes that were put aside, and whose time is over at `now` (ns).

        Raises StorageError.
        """

    def remove_copies(self, copies: list[tuple[str, int]]) -> list[tuple[str, int]]:
        """Remove what `old_copies` found; those that are gone."""

    def remove_leftovers(self) -> tuple[int, int]:
        """As `clear_leftovers`, wherever it is; how many files, and bytes. Raises StorageError."""

    def trust_policy(self) -> str | None:
        """Path of the store's own trust policy, if it has one."""

    def template(self, index: Edits) -> Template:
        """The store as it is now, of which others are made; `index` is that of a change of it.

        Raises:
            UsageError: no other can be made of a store that is kept in this way.
        """
