"""ingest/: blobs still arriving, invisible to everyone until the commit.

Each load works in a directory of its own, kept alive by a locked token (filelocking.py): gc takes
what no live process holds, at once, without waiting for an age. What a load finds already in the
store gets a second name in its directory: a hard link. So a concurrent rmi cannot take it away; if
the blob has left the store by the time of the commit, the link puts it back.

A part is a draft whose digest is known before its bytes (a pull): when its load fails, or its
process dies, the part stays in ingest/ for a day, and the next load that wants the blob renames it
into its own directory and goes on. A part at rest belongs to nobody, one in a directory to its
load: a rename decides who gets it, and no lock is needed.

A blob that was uploaded (uploads.py) is at rest too, whole and verified. An ingest that looks for
uploads gives it a second name in its directory, and so do others beside it.
"""

from __future__ import annotations

import os
import stat
from io import BufferedRandom, FileIO

from casstore.backends.local import refused, told
from casstore.backends.local.blobs import StoreFile
from casstore.backends.local.leftovers import BLOB, PART, put_parts_to_rest, rescue_dead
from casstore.backends.local.tokens import Token
from casstore.backends.lookups import PinningLookups, asked_once
from casstore.errors import Damaged, Refused, StorageError
from casstore.files import durable
from casstore.files.filecopy import copy_file
from casstore.files.placedfile import start_writeback
from casstore.files.trees import remove_tree
from casstore.model.digest import Digest, sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import IO, Any, TypeVar

    from casstore.backends.local.blobs import BlobDirectory
    from casstore.ports.view import View

    T = TypeVar("T")

    MakeRoom = Callable[[], bool]  # called when the disk is full; True if it could free anything

_writing = told("write to the store")


