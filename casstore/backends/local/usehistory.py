"""Read casstore.uses, and rewrite it once most of its lines are out of date."""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from casstore.backends.local.uses import NAME, TIME_DIGITS
from casstore.clock import AHEAD
from casstore.errors import StorageError
from casstore.files import durable
from casstore.model.digest import HEX_LENGTH, Digest, is_hex64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from casstore.backends.local.uses import AppendedFile

_LINE = HEX_LENGTH + 1 + TIME_DIGITS  # without its line feed
_READ = 1 << 20
_SLACK = 1 << 16  # bytes that the file may have beyond two lines an image


class History:
    """What `LastUses` has when it is first asked for; see there."""

    path: str
    _staging: str
    _file: AppendedFile

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
                rest = rest[-_LINE - 1 :]  # no line of ours is longer
                _collect(lines, uses, now)
            _collect([rest], uses, now)
        return uses

    def compact(self, images: Collection[Digest], now: int) -> None:
        """Rewrite the file if most of its lines are out of date. The store lock is held."""
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
                new.file.write(f"{image.hex} {at:0{TIME_DIGITS}d}\n".encode())


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
