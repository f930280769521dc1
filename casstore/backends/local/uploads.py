"""Uploads in ingest/: a file for each, at rest between two requests; FORMAT.md has their names.

    begin          upload-<32 hex>    empty
    append         the same           locked (flock) while bytes are added
    finish         blob-<64 hex>      verified, flushed, renamed; ingest/ flushed
    commit         blobs/sha256/…     by a link that an ingest made, which then drops blob-<64 hex>

Whoever is killed leaves a file at rest, which has its day like a part of a pull (leftovers.py).
What a power cut leaves of an upload may be zeros: finishing it reads it again, unless the same
process has hashed every byte as it came.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections import OrderedDict
from contextlib import contextmanager
from io import FileIO

from casstore.backends.local import told
from casstore.backends.local.blobs import StoreFile
from casstore.backends.local.ingest import Writing, try_writing
from casstore.backends.local.leftovers import BLOB, UPLOAD, is_at_rest, may_rest
from casstore.backends.resting import UPLOAD_ID_LENGTH
from casstore.errors import Locked, NotFound, Refused, WrongOffset
from casstore.files import durable
from casstore.model.digest import Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from hashlib import _Hash
    from typing import IO

    from casstore.backends.local.ingest import MakeRoom
    from casstore.ports.uploads import Source

_READ = 256 << 10
_MODE = 0o600  # of an upload that is not finished
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KEPT = 1024  # hashes that a process keeps, of uploads that it has seen from their first byte


class Uploads:
    """The uploads of a store; `ports.uploads` says what each method promises."""

    def __init__(self, area: str, make_room: MakeRoom) -> None:
        """Of the directory `area`, which is there if anything is to be begun."""
        self._area, self._make_room = area, make_room

    @told("write to the store")
    def begin(self) -> str:
        upload = os.urandom(UPLOAD_ID_LENGTH // 2).hex()
        path = self._path(upload)
        with try_writing(self._make_room, _made, path) as file:
            durable.share_with_group(file.fileno(), path)
        return upload

    @told("look for an upload")
    def size(self, upload: str) -> int:
        try:
            return os.lstat(self._path(upload)).st_size
        except FileNotFoundError:
            raise _unknown() from None

    def append(self, upload: str, source: Source, offset: int | None = None) -> int:
        with self._locked(upload) as file:
            size = file.seek(0, os.SEEK_END)
            if offset is not None and offset != size:
                raise WrongOffset(offset, size)
            path = self._path(upload)
            state = _hashes.take(path, size)
            writing = Writing(file, self._make_room)
            # A piece that is written in part has its bytes in the file, and not in the hash: the
            # sizes differ then, and the file is read again.
            _hashes.keep(path, size, state)
            while piece := source.read(_READ):
                writing.write(piece)
                size += len(piece)
                if state is not None:
                    state.update(piece)
                    _hashes.keep(path, size, state)
            return size

    @told("write to the store")
    def finish(self, upload: str, digest: Digest) -> int:
        with self._locked(upload) as file:
            size = file.seek(0, os.SEEK_END)
            path = self._path(upload)
            found = Digest.of_bytes((_hashes.take(path, size) or _reread(file)).digest())
            if found != digest:
                os.unlink(path)
                raise Refused(f"the upload is not {digest}: its digest is {found}")
            os.fchmod(file.fileno(), durable.BLOB_MODE)
            os.utime(file.fileno())
            durable.sync_files([path])
            try:
                durable.publish([(path, self._blob(digest))], self._area)
            except FileNotFoundError:
                raise _unknown() from None
            return size

    @told("remove an upload")
    def cancel(self, upload: str) -> None:
        path = self._path(upload)
        try:
            os.unlink(path)
        except FileNotFoundError:
            raise _unknown() from None
        _hashes.take(path, -1)

    @told("look for an upload")
    def find(self, digest: Digest) -> int | None:
        path = self._blob(digest)
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(status.st_mode) or not is_at_rest(path):
            return None
        try:
            os.utime(path, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError:
            pass  # a read-only store, or another user's file: then it has the rest of its day
        return status.st_size

    @told("read an upload")
    def open(self, digest: Digest) -> IO[bytes]:
        path = self._blob(digest)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound(f"no such upload: {digest}") from None
        return StoreFile(descriptor, f"read blob {digest}")

    def _path(self, upload: str) -> str:
        name = UPLOAD + upload
        if not may_rest(name):
            raise _unknown()
        return os.path.join(self._area, name)

    def _blob(self, digest: Digest) -> str:
        return os.path.join(self._area, BLOB + digest.hex)

    @contextmanager
    def _locked(self, upload: str) -> Iterator[FileIO]:
        """The file of an upload, locked against other writers; its day begins again."""
        with _opened(self._path(upload)) as file:
            yield file


@told("write to the store")
def _opened(path: str) -> FileIO:
    try:
        file = _file(path, "r+")
    except PermissionError:
        _make_writable(path)
        file = _file(path, "r+")
    try:
        _take(file, path)
        os.utime(file.fileno())
    except BaseException:
        file.close()
        raise
    return file


def _make_writable(path: str) -> None:
    """Take back what a process that was killed while it finished an upload has made of its file."""
    with _file(path, "r") as file:
        _take(file, path)
        os.fchmod(file.fileno(), _MODE)
        durable.share_with_group(file.fileno(), path)


def _take(file: FileIO, path: str) -> None:
    """Lock the file of an upload. Raises Locked, and NotFound if the upload is over."""
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Locked("somebody else is writing to the upload") from None
    if not os.path.lexists(path):
        raise _unknown()  # finished, or cancelled, since it was opened


def _file(path: str, mode: str) -> FileIO:
    try:
        return FileIO(path, mode, opener=lambda path, flags: os.open(path, flags | _FLAGS))
    except FileNotFoundError:
        raise _unknown() from None


def _made(path: str) -> FileIO:
    return FileIO(path, "x", opener=lambda path, flags: os.open(path, flags, _MODE))


def _unknown() -> NotFound:
    return NotFound("no such upload")


def _reread(file: FileIO) -> _Hash:
    """The hash of a whole file."""
    import hashlib

    state = hashlib.sha256()
    file.seek(0)
    while piece := file.read(_READ):
        state.update(piece)
    return state


class _Hashes:
    """What this process has hashed of uploads; where it has not, or not all, they are read again.

    An upload is written to by one who has locked it, so nobody uses its hash beside another.
    """

    def __init__(self) -> None:
        self._states: OrderedDict[str, tuple[int, _Hash]] = OrderedDict()

    def take(self, path: str, size: int) -> _Hash | None:
        """The hash of the first `size` bytes, which are all that there are; None: nobody knows."""
        at, state = self._states.pop(path, (-1, None))
        if size == 0:
            import hashlib

            return hashlib.sha256()
        return state if at == size else None

    def keep(self, path: str, size: int, state: _Hash | None) -> None:
        if state is None:
            return
        self._states[path] = size, state
        while len(self._states) > _KEPT:
            try:
                self._states.popitem(last=False)
            except KeyError:
                return  # another thread has taken it


_hashes = _Hashes()
