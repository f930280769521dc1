"""casstore.uses: when each image was last used, kept so cheaply that a read may write it.

One line for each use, appended in one write without a lock on the store and without a flush: the
cost does not depend on what the store holds. What is written survives the process and a restart;
a power cut may cost the last seconds of it. A line that is torn or no line of ours is passed over,
so that the worst a lost line does is to let an image look older. gc writes the file anew, with one
line for each image, when it has grown well beyond that.
"""

from __future__ import annotations

import fcntl
import os
import stat

from casstore.files import durable
from casstore.startup.parts import completed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from casstore.backends.local.usehistory import History
    from casstore.model.digest import Digest
else:
    History = object

NAME = "casstore.uses"
TIME_DIGITS = 20
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class AppendedFile:
    """A file to which lines are appended, each in one write, without a lock on the store."""

    def __init__(self, path: str, staging: str) -> None:
        """`staging` is where a new version is written before its rename."""
        self.path = path
        self._staging = staging

    def append(self, text: str) -> int:
        """Add whole lines; the size that the file had, or 0 where nothing can be written."""
        try:
            descriptor = self.open()
            try:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    return 0
                size = status.st_size
                if size and os.pread(descriptor, 1, size - 1) != b"\n":
                    text = "\n" + text  # what a crash tore off shall not spoil this line too
                os.write(descriptor, text.encode())
                return size
            finally:
                os.close(descriptor)
        except OSError:
            return 0  # a read-only store, a full disk: what is noted goes on all the same

    def set_aside(self, aside: str, most: int) -> None:
        """Give a file of more than `most` bytes another name: the next line begins a new one.

        Nothing is flushed, and where it cannot be done it is not.
        """
        try:
            descriptor = self.open()
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                status = os.fstat(descriptor)
                if status.st_size > most and os.stat(self.path).st_ino == status.st_ino:
                    durable.take(self.path, aside)
            finally:
                os.close(descriptor)
        except OSError:
            pass  # somebody is writing, or nothing can be written

    def open(self) -> int:
        """The file, open for appending and guarded against being replaced meanwhile."""
        while True:
            descriptor = os.open(self.path, _FLAGS | os.O_CREAT, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH)
                if os.fstat(descriptor).st_nlink > 1:
                    self._separate(descriptor)
                elif os.fstat(descriptor).st_nlink:
                    if not os.fstat(descriptor).st_size:
                        durable.share_with_group(descriptor, self.path)
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _separate(self, descriptor: int) -> None:
        """Put a copy in the place of a file that a copy of the store by hard links has, too."""
        with open(descriptor, "rb", closefd=False) as shared:
            lines = shared.read()
        with durable.replace_file(self.path, f"{self._staging}-{os.urandom(6).hex()}") as new:
            new.file.write(lines)


def content(path: str) -> tuple[int, bytes]:
    """The inode of such a file, and what is in it. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as file:
        status = os.fstat(descriptor)
        return (status.st_ino, file.read()) if stat.S_ISREG(status.st_mode) else (0, b"")


class LastUses(History):
    """The file of last uses of one store."""

    if not TYPE_CHECKING:
        __getattr__ = completed("backends.local.usehistory.History", "mark read compact")

    def __init__(self, root: str, staging: str) -> None:
        """`staging` is where a new version is written before its rename."""
        self.path = os.path.join(root, NAME)
        self._staging = staging
        self._file = AppendedFile(self.path, staging)

    def note(self, images: Iterable[Digest], now: int) -> None:
        """Remember that images are used at `now` (ns); where nothing can be written, silently not.

        Needs no lock.
        """
        self._file.append(
            "".join(f"{image.hex} {now:0{TIME_DIGITS}d}\n" for image in dict.fromkeys(images))
        )