class Ingest:
    """The staging directory of one load; the `Intake` that sources write to."""

    def __init__(
        self,
        root: str,
        blobs: BlobDirectory,
        view: Callable[[], View],
        make_room: Callable[[], bool] = lambda: False,
        max_layer_size: int | None = None,
        *,
        digests_only: Callable[[], bool] | None = None,
        with_uploads: bool = False,
    ) -> None:
        """Begin to stage; raises StorageError.

        `make_room` is called when the disk is full; True if it could free anything.
        """
        self._with_uploads = with_uploads
        self._view = view
        found = PinningLookups(view, self.has, self.open)
        self.read, self.manifest_of = found.read, found.manifest_of
        self.layer, self.layer_with_diff_id = found.layer, found.layer_with_diff_id
        self.add_layer, self.layers = found.add_layer, found.layers
        self._digests_only = asked_once(digests_only)
        self.max_layer_size = max_layer_size
        self.make_room = make_room
        self._area = os.path.join(root, "ingest")
        self._blobs = blobs
        self._token = Token(self._area, "load")
        self.directory = os.path.join(self._area, self._token.name)
        try:
            durable.make_directory(self.directory)
            # Whoever owns a file can change it, whatever its mode, and so can who may write it.
            self._trusted = frozenset((os.geteuid(), os.stat(self._area).st_uid))
        except OSError as error:
            self._token.release()
            raise refused(error, "write to the store") from None
        self.not_linked = 0  # blobs that are copied, for another user could change them
        self._count = 0
        self._rescued = False  # parts of dead processes were looked for
        self._staged: dict[Digest, tuple[str, int]] = {}  # new here: path, size
        self._pinned: dict[Digest, tuple[str, int]] = {}  # found in the store: path of our link
        self._taken_up: dict[Digest, tuple[int, int]] = {}  # of uploads: which file each is
        self.named: list[Digest] = []

    @property
    def digests_only(self) -> bool:
        """Whether a layer that comes compressed is held to its digest and size, and not read."""
        return self._digests_only()

    # Look-ups that pin

    def has(self, digest: Digest) -> int | None:
        known = self._staged.get(digest) or self._pinned.get(digest)
        if known is not None:
            return known[1]
        size = self._view().blob_size(digest)
        if size is None or not self._pin(digest, size):
            return self._take_up(digest) if self._with_uploads else None
        return size

    @told("keep a blob that was uploaded")
    def _take_up(self, digest: Digest) -> int | None:
        """Give an uploaded blob a second name here; its size, or None if there is none."""
        source, target = os.path.join(self._area, BLOB + digest.hex), self._path(digest.hex)
        try:
            if not durable.share(source, target):
                copy_file(source, target)
        except FileNotFoundError:
            return None
        status = os.lstat(target)
        self._staged[digest] = (target, status.st_size)
        self._taken_up[digest] = (status.st_dev, status.st_ino)
        return status.st_size

    @told("keep a blob that is in the store")
    def _pin(self, digest: Digest, size: int) -> bool:
        """Give a stored blob a second name here; False if it is gone or not of its size."""
        source, target = self._blobs.path(digest), self._path(digest.hex)
        try:
            if not durable.share(source, target):
                copy_file(source, target)
        except (FileNotFoundError, IsADirectoryError):
            return False  # an rmi was quicker, or it is damaged: the load brings it anew
        if os.lstat(target).st_size != size:
            os.unlink(target)  # damaged: the fresh copy replaces it
            return False
        self._pinned[digest] = (target, size)
        return True

    # Staging

    @told("read what is staged")
    def open(self, digest: Digest) -> IO[bytes]:
        if self.has(digest) is None:
            raise Damaged(f"blob {digest} is missing")
        path, _ = self._staged.get(digest) or self._pinned[digest]
        return StoreFile(path, f"read blob {digest}")

    def add(self, data: bytes) -> Digest:
        digest = sha256(data)
        if self.has(digest) is None:
            draft = self.draft()
            try:
                draft.write(data)
                draft.seal(digest, len(data))
            finally:
                draft.discard()  # harmless after seal
        return digest

    @_writing
    def draft(self, digest: Digest | None = None) -> _Draft:
        if digest is not None:
            return self._part(digest)
        self._count += 1
        return _Draft(self, self._path(f"draft-{self._count}"))

    def _part(self, digest: Digest) -> _Draft:
        if not self._rescued:
            self._rescued = True
            rescue_dead(self._area)
        name = PART + digest.hex
        if not os.path.lexists(self._path(name)):
            durable.take(os.path.join(self._area, name), self._path(name))
        return _Draft(self, self._path(name), part=True)

    def try_writing(self, write: Callable[..., T], *args: object) -> T:
        """What `write` returns; done again as long as the disk is full and room can be made."""
        return try_writing(self.make_room, write, *args)

    @_writing
    def adopt(self, path: str, digest: Digest, size: int) -> bool:
        if self.has(digest) is not None:
            return True
        target = self._path(digest.hex)
        if not durable.share(path, target):
            return False
        status = os.lstat(target)
        if status.st_uid not in self._trusted or status.st_mode & 0o022:
            os.unlink(target)
            self.not_linked += 1
            return False
        if status.st_size != size:
            os.unlink(target)
            raise Refused(f"blob {digest} has another size than its descriptor says")
        self._staged[digest] = (target, size)
        return True

    @_writing
    def scratch(self) -> IO[bytes]:
        self._count += 1
        path = self._path(f"scratch-{self._count}")
        file = self.try_writing(_Scratch, path, self)
        try:
            os.unlink(path)
        except BaseException:
            file.close()
            raise
        return BufferedRandom(file)

    @_writing
    def seal(self, path: str, digest: Digest, size: int) -> None:
        """Take a finished draft over (called by the draft)."""
        if digest in self._staged or digest in self._pinned:
            os.unlink(path)  # the same blob twice in one load
            return
        self._staged[digest] = (path, size)

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    @_writing
    def keep_only(self, wanted: set[Digest]) -> None:
        """Give up the new blobs that are not wanted after all."""
        for digest in self._staged.keys() - wanted:
            path, _ = self._staged.pop(digest)
            os.unlink(path)

    # The commit, and the end

    @_writing
    def publish(self, known_among: Callable[[Sequence[Digest]], set[Digest]]) -> None:
        blobs = self._blobs
        staged = self.staged()
        known = known_among([digest for _, digest, _ in staged])
        moves = [
            (path, digest)
            for path, digest, size in staged
            if digest not in known or blobs.size(digest) != size
        ]
        back = [
            (path, digest) for path, digest, size in self.pinned() if blobs.size(digest) != size
        ]
        if back:
            durable.sync_files(path for path, _ in back)
        self.named = [digest for _, digest in moves if digest not in known]
        blobs.publish(moves + back)

    def staged(self) -> list[tuple[str, Digest, int]]:
        """New blobs: path, digest, size."""
        return [(path, digest, size) for digest, (path, size) in self._staged.items()]

    def pinned(self) -> list[tuple[str, Digest, int]]:
        """Blobs that were found in the store: path of our link, digest, size."""
        return [(path, digest, size) for digest, (path, size) in self._pinned.items()]

    @_writing
    def flush(self) -> None:
        """Make the content of all new blobs durable. No lock is needed."""
        durable.sync_files(path for path, _ in self._staged.values())

    def close(self, *, keep_parts: bool = False, drop_uploads: bool = False) -> list[str]:
        """Remove the directory and what is left in it; parts may stay for a later load.

        Returns:
            A line for what could not be removed. It is no error, for the load has ended, well or
            not: gc takes it.
        """
        problems: list[str] = []
        if not self._token.is_mine:  # in a forked child: it is the parent's
            return problems
        try:
            if keep_parts:
                put_parts_to_rest(self.directory, self._area)
            remove_tree(self.directory)
            if drop_uploads:
                self._drop_uploads()
        except OSError as error:
            problems.append(str(durable.storage_error(error, "cannot remove temporary files")))
        except StorageError as error:
            problems.append(str(error))
        self._token.release()
        return problems

    def _drop_uploads(self) -> None:
        """Unlink the uploads that were taken up; not what has come in the place of one."""
        for digest, file in self._taken_up.items():
            path = os.path.join(self._area, BLOB + digest.hex)
            try:
                status = os.lstat(path)
                if (status.st_dev, status.st_ino) == file:
                    os.unlink(path)
            except FileNotFoundError:
                pass


