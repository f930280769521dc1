"""blobs/sha256/<64 hex>: immutable files, each named by the sha256 of its bytes.

Every path is made from a parsed digest, and no symbolic link is followed. A file gets its name
here only when its content is complete and on the disk (durable.py).
"""

from __future__ import annotations

import os
import stat
import time
from io import FileIO

from casstore.backends.local import refused, told
from casstore.errors import Damaged
from casstore.model.digest import Digest
from casstore.startup import length_hint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any, TypeVar

    from casstore.errors import CasstoreError
    from casstore.model.storage import StoredFile
    from casstore.ports.view import Digests

    T = TypeVar("T")

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
DOCUMENT_LIMIT = 4 << 20
_AT_ONCE = 8192  # names of a discard that are in memory
_TOGETHER = 8192  # names or digests that are compared at a time
_FEW = 250_000  # names that may be in memory: 30 MB
# By so many unlinks is the disk judged, and seconds for one from which on it makes them wait.
_SAMPLE = 16
_WAITING = 50e-6
_FOREVER = float("inf")

_LISTING = "list the blobs"


class StoreFile(FileIO):
    """An open file of the store: what cannot be read raises StorageError.

    Whoever reads it writes elsewhere, or reads another's file, and need not ask which has failed.
    """

    def __init__(self, file: int | str, doing: str, mode: str = "r") -> None:
        """Open a path, or take over a descriptor. Raises OSError.

        Args:
            file: the path or the descriptor.
            doing: what is said of reading it, as in `refused`.
            mode: as of FileIO.
        """
        super().__init__(file, mode)
        self._doing = doing

    def read(self, size: int | None = -1) -> bytes:
        try:
            return super().read(-1 if size is None else size)
        except OSError as error:
            raise refused(error, self._doing) from None

    def readall(self) -> bytes:
        try:
            return super().readall()
        except OSError as error:
            raise refused(error, self._doing) from None

    def readinto(self, buffer: Any) -> int:
        try:
            return super().readinto(buffer)
        except OSError as error:
            raise refused(error, self._doing) from None


