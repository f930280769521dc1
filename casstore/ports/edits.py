"""Edits: everything that one change does to the index, in one transaction.

A change holds the writers' lock. What it has edited it sees at once; nobody else sees it before
`commit`, and nothing of it is left after `rollback`. Refcounts are the backend's to keep: every
commit leaves each count equal to the edges and holdings of its blob, and a blob whose count is not
zero is never let go, whatever a plan says.

An edit that the index cannot hold, a number of more than 64 bits say, raises UsageError.
"""

from __future__ import annotations

from casstore.ports.view import TrashView, View
from casstore.startup.typed import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from casstore.model.digest import Digest
    from casstore.model.event import Event
    from casstore.model.kept import LayerRecord
    from casstore.model.published import Published
    from casstore.model.record import ImageRecord
    from casstore.model.reference import Reference
    from casstore.model.removal import RemovalPlan
    from casstore.model.trashed import KeptEntry


class TrashEdits(TrashView, Protocol):
    """The trash within a change."""

    def put(self, entry: KeptEntry) -> None:
        """Write an entry as it is given; the trees of its manifests are in the index."""

    def drop(self, number: int) -> int:
        """Remove an entry, and every blob that nothing else needs.

        Returns:
            Bytes as stored that this frees.
        """

    def drop_expired(self, now: int, *, most: int | None = None) -> int:
        """Remove entries whose time is over, oldest first, at most `most`; returns how many."""


class Bin(Protocol):
    """The removals of one command on their way into the trash, those of one image together."""

    def keep(self, plan: RemovalPlan) -> int | None:
        """Keep all that a plan is about to remove; it frees no blobs.

        Returns:
            The number of the entry; None where the plan removes nothing.
        """


class Edits(View, Protocol):
    """The view, and the edits of one transaction."""

    @property
    def now(self) -> int:
        """The time of the change, in ns."""

    @property
    def trash(self) -> TrashEdits:
        """The trash, to be changed."""

    # The transaction

    def begin(self) -> None:
        """Start the transaction, or go on with the one begun; the writers' lock is held."""

    def commit(self) -> None:
        """Make the transaction durable: the point of no return."""

    def rollback(self) -> None:
        """Undo everything since `begin`."""

    def forget_unlinked(self, last: Digest) -> None:
        """`forget_doomed` in a transaction of its own, which a power cut may take back."""

    # Images and names

    def admit(self, image: ImageRecord) -> None:
        """Add an image, its manifest and the tree of blobs below; what is there stays as it is."""

    def attach(
        self, name: Reference, image: Digest, manifest: Digest, *, tagged: int
    ) -> Digest | None:
        """Let a reference point to an image by one of its manifests.

        Args:
            tagged: when somebody tagged it (ns), 0 for a name that came with its image.

        Returns:
            The image that the name pointed to before, if it was another.

        Raises:
            NotFound: the image does not hold this manifest, or does not any more.
        """

    def keep_unnamed(self, image: Digest, manifest: Digest) -> None:
        """A manifest came without a name: one that it had and loses is no reason for it to go."""

    def settle(self) -> None:
        """Let go of the manifests whose names have moved, where nothing names them in the end.

        Comes after all that the change gives, at the latest with `commit`: a manifest that loses
        its name to one image may get another by the next name, in whatever order they come. A
        manifest stays that lost its name to an artifact of its own: the name is a tag that refers
        to it, as a signature's does.
        """

    def link_parent(self, child: Digest, parent: Digest) -> None:
        """Record the parent of an image; both are in the store."""

    def record_layers(self, found: Iterable[LayerRecord]) -> None:
        """Write what reading layers has found, and the sizes of the images that follow from it.

        A layer that is settled, or that has gone meanwhile, stays as it is. The sizes of images in
        the trash follow too.
        """

    def set_pin(self, image: Digest, *, pinned: bool) -> None:
        """Pin an image that is in the store, or unpin it; harmless where it is so already."""

    # Events

    def record(
        self, action: str, image: Digest | None = None, name: Reference | None = None, **more: str
    ) -> None:
        """Note what the change does, as an event (model/event.py); it is written with the commit.

        `apply` notes by itself what goes. Where the change turns out to change nothing else, the
        commit leaves the events to `unwritten_events`: then there is nothing to wait for.
        """

    def unwritten_events(self) -> list[Event]:
        """Events of a change that changed nothing else; the caller notes them, after the commit."""

    # Removal

    def expect_many(self) -> None:
        """Many removals follow, and until the commit nothing but removals."""

    def apply(self, plan: RemovalPlan) -> None:
        """Carry out a removal plan."""

    def bin(self, *, removed: int, expires: int) -> Bin:
        """What keeps removals in the trash instead; times in ns."""

    def drop_expired_trash(self, now: int, *, most: int = ...) -> int:
        """Remove entries of the trash whose time is over, oldest first, a few by default."""

    def has_doomed(self) -> bool:
        """Whether there are blobs that left the index and whose bytes may still be there."""

    def forget_doomed(self, last: Digest) -> None:
        """The bytes of the doomed blobs up to this one, by digest, are gone."""

    def free_unneeded(self, blobs: Iterable[Digest]) -> int:
        """Let go of those blobs that nothing holds, and of all below them that nothing else does.

        Returns:
            Bytes as stored.
        """

    def compact(self) -> None:
        """After a commit: give back space that only the past of the index takes."""

    # Leases and settings

    def set_lease(self, name: str, image: Digest, expires: int | None) -> None:
        """Make or renew the soft lease `name`; `expires` in ns, None for never."""

    def drop_lease(self, name: str) -> bool:
        """End a soft lease; False if there is none of that name."""

    def drop_expired(self, now: int) -> int:
        """Remove soft leases whose time is over; returns how many."""

    def set_meta(self, key: str, value: str | int) -> None:
        """Set a setting or a figure of the store's own."""

    def drop_meta(self, key: str) -> None:
        """Remove it; harmless where it is not set."""

    # What other tools see

    def changes(self) -> tuple[list[tuple[Published, Published | None]], list[Published]] | None:
        """What this transaction changes in index.json: (old, new or None) pairs, and additions.

        None where that is so much that the whole is sooner written than told.
        """

    def all_published(self) -> Iterator[Published]:
        """Descriptors of index.json for the whole store: names in attach order, then the rest."""
