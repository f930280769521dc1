"""What the rooms ask of each other across the seams. Protocols only: nothing here runs.

`Intake` is all that a source of images may ask of the store; `StoredBlobs` all that a sink may,
which writes to a stream or to a `Placed` file.
"""

from __future__ import annotations

from casstore.model.typed import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

    from casstore.model.digest import Digest
    from casstore.model.record import Descriptor, LayerRecord


class Draft(Protocol):
    """A blob being written, invisible to everyone until the commit."""

    offset: int  # bytes that an earlier, broken-off attempt left in it

    def reread(self) -> IO[bytes]:
        """Those bytes, to be read and hashed again. Closing it does not close the draft."""

    def write(self, data: bytes | memoryview) -> int: ...
    def seal(self, digest: Digest, size: int) -> None:
        """Declare the content complete. The caller has hashed it; `size` is checked."""

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

    def has(self, digest: Digest) -> int | None:
        """Size of the blob if it is staged here or stored (and now pinned), else None."""

    def layer(self, digest: Digest) -> LayerRecord | None:
        """The stored layer with this blob digest, pinned, if the index knows it as a layer."""

    def layer_with_diff_id(self, diff_id: Digest) -> LayerRecord | None:
        """A stored or staged layer with this diff ID in whatever compression, pinned."""

    def manifest_of(self, image_id: Digest) -> Descriptor | None:
        """A manifest that the store already has for this image in the clear, if any."""

    def read(self, digest: Digest) -> bytes:
        """A document staged here or stored. Raises Damaged if it is gone or wrong."""

    def open(self, digest: Digest) -> IO[bytes]:
        """A blob staged here or stored, for reading."""

    def add(self, data: bytes) -> Digest:
        """Stage a small document and return its digest. Staging what is there is harmless."""

    def draft(self, digest: Digest | None = None) -> Draft:
        """Start a blob; with the digest it shall have, go on with what is left of a former try."""

    def add_layer(self, record: LayerRecord) -> None:
        """Tell the intake of a layer just sealed, so that `layer_with_diff_id` finds it."""

    def adopt(self, path: str, digest: Digest, size: int) -> bool:
        """Stage the file at `path` by hard link or reflink; False where that cannot be done.

        The caller verifies the content through `open(digest)` before anything is committed.
        """

    def scratch(self) -> IO[bytes]:
        """An unnamed temporary file on the store's file system, gone when closed."""


class Placed(Protocol):
    """A file that is all zeros, whose bytes come in any order."""

    def place(self, offset: int, data: memoryview) -> None:
        """Write `data` at `offset`; any thread may."""


class StoredBlobs(Protocol):
    """Stored blobs, held open or leased by the caller, for a sink to write out."""

    def read(self, digest: Digest) -> bytes:
        """A whole document, verified. Raises Damaged."""

    def open(self, digest: Digest) -> IO[bytes]:
        """A blob for reading; the reader verifies it as it streams."""

    def path(self, digest: Digest) -> str:
        """Path of the blob's file, for hard links."""

    def layer(self, digest: Digest) -> LayerRecord | None:
        """The layer's record, or None where the blob is not known as a layer."""
