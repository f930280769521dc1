"""Ingest: blobs still arriving, invisible to everyone until the commit.

`Intake` is all that a source of images may ask of the store while it stages; `Ingest` is the whole
of it, for the flow that opens, admits and closes it. No lock is held.

What cannot be read or written in the store is a StorageError of every method, and of the files that
they hand out; `full` of it says that there is no space, and that none could be made.
"""

from __future__ import annotations

from casstore.startup.typed import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import IO

    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.model.kept import LayerRecord


class Draft(Protocol):
    """A blob being written, invisible to everyone until the commit."""

    offset: int  # bytes that an earlier, broken-off attempt left in it

    def reread(self) -> IO[bytes]:
        """Those bytes, to be read and hashed again. Closing it does not close the draft."""

    def write(self, data: bytes | memoryview) -> int: ...
    def seal(self, digest: Digest, size: int) -> None:
        """Declare the content complete. The caller has hashed it; `size` is checked.

        Raises:
            Refused: it has another size.
            StorageError: it could not be written; the draft is still there to be discarded.
        """

    def discard(self) -> None:
        """Throw the content away; harmless after `seal` or a second time."""

    def leave(self) -> None:
        """Stop for now: a draft with a digest keeps what it has, any other is discarded."""


class Intake(Protocol):
    """The ingest of one load, import or pull: staging, and look-ups in the store that pin.

    No lock is held. Whatever a look-up finds stays available to this intake until its commit,
    whatever an rmi or gc does meanwhile.
    """

    max_layer_size: int | None  # bytes that a layer may have uncompressed; None: the usual limit

    @property
    def digests_only(self) -> bool:
        """Whether a layer that comes compressed is held to its digest and size, and not read."""

    def has(self, digest: Digest) -> int | None:
        """Size of the blob if it is staged here or stored (and now pinned), else None."""

    def layer(self, digest: Digest) -> LayerRecord | None:
        """The stored layer with this blob digest, pinned, if the index knows it as a layer."""

    def layer_with_diff_id(self, diff_id: Digest) -> LayerRecord | None:
        """A settled layer, stored or staged, with this diff ID in whatever compression, pinned."""

    def manifest_of(self, image_id: Digest) -> Descriptor | None:
        """A manifest that the store has for this image, in the clear and settled, if any."""

    def read(self, digest: Digest) -> bytes:
        """A document staged here or stored. Raises Damaged if it is gone or wrong."""

    def open(self, digest: Digest) -> IO[bytes]:
        """A blob staged here or stored, for reading. Raises Damaged if it is gone."""

    def add(self, data: bytes) -> Digest:
        """Stage a small document and return its digest. Staging what is there is harmless."""

    def draft(self, digest: Digest | None = None) -> Draft:
        """Start a blob; with the digest it shall have, go on with what is left of a former try."""

    def add_layer(self, record: LayerRecord) -> None:
        """Tell the intake of a layer just sealed, so that `layer_with_diff_id` finds it."""

    def adopt(self, path: str, digest: Digest, size: int) -> bool:
        """Stage the file at `path` by hard link or reflink; False where that cannot be done.

        The caller verifies the content through `open(digest)` before anything is committed.

        Raises:
            Refused: the file has another size.
        """

    def scratch(self) -> IO[bytes]:
        """An unnamed temporary file on the store's file system, gone when closed."""


class Ingest(Intake, Protocol):
    """The ingest of one load, from its opening to its end."""

    @property
    def not_linked(self) -> int:
        """Blobs that `adopt` did not take over, because others may change their bytes."""

    @property
    def named(self) -> Sequence[Digest]:
        """Blobs that `publish` has named, or is about to, and that the index did not know."""

    def keep_only(self, wanted: set[Digest]) -> None:
        """Give up the new blobs that are not wanted after all."""

    def layers(self) -> list[LayerRecord]:
        """Layers that are staged or were found, each of another diff ID."""

    def flush(self) -> None:
        """Make the content of all new blobs durable. No lock is needed. Raises StorageError."""

    def publish(self, known_among: Callable[[Sequence[Digest]], set[Digest]]) -> None:
        """Give the new blobs their names, before the transaction that refers to them.

        The writers' lock is held. A blob that another load brought meanwhile is kept if it has its
        size; one that nothing refers to is replaced, for nobody vouches for its content; one that a
        removal took away meanwhile comes back. Durable on return.

        Args:
            known_among: those of some blobs that the index knows.

        Raises:
            StorageError: not all could be named.
            Damaged: something that is no blob is in the place of one.

        `named` then has the blobs that the index does not know yet, to be discarded if the change
        fails; it has them from the first name on, should this break off.
        """

    def close(self, *, keep_parts: bool = False, drop_uploads: bool = False) -> list[str]:
        """End it, and remove what is left.

        Args:
            keep_parts: parts of blobs stay for a later load.
            drop_uploads: it was committed, so that the uploaded blobs that it has taken up go. One
                of the same digest that was uploaded since stays: somebody relies on it.

        Returns:
            A line for what could not be removed. It is no error: gc takes it.
        """
