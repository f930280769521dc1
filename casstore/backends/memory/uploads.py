"""Uploads in memory."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from io import BytesIO
from typing import IO, TYPE_CHECKING

from casstore.backends.resting import REST_SECONDS, UPLOAD_ID_LENGTH
from casstore.clock import current_time
from casstore.errors import Locked, NotFound, Refused, WrongOffset
from casstore.model.digest import sha256

if TYPE_CHECKING:
    from collections.abc import Iterator

    from casstore.model.digest import Digest
    from casstore.ports.uploads import Source

_READ = 256 << 10
_REST = int(REST_SECONDS * 1e9)


class _Upload:
    def __init__(self) -> None:
        self.data = bytearray()
        self.touched = current_time()
        self.writer = threading.Lock()


class MemoryUploads:
    """The uploads of a store."""

    def __init__(self) -> None:
        self._uploads: dict[str, _Upload] = {}
        self._blobs: dict[Digest, tuple[bytes, int]] = {}  # and when somebody last asked

    def begin(self) -> str:
        self.drop_old()
        upload = os.urandom(UPLOAD_ID_LENGTH // 2).hex()
        self._uploads[upload] = _Upload()
        return upload

    def size(self, upload: str) -> int:
        return len(self._of(upload).data)

    def append(self, upload: str, source: Source, offset: int | None = None) -> int:
        with self._locked(upload) as one:
            if offset is not None and offset != len(one.data):
                raise WrongOffset(offset, len(one.data))
            while piece := source.read(_READ):
                one.data += piece
                one.touched = current_time()
            return len(one.data)

    def finish(self, upload: str, digest: Digest) -> int:
        with self._locked(upload) as one:
            data = bytes(one.data)
            found = sha256(data)
            if self._uploads.pop(upload, None) is None:
                raise _unknown()
            if found != digest:
                raise Refused(f"the upload is not {digest}: its digest is {found}")
            self._blobs[digest] = data, current_time()
            return len(data)

    def cancel(self, upload: str) -> None:
        if self._uploads.pop(upload, None) is None:
            raise _unknown()

    def find(self, digest: Digest) -> int | None:
        self.drop_old()
        if digest not in self._blobs:
            return None
        data, _ = self._blobs[digest]
        self._blobs[digest] = data, current_time()
        return len(data)

    def open(self, digest: Digest) -> IO[bytes]:
        if digest not in self._blobs:
            raise NotFound(f"no such upload: {digest}")
        return BytesIO(self._blobs[digest][0])

    def drop(self, digest: Digest, content: bytes) -> None:
        """Drop a finished blob, unless another upload of it has come in its place."""
        if self.content(digest) is content:
            del self._blobs[digest]

    def content(self, digest: Digest) -> bytes | None:
        """A finished blob, for an ingest."""
        return self._blobs.get(digest, (None, 0))[0]

    def byte_count(self) -> int:
        """Bytes of all that is here."""
        unfinished = sum(len(one.data) for one in self._uploads.values())
        return unfinished + sum(len(data) for data, _ in self._blobs.values())

    def drop_old(self) -> tuple[int, int]:
        """Drop what has had its day: how many, and their bytes."""
        before = current_time() - _REST
        old = [name for name, one in self._uploads.items() if one.touched <= before]
        blobs = [digest for digest, (_, touched) in self._blobs.items() if touched <= before]
        sizes = [len(self._uploads.pop(name).data) for name in old]
        sizes += [len(self._blobs.pop(digest)[0]) for digest in blobs]
        return len(sizes), sum(sizes)

    def _of(self, upload: str) -> _Upload:
        try:
            return self._uploads[upload]
        except KeyError:
            raise _unknown() from None

    @contextmanager
    def _locked(self, upload: str) -> Iterator[_Upload]:
        one = self._of(upload)
        if not one.writer.acquire(blocking=False):
            raise Locked("somebody else is writing to the upload")
        try:
            one.touched = current_time()
            yield one
        finally:
            one.writer.release()


def _unknown() -> NotFound:
    return NotFound("no such upload")
