"""casstore.uses: when each image was last used, kept so cheaply that a read may write it.

One line for each use, appended in one write without a lock on the store and without a flush: the
cost does not depend on what the store holds. What is written survives the process and a restart;
a power cut may cost the last seconds of it. A line that is torn or no line of ours is passed over,
so that the worst a lost line does is to let an image look older. gc writes the file anew, with one
line for each image, when it has grown well beyond that.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from casstore.clock import AHEAD
from casstore.errors import StorageError
from casstore.files import durable
from casstore.model.digest import HEX_LENGTH, Digest, is_hex64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

NAME = "casstore.uses"
_TIME_DIGITS = 20
_LINE = HEX_LENGTH + 1 + _TIME_DIGITS  # without its line feed
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_READ = 1 << 20
_SLACK = 1 << 16  # bytes that the file may have beyond two lines an image


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


class LastUses:
    """The file of last uses of one store."""

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
            "".join(f"{image.hex} {now:0{_TIME_DIGITS}d}\n" for image in dict.fromkeys(images))
        )

    def mark(self) -> tuple[int, int]:
        """A place in the file, for `read` to go on from: inode and length."""
        try:
            status = os.stat(self.path)
        except OSError:
            return (0, 0)
        return (status.st_ino, status.st_size)

    def read(self, now: int, since: tuple[int, int] = (0, 0)) -> dict[Digest, int]:
        """The last use of each image that has one (ns).

        Args:
            now: lines that claim a time well after it are passed over.
            since: only what was written after this `mark`.

        Raises:
            StorageError: it is there and cannot be read: that is not the same as never used.
        """
        try:
            return self._read(now, since)
        except FileNotFoundError:
            return {}
        except OSError as error:
            if error.errno == errno.ELOOP:
                return {}  # a link is not followed
            raise durable.storage_error(error, f"cannot read {NAME}") from None

    def _read(self, now: int, since: tuple[int, int]) -> dict[Digest, int]:
        uses: dict[Digest, int] = {}
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            return uses
        with open(descriptor, "rb", buffering=0) as file:
            if status.st_ino == since[0]:
                file.seek(min(since[1], status.st_size))
            rest = b""
            while piece := file.read(_READ):
                *lines, rest = (rest + piece).split(b"\n")
                rest = rest[-_LINE - 1 :]  # longer is no line of ours anyway
                _collect(lines, uses, now)
            _collect([rest], uses, now)
        return uses

    def compact(self, images: Collection[Digest], now: int) -> None:
        """Write the file anew if it is mostly history. The store lock is held."""
        try:
            size = os.stat(self.path).st_size
            if size <= 2 * (_LINE + 1) * len(images) + _SLACK:
                return
            descriptor = self._file.open()
        except OSError:
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._replace({i: at for i, at in self.read(now).items() if i in images})
        except (OSError, StorageError):
            pass  # it stays as it is; somebody is writing, or nothing can be written
        finally:
            os.close(descriptor)

    def _replace(self, uses: Mapping[Digest, int]) -> None:
        with durable.replace_file(self.path, self._staging) as new:
            for image, at in uses.items():
                new.file.write(f"{image.hex} {at:0{_TIME_DIGITS}d}\n".encode())


def _collect(lines: Iterable[bytes], uses: dict[Digest, int], now: int) -> None:
    for line in lines:
        if len(line) != _LINE or line[HEX_LENGTH] != 0x20:
            continue
        digits, text = line[HEX_LENGTH + 1 :], line[:HEX_LENGTH].decode("latin-1")
        if not digits.isdigit() or not is_hex64(text):
            continue
        at = int(digits)
        image = Digest.of_hex(text)
        if uses.get(image, -1) < at <= now + AHEAD:
            uses[image] = at