class _Scratch(StoreFile):
    """A file that makes room where the disk is full."""

    def __init__(self, path: str, ingest: Ingest) -> None:
        super().__init__(path, "read a temporary file", "x+")
        self._ingest = ingest

    def write(self, data: Any) -> int:
        return self._ingest.try_writing(super().write, data)


class _Draft:
    """A blob being written."""

    def __init__(self, ingest: Ingest, path: str, *, part: bool = False) -> None:
        self._ingest, self._path, self._part = ingest, path, part
        self._file: IO[bytes] = _open_part(path) if part else ingest.try_writing(FileIO, path, "x")
        self.offset = self._file.seek(0, os.SEEK_END) if part else 0
        self._done = False
        self._writing = Writing(self._file, ingest.make_room)

    @told("read what is staged")
    def reread(self) -> IO[bytes]:
        return StoreFile(self._path, "read what is staged")

    @_writing
    def write(self, data: bytes | memoryview) -> int:
        return self._writing.write(data)

    @_writing
    def seal(self, digest: Digest, size: int) -> None:
        os.fchmod(self._file.fileno(), durable.BLOB_MODE)
        actual = os.fstat(self._file.fileno()).st_size
        self._file.close()
        self._done = True
        if actual != size:
            raise Refused(f"blob {digest} has {actual} bytes, not {size}")
        self._ingest.seal(self._path, digest, size)

    @_writing
    def discard(self) -> None:
        if not self._done:
            self._done = True
            self._file.close()
            os.unlink(self._path)

    @_writing
    def leave(self) -> None:
        if not self._part:
            self.discard()
        elif not self._done:
            self._done = True
            self._file.close()


def _open_part(path: str) -> IO[bytes]:
    """Open a part to continue it; start afresh unless it is a regular file with one name."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        status = os.lstat(path)
        if not (stat.S_ISREG(status.st_mode) and status.st_nlink == 1):
            os.unlink(path)
        else:
            os.chmod(path, 0o600)  # it may have been complete already
    except FileNotFoundError:
        pass
    return FileIO(path, "r+", opener=lambda path, _: os.open(path, flags | os.O_CREAT, 0o600))


def try_writing(make_room: MakeRoom, write: Callable[..., T], *args: object) -> T:
    """What `write` returns; done again as long as the disk is full and room can be made."""
    while True:
        try:
            return write(*args)
        except OSError as error:
            if not durable.is_full(error) or not make_room():
                raise durable.storage_error(error, "cannot write to the store") from None


class Writing:
    """The end of an open file, to which bytes are added."""

    def __init__(self, file: IO[bytes], make_room: MakeRoom) -> None:
        """`file` is not buffered, and stands at its end."""
        self._file, self._make_room = file, make_room
        self._unflushed = 0  # bytes that the disk has not been told to write

    def write(self, data: bytes | memoryview) -> int:
        """Write all of `data`. Raises StorageError."""
        written = 0
        view = memoryview(data)
        while written < len(view):
            written += try_writing(self._make_room, self._file.write, view[written:])
        self._unflushed += written
        if self._unflushed >= durable.BEGUN:
            end = self._file.tell()
            start_writeback(self._file.fileno(), end - self._unflushed, self._unflushed)
            self._unflushed = 0
        return written
