"""A directory as named members: regular files in it, and links that stay in it.

Never opens a fifo or a device, which could wait for ever, nor what a link outside leads to.
"""

from __future__ import annotations

import os
import stat

from casstore.errors import Refused, quote
from casstore.startup.typed import cast
from casstore.transfer.membername import MAX_MEMBERS, NoSuchMember, cannot_open, safe_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import IO, Self

    from casstore.progress import Task

_READ = 1 << 20


class DirectoryArchive:
    """A directory of files; see `archive.Archive`."""

    def __init__(self, path: str, task: Task | None = None) -> None:
        """`task` counts the bytes that are read."""
        self.label = path
        self._task = task
        self._root = os.path.realpath(path)
        self.stem: str | None = os.path.basename(self._root) or None

    @property
    def names(self) -> Collection[str]:
        found: set[str] = set()
        pending = [""]
        while pending:
            above = pending.pop()
            try:
                entries = list(os.scandir(os.path.join(self._root, above)))
            except OSError as error:
                raise cannot_open(os.path.join(self._root, above), error) from None
            for entry in entries:
                name = f"{above}/{entry.name}" if above else entry.name
                found.add(name)
                if len(found) > MAX_MEMBERS:
                    raise Refused(f"{self.label} exceeds the limit of {MAX_MEMBERS} files")
                if entry.is_dir(follow_symlinks=False):
                    pending.append(name)
        return found

    def has(self, name: str) -> bool:
        try:
            return stat.S_ISREG(os.stat(self._locate(name)).st_mode)
        except (Refused, OSError):
            return False

    def size(self, name: str) -> int:
        with self.open(name) as file:
            return os.fstat(file.fileno()).st_size

    def read(self, name: str, limit: int) -> bytes:
        with self.open(name) as file:
            data = bytearray()
            while chunk := file.read(min(_READ, limit + 1 - len(data))):
                data += chunk
        if len(data) > limit:
            raise Refused(f"{quote(name)} exceeds the limit of {limit} bytes")
        return bytes(data)

    def open(self, name: str) -> IO[bytes]:
        path = self._locate(name)
        try:
            # NONBLOCK: to open a fifo would wait for its writer. NOFOLLOW: `path` has no link.
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError as error:
            import errno

            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise NoSuchMember(name) from None
            if error.errno == errno.ENXIO:  # a socket
                raise Refused(f"{quote(name)} is not a regular file") from None
            raise cannot_open(path, error) from None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise Refused(f"{quote(name)} is not a regular file")
        if self._task is not None:
            from casstore.transfer.counted import CountedFile

            return cast("IO[bytes]", CountedFile(fd, self._task))
        return cast("IO[bytes]", open(fd, "rb", buffering=0))

    def path(self, name: str) -> str | None:
        return self._locate(name)

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _locate(self, name: str) -> str:
        path = os.path.realpath(os.path.join(self._root, safe_name(name)))
        if os.path.commonpath((self._root, path)) != self._root:
            raise Refused(f"{quote(name)} is a link that leads out of {quote(self.label)}")
        return path
