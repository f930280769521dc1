"""Signs of life: locked files in ingest/, each of a process that holds something there."""

from __future__ import annotations

import errno
import fcntl
import os

from casstore.backends.local import refused
from casstore.backends.local.locks import to_close, try_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

# What is gone, a symbolic link, a socket.
_NO_TOKEN = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO))


class Token:
    """A sign of life: a locked file in ingest/ that says what its process holds.

    As long as the process lives the kernel keeps the lock; whoever can take it knows that the
    process is gone, whatever became of its pid. `text` is for those who read it meanwhile.
    """

    def __init__(
        self, directory: str, prefix: str, text: str = "", *, inherited: bool = False
    ) -> None:
        """Make one, which is held until it is released.

        Args:
            inherited: a forked child holds it too, until it releases it or ends.

        Raises:
            StorageError: the file cannot be made, or cannot be written to.
        """
        self._process = os.getpid()
        while True:
            name = f"{prefix}-{os.getpid()}-{os.urandom(6).hex()}"
            self.name = name
            self.path = os.path.join(directory, name + ".lock")
            descriptor = try_lock(self.path)
            if descriptor is not None:
                break
        self.descriptor = descriptor
        if not inherited:
            to_close.add(descriptor)
        self._inherited = inherited
        if text:
            try:
                os.pwrite(descriptor, text.encode(), 0)
            except OSError as error:
                self.release()
                raise refused(error, f"write {self.path}") from None

    def release(self) -> None:
        """End it; harmless a second time. In a child of the one who took it: hold it no longer."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor < 0:
            return
        if self.is_mine:
            to_close.discard(descriptor)
            try:
                os.unlink(self.path)
            except OSError:
                pass
        if self.is_mine or self._inherited:
            os.close(descriptor)

    @property
    def is_mine(self) -> bool:
        """Whether this process took it. A forked child must not remove what belongs to it."""
        return self._process == os.getpid()

    def __reduce__(self) -> NoReturn:
        raise TypeError("what holds a lock cannot be copied, nor given to another process")


def tokens(directory: str, prefix: str = "") -> Iterator[tuple[str, bool]]:
    """Each token in `directory`: its path, and whether its process lives. Raises OSError."""
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return
    for name in names:
        if name.endswith(".lock") and name.startswith(prefix):
            path = os.path.join(directory, name)
            yield path, is_held(path)


def is_held(path: str) -> bool:
    """Whether a live process holds the token at `path`; or may, where this one cannot look."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return error.errno not in _NO_TOKEN
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def lock_dead(path: str) -> int | None:
    """Lock the token at `path`, whose process seems to be gone, in order to remove it.

    Returns:
        A descriptor that holds the lock; None if the token is not there or somebody holds it.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
