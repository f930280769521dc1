"""contents/<64 hex>: what is in a layer, a table for each blob that somebody has looked into.

Derived data. A table is written in ingest/, to a file that is a token of its own: locked as long as
its process lives, so that gc takes what a crash has left. It gets its name by a rename. Nothing is
flushed: who reads a table checks it, and makes one again that a power cut has damaged.
"""

from __future__ import annotations

import os
import stat
from io import BufferedRandom, FileIO

from casstore.backends.local import refused
from casstore.backends.local.blobs import open_directory, unlink_table
from casstore.backends.local.reserve import nearly_full
from casstore.backends.local.tokens import Token
from casstore.errors import StorageError
from casstore.files import durable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO, BinaryIO

    from casstore.backends.local.blobs import BlobDirectory
    from casstore.model.digest import Digest
    from casstore.model.storage import StoredFile

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class ContentsDirectory:
    """The tables of a store; ports/contents.py says what each method promises."""

    def __init__(self, root: str, ingest: str, blobs: BlobDirectory) -> None:
        self._root, self._ingest, self._blobs = root, ingest, blobs
        self.directory = blobs.contents

    def path(self, layer: Digest) -> str:
        """The file of a table, whether it is there or not."""
        return os.path.join(self.directory, layer.hex)

    def open(self, layer: Digest) -> BinaryIO | None:
        directory = open_directory(self.directory)
        if directory is None:
            return None
        try:
            descriptor = os.open(layer.hex, _READ, dir_fd=directory)
        except OSError:
            return None
        finally:
            os.close(directory)
        try:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return FileIO(descriptor)
        except OSError:
            pass
        os.close(descriptor)
        return None

    def draft(self) -> IO[bytes] | None:
        # The layout of another tool has no ingest/, and gets none by being looked at.
        if not (os.access(self._root, os.W_OK) and os.path.isdir(self._ingest)):
            return None
        try:
            return _Draft(Token(self._ingest, "contents"))
        except StorageError:
            return None

    def keep(self, draft: IO[bytes], layer: Digest) -> None:
        assert isinstance(draft, _Draft)
        try:
            draft.flush()
            if self._takes(layer):
                os.fchmod(draft.fileno(), durable.BLOB_MODE)
                durable.take(draft.token.path, self.path(layer))
        except (OSError, StorageError):
            pass  # the next reader makes it again
        finally:
            draft.close()

    def _takes(self, layer: Digest) -> bool:
        """Whether there is room for the table of a layer, and a blob that it belongs to."""
        if nearly_full(self._root) or self._blobs.size(layer) is None:
            return False
        durable.make_directory(self.directory)
        return not os.path.islink(self.directory)

    def discard(self, layers: Sequence[Digest]) -> None:
        directory = open_directory(self.directory)
        if directory is None:
            return
        try:
            for layer in layers:
                unlink_table(layer.hex, directory)
        finally:
            os.close(directory)

    def walk(self) -> Iterator[StoredFile]:
        """Each entry of the directory: its name, its digest if it has the form, its status."""
        from casstore.model.storage import stored_file

        directory = open_directory(self.directory)
        if directory is None:
            return
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue  # it went meanwhile
                    yield stored_file(entry.name, status)
        except OSError as error:
            raise refused(error, "list the tables of contents") from None
        finally:
            os.close(directory)


class _Draft(BufferedRandom):
    """A table being written; its token goes when it is closed."""

    def __init__(self, token: Token) -> None:
        self.token = token
        super().__init__(FileIO(token.descriptor, "r+b", closefd=False))

    def close(self) -> None:
        try:
            super().close()
        except OSError:
            pass  # what a full disk did not take is not kept
        finally:
            self.token.release()
