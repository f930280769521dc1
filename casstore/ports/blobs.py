"""Blobs: immutable bytes under their digest.

A blob is there whole or not at all. Where the operating system refuses to look or to read, methods
raise StorageError, and so do the files that they hand out: not read is not the same as not there.
"""

from __future__ import annotations

from casstore.startup.typed import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import IO

    from casstore.model.digest import Digest
    from casstore.model.kept import LayerRecord
    from casstore.model.storage import StoredFile
    from casstore.ports.view import Digests


class Blobs(Protocol):
    """The blobs of a store."""

    def size(self, digest: Digest) -> int | None:
        """Bytes that are there; None if there is no such blob. Raises StorageError."""

    def written(self, digest: Digest) -> int | None:
        """When the content was written (ns); None if there is no such blob. Raises StorageError."""

    def file_of(self, digest: Digest) -> str | None:
        """Path of the blob's file, whether it is there or not; None where blobs are not files."""

    def open(self, digest: Digest) -> IO[bytes]:
        """Open a blob; it stays readable if the blob is discarded meanwhile.

        The reader verifies the content as it streams.

        Raises:
            Damaged: it is not there, or is something else than a blob.
            StorageError: it cannot be opened.
        """

    def read(self, digest: Digest, limit: int = ...) -> bytes:
        """A whole document, verified.

        Raises:
            Damaged: missing, larger than `limit`, or not the bytes of that digest.
            StorageError: it cannot be read.
        """

    def content(self, digest: Digest, limit: int) -> bytes | None:
        """A whole small blob as it is, for a caller that verifies it; None where it is missing.

        Of more than `limit` bytes, one byte more than that.

        Raises:
            Damaged: something else than a blob is there.
            StorageError: it cannot be read.
        """

    def discard(self, digests: Iterable[Digest]) -> list[str]:
        """Remove blobs, each after its table of contents; one that is already gone is not an error.

        Returns:
            A line for each blob that could not be removed.
        """

    def discard_some(
        self, digests: Sequence[Digest], seconds: float = ...
    ) -> tuple[int, list[str]]:
        """Remove blobs, in order, until so many seconds are over; with each its table of contents.

        Returns:
            How many of them this has come to, and a line for each that could not be removed.
        """

    def walk(self) -> Iterator[StoredFile]:
        """Everything that is where blobs are, in no order; what is no blob has no digest.

        Raises StorageError, also on the way.
        """

    def strangers(self, known: Digests) -> Iterator[StoredFile]:
        """As `walk`, less the blobs in `known`: these are not looked at."""


class StoredBlobs(Protocol):
    """Stored blobs, held open or leased by the caller, for a sink to write out."""

    def read(self, digest: Digest) -> bytes:
        """A whole document, verified. Raises Damaged."""

    def open(self, digest: Digest) -> IO[bytes]:
        """A blob for reading; the reader verifies it as it streams.

        Raises:
            Damaged: it is gone.
        """

    def has(self, digest: Digest) -> bool:
        """Whether something is there under this digest."""

    def path(self, digest: Digest) -> str | None:
        """Path of the blob's file, for hard links; None where blobs are not files."""

    def layer(self, digest: Digest) -> LayerRecord | None:
        """The layer's record, or None where the blob is not known as a layer."""


class Placed(Protocol):
    """A file that is all zeros, whose bytes come in any order."""

    def place(self, offset: int, data: memoryview) -> None:
        """Write `data` at `offset`; any thread may. It is there when the file is closed."""
