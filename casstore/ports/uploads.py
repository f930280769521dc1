"""Uploads: blobs that arrive piece by piece, each from another process maybe, before any image.

An upload is known by an ID that nobody can guess, and has a day after its last byte. Once it is
finished it is a blob that no manifest names yet: found by its digest, by every process, for a day
after somebody last asked for it. An ingest that looks for uploads takes such a blob into the store,
and after its commit lets go of it (ports/ingest.py). No lock is held for any of it.
"""

from __future__ import annotations

from casstore.startup.typed import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

    from casstore.model.digest import Digest


class Source(Protocol):
    """What a piece is read from."""

    def read(self, size: int = ..., /) -> bytes:
        """Up to so many bytes, none at the end."""


class Uploads(Protocol):
    """The uploads of a store."""

    def begin(self) -> str:
        """Begin an upload, and return its ID. Raises StorageError."""

    def size(self, upload: str) -> int:
        """Bytes that have arrived. Raises NotFound."""

    def append(self, upload: str, source: Source, offset: int | None = None) -> int:
        """Add what `source` has, as it comes, and return the size after that.

        What has come stays when the source breaks off, with whatever error.

        Args:
            offset: where the piece begins, which must be where the upload ends; None: there.

        Raises:
            NotFound: there is no such upload, or it was cancelled meanwhile.
            Locked: somebody else adds to it, or finishes it, just now.
            WrongOffset: it has another size.
            StorageError: it cannot be written.
        """

    def finish(self, upload: str, digest: Digest) -> int:
        """Make a blob of it; durable on return. Returns its size.

        Raises:
            Refused: it has another digest; then the upload is gone.
            NotFound, Locked, StorageError: as `append`; then it is not.
        """

    def cancel(self, upload: str) -> None:
        """Throw it away. Raises NotFound, StorageError."""

    def find(self, digest: Digest) -> int | None:
        """Bytes of a finished blob, whose day begins again now; None if there is none."""

    def open(self, digest: Digest) -> IO[bytes]:
        """Open such a blob; it stays readable if it goes meanwhile. Raises NotFound."""