class BlobDirectory:
    """The blobs of a store."""

    def __init__(self, root: str) -> None:
        self.directory = os.path.join(root, "blobs", "sha256")
        self.contents = os.path.join(root, "contents")  # a table of some, under the same names
        self._waits = False  # unlinks take their time here

    def path(self, digest: Digest) -> str:
        """The file of a blob, whether it is there or not."""
        return os.path.join(self.directory, digest.hex)

    file_of = path

    @told("look for a blob")
    def size(self, digest: Digest) -> int | None:
        """Bytes in the file; None if there is no regular file of that name."""
        try:
            status = os.lstat(self.path(digest))
        except FileNotFoundError:
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    @told("look for a blob")
    def written(self, digest: Digest) -> int | None:
        """When the file's content was written (ns); None if there is no such file."""
        try:
            return os.lstat(self.path(digest)).st_mtime_ns
        except FileNotFoundError:
            return None

    def open(self, digest: Digest) -> StoreFile:
        """Open a blob. The reader verifies the content as it streams.

        Raises:
            Damaged: it is not there, or no regular file.
            StorageError: the operating system does not open it.
        """
        try:
            descriptor = os.open(self.path(digest), _READ)
            try:
                regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
                file = StoreFile(descriptor, f"read blob {digest}")
            except OSError:
                os.close(descriptor)
                raise
        except FileNotFoundError:
            raise Damaged(f"blob {digest} is missing") from None
        except OSError as error:
            raise _cannot_open(error, digest) from None
        if not regular:
            file.close()
            raise Damaged(f"blob {digest} is not a regular file")
        return file

    def read(self, digest: Digest, limit: int = DOCUMENT_LIMIT) -> bytes:
        """A whole document, verified.

        Raises:
            Damaged: missing, larger than `limit`, or not the bytes of that digest.
            StorageError: it cannot be read.
        """
        from casstore.model.digest import sha256

        with self.open(digest) as file:
            data = file.read(limit + 1)
        if len(data) > limit or sha256(data) != digest:
            raise Damaged(f"blob {digest} is corrupt: its content has another digest")
        return data

    def content(self, digest: Digest, limit: int) -> bytes | None:
        """A whole small blob as it is, for a caller that verifies it; None where it is missing.

        Of a file of more than `limit` bytes, one byte more than that.

        Raises:
            Damaged: no regular file.
            StorageError: it cannot be opened, or read.
        """
        try:
            descriptor = os.open(f"{self.directory}/{digest.hex}", _READ)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _cannot_open(error, digest) from None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise Damaged(f"blob {digest} is not a regular file")
            return os.read(descriptor, min(status.st_size, limit) + 1)
        except OSError as error:
            raise refused(error, f"read blob {digest}") from None
        finally:
            os.close(descriptor)

    @told("publish blobs")
    def publish(self, staged: Iterable[tuple[str, Digest]]) -> None:
        """Give flushed files their digests as names; durable when it returns.

        Raises:
            Damaged: somebody put a directory in the place of one.
            StorageError: the operating system refuses; some may have their names.
        """
        from casstore.files import durable

        moves = ((path, self.path(digest)) for path, digest in staged)
        try:
            durable.publish(moves, self.directory)
        except IsADirectoryError as error:
            raise Damaged(
                f"there is a directory in the place of blob {os.path.basename(error.filename2)};"
                " casstore fsck --repair puts it aside"
            ) from None

    def discard(self, digests: Iterable[Digest]) -> list[str]:
        """Unlink blobs, each after its table; one that is already gone is not an error.

        Returns:
            A line for each file that could not be removed.
        """
        from itertools import islice

        ahead, problems = iter(digests), []
        while some := list(islice(ahead, _AT_ONCE)):
            problems += self.discard_some(some)[1]
        return problems

    def discard_some(
        self, digests: Sequence[Digest], seconds: float = _FOREVER
    ) -> tuple[int, list[str]]:
        """Unlink blobs, in order, until so many seconds are over; before each its table.

        Returns:
            How many of them this has come to, and a line for each file that could not be removed.
        """
        from casstore.files import durable

        until = time.monotonic() + seconds
        problems = []
        try:
            directory = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            return len(digests), [
                str(durable.storage_error(error, "cannot open the blob directory"))
            ]
        names = [digest.hex for digest in digests]
        ahead = iter(names)
        tables = open_directory(self.contents)
        try:
            for name, reason in self._unlink(directory, tables, ahead, until):
                digest = Digest.of_hex(name)
                if isinstance(reason, IsADirectoryError):
                    problems += self._discard_directory(digest)
                else:
                    problems.append(
                        str(durable.storage_error(reason, f"cannot remove blob {digest}"))
                    )
        finally:
            os.close(directory)
            if tables is not None:
                os.close(tables)
        return len(names) - length_hint(ahead), problems

    def _unlink(
        self, directory: int, tables: int | None, names: Iterator[str], until: float
    ) -> list[tuple[str, OSError]]:
        """Unlink what a list's iterator gives; returns what could not be, and why.

        A table goes first, so that a crash leaves none without its blob.
        """
        from itertools import islice

        failed: list[tuple[str, OSError]] = []

        def unlink_each(some: Iterator[str]) -> None:
            for name in some:
                if tables is not None:
                    unlink_table(name, tables)
                try:
                    os.unlink(name, dir_fd=directory)
                except FileNotFoundError:
                    pass
                except OSError as error:
                    failed.append((name, error))
                if time.monotonic() > until:
                    return

        if not self._waits:
            begun = time.perf_counter()
            unlink_each(islice(names, _SAMPLE))
            self._waits = time.perf_counter() - begun > _SAMPLE * _WAITING
        if self._waits and length_hint(names) > _SAMPLE:
            try:
                from casstore.files.parallel import side_by_side
            except (ImportError, OSError):
                pass  # no descriptor is left, say: after a commit, that must not stop us
            else:
                side_by_side(unlink_each, names)
        unlink_each(names)
        return failed

    def _discard_directory(self, digest: Digest) -> list[str]:
        """Remove a directory in a blob's place if it is empty: its content is not ours."""
        try:
            os.rmdir(self.path(digest))
        except OSError:
            return [f"{digest} is a directory that is not empty; fsck --repair puts it aside"]
        return []

    def strangers(self, known: Digests) -> Iterator[StoredFile]:
        """As `walk`, less the blobs in `known`: their files are not looked at."""
        try:
            yield from self._strangers(known)
        except OSError as error:
            raise refused(error, _LISTING) from None

    def _strangers(self, known: Digests) -> Iterator[StoredFile]:
        from casstore.model.storage import stored_file

        try:
            names = self._unknown(known)
        except FileNotFoundError:
            return  # no blob ever came, and an empty directory is easily lost
        for name in sorted(names):
            try:
                status = os.lstat(os.path.join(self.directory, name))
            except FileNotFoundError:
                continue  # an rmi beside us took it
            yield stored_file(name, status)

    def _unknown(self, known: Digests) -> set[str]:
        """The names in the directory less those of the blobs in `known`."""
        from casstore.backends.local.sameblobs import xor_of_digests, xor_of_names

        count, all_names = len(known), None
        if count <= _FEW:
            all_names = os.listdir(self.directory)  # half the time of scandir
        if all_names is None or len(all_names) == count:
            listed = self._listed() if all_names is None else _in_parts(iter(all_names))
            if xor_of_names(listed) == xor_of_digests(_in_parts(iter(known))):
                return set()
        names = set(os.listdir(self.directory) if all_names is None else all_names)
        names.difference_update(map(bytes.hex, known))
        return names

    def _listed(self) -> Iterator[list[str]]:
        with os.scandir(self.directory) as entries:
            yield from _in_parts(entry.name for entry in entries)

    def walk(self) -> Iterator[StoredFile]:
        """Each entry of the directory: its name, its digest if it has the form, its status."""
        try:
            yield from self._walk()
        except OSError as error:
            raise refused(error, _LISTING) from None

    def _walk(self) -> Iterator[StoredFile]:
        from casstore.model.storage import stored_file

        try:
            found = os.scandir(self.directory)
        except FileNotFoundError:
            return  # as above
        with found as entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # an rmi beside us took it
                yield stored_file(entry.name, status)


def open_directory(path: str) -> int | None:
    """A descriptor of the directory of tables; None where there is none, or a link to one."""
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None


def unlink_table(name: str, directory: int) -> None:
    """Unlink a table, if it is there; what cannot go is of no consequence."""
    try:
        os.unlink(name, dir_fd=directory)
    except OSError:
        pass


def _cannot_open(error: OSError, digest: Digest) -> CasstoreError:
    import errno

    if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):  # a link, a socket, a directory
        return Damaged(f"blob {digest} is not a regular file")
    return refused(error, f"read blob {digest}")


def _in_parts(items: Iterator[T]) -> Iterator[list[T]]:
    from itertools import islice

    while some := list(islice(items, _TOGETHER)):
        yield some
