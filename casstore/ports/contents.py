"""Contents of layers: for each layer blob a table of the files in it, made when it is first read.

A table is derived from the blob, never needed for correctness, and made again where it is missing.
It goes with its blob.
"""

from __future__ import annotations

from casstore.startup.typed import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO

    from casstore.model.digest import Digest
    from casstore.model.fileentry import FileEntry
    from casstore.model.storage import StoredFile


class Contents(Protocol):
    """What is in one layer. Entries come in the order of `fileentry.sort_key`.

    At most one WHITEOUT, one OPAQUE and one other entry have the same name, and come in this order.
    What a later entry of the same layer has replaced is not there.
    """

    def entries(self, start: bytes = ...) -> Iterator[FileEntry]:
        """All from the name `start` on, which need not be there. Raises Damaged, StorageError."""

    def at(self, name: bytes) -> Sequence[FileEntry]:
        """Those with exactly this name. Raises Damaged, StorageError."""

    @property
    def hard_links(self) -> Sequence[FileEntry]:
        """The HARD_LINK entries: hard links to files of lower layers."""


class ContentsTables(Protocol):
    """Where a store keeps the tables, each as a file whose form the backend does not know."""

    def open(self, layer: Digest) -> IO[bytes] | None:
        """The table of a layer blob, for reading anywhere in it; None where there is none.

        A read raises OSError, for a table that cannot be read is made again.
        """

    def draft(self) -> IO[bytes] | None:
        """A file to write a table to, and to read it from; None where the store takes none.

        Close it if it is not kept; what is not closed ends with the process. A write raises
        OSError, on a full disk for example.
        """

    def keep(self, draft: IO[bytes], layer: Digest) -> None:
        """Put a draft in place of the layer's table, if there is room, and close it.

        It appears whole or not at all; after a power cut it may be damaged, so its reader checks
        it. What cannot be kept, or has no blob any more, is dropped without a word: the next reader
        makes it again.
        """

    def discard(self, layers: Sequence[Digest]) -> None:
        """Remove tables; one that is missing, or cannot be removed, is not an error."""

    def walk(self) -> Iterator[StoredFile]:
        """Everything that is where tables are, in no order; what is no table has no digest.

        Raises StorageError, also on the way.
        """
