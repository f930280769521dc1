"""casstore.lock, which writers hold, and the door that leases and removals meet at.

The lock is filelock's native one: `flock` on the lock file, and a look afterwards that the file
still has its name. Taking it without contention costs a microsecond here; importing filelock costs
more than a whole `rmi`, so it is imported only to wait. Both exclude each other (a test shows it).
The kernel frees the lock when its holder dies, however it dies: there is nothing to break by age.

The holder writes who it is into the file, so that one who waits in vain can be told.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time

from casstore.backends.local import told
from casstore.clock import current_time
from casstore.errors import Locked, StorageError, printable
from casstore.files import durable

to_close: set[int] = set()  # descriptors of locks that no forked child may hold too
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_HOLDER_LIMIT = 300
# How long to poll by ourselves before filelock is worth its import, and how often.
_SHORT_WAIT = 1.0
_POLL = 0.002


class StoreLock:
    """The writers' lock of a store: exclusive, held for one change, never while reading input."""

    def __init__(self, path: str, timeout: float, command: str = "") -> None:
        """`command` is what other processes are told that wait in vain; seconds for `timeout`."""
        self.path = path
        self.timeout = timeout
        self._command = command
        self._descriptor = -1
        self._process = 0  # which took it

    @told("lock the store")
    def acquire(self) -> None:
        """Take the lock.

        Raises:
            Locked: another process kept it for the whole time allowed.
            StorageError: the lock file cannot be opened for writing, or is no regular file.
        """
        deadline = time.monotonic() + self.timeout
        patience = time.monotonic() + min(self.timeout, _SHORT_WAIT)
        while not self._try():
            if time.monotonic() >= deadline:
                raise Locked(f"the store is locked{self._holder()}; gave up after"
                             f" {self.timeout:g} s")  # fmt: skip
            if time.monotonic() >= patience:
                self._wait(deadline)
            else:
                time.sleep(_POLL)
        self._introduce()

    def release(self) -> None:
        """Give the lock up; harmless when it is not held, and in a child of the holder."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0 and self._process == os.getpid():
            to_close.discard(descriptor)
            os.close(descriptor)

    @property
    def is_mine(self) -> bool:
        """Whether this process took it, and is no child of the one that did."""
        return self._process == os.getpid()

    def __enter__(self) -> None:
        if self._descriptor < 0:
            self.acquire()

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        self.release()

    def _try(self) -> bool:
        descriptor = try_lock(self.path)
        if descriptor is None:
            return False
        try:
            if os.fstat(descriptor).st_nlink > 1:
                descriptor = self._own(descriptor)
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor, self._process = descriptor, os.getpid()
        to_close.add(descriptor)
        return True

    def _own(self, shared: int) -> int:
        """A lock file of this store alone, locked, in the place of one with a second name.

        That is one in a copy by hard links, whose writers need not wait for ours.
        """
        folder, name = os.path.split(self.path)
        staging = os.path.join(folder, "ingest", f"{name}-{os.urandom(6).hex()}")
        try:
            own = os.open(staging, _FLAGS | os.O_EXCL, 0o644)
        except OSError:
            return shared  # a full disk, say: it excludes more than it need
        try:
            fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
            durable.share_with_group(own, self.path)
            durable.publish([(staging, self.path)], folder)
        except OSError:
            os.close(own)
            return shared
        os.close(shared)
        return own

    def _wait(self, deadline: float) -> None:
        """Wait until the lock looked free once; the caller tries again."""
        import filelock

        remaining = max(deadline - time.monotonic(), 0.0)
        try:
            with filelock.FileLock(self.path, timeout=remaining, poll_interval=0.02):
                pass
        except filelock.Timeout:
            pass

    def _introduce(self) -> None:
        # For messages only: the lock is the kernel's, whatever stands here.
        data = f"{introduction(self._command)}\n".encode(errors="replace")
        try:
            # Over what is there: to empty the file first would give its block back and take a new
            # one, and ext4 writes a file that was emptied to the disk as soon as it is closed.
            os.pwrite(self._descriptor, data, 0)
            if os.fstat(self._descriptor).st_size > len(data):
                os.ftruncate(self._descriptor, len(data))
        except OSError:
            pass  # a full disk must not keep an rmi from freeing space

    def _holder(self) -> str:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with open(descriptor, "rb", buffering=0) as file:
                said = file.read(_HOLDER_LIMIT).decode(errors="replace")
        except OSError:
            return ""
        text = said.partition("\n")[0].strip()  # more is of the one before, being cut off just now
        return f" by {printable(seen_from_here(text))}" if text else ""


def introduction(command: str = "") -> str:
    """Who this process is and since when, for those who wait for what it holds.

    Not the whole command line, which can hold a password: `command`, or the program's name.
    """
    command = command or os.path.basename(sys.argv[0] if sys.argv else "") or "python"
    since = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(current_time() // 1_000_000_000))
    return f"pid {os.getpid()} ({command[:100]}) on {_where()} since {since}"


def seen_from_here(text: str) -> str:
    """An introduction, without the place where its pid means something if that is this one."""
    return text.replace(f" on {_where()} ", " ", 1)


def _where() -> str:
    """Where a process id means something: the host, and the pid namespace (a container has its)."""
    try:
        namespace = os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        namespace = "?"
    return f"{os.uname().nodename}, pid namespace {namespace},"


def try_lock(path: str) -> int | None:
    """Open (making it if needed) and lock the file at `path`.

    Returns:
        A descriptor that holds the lock until it is closed; None if somebody else holds it.

    Raises:
        StorageError: the file cannot be opened for writing, or is no regular file.
    """
    while True:
        try:
            descriptor = os.open(path, _FLAGS, 0o644)
        except OSError as error:
            import errno  # a table of 130 names: not before something is refused

            if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
                raise StorageError(f"{path} is not a regular file") from None
            if error.errno == errno.EACCES:
                raise StorageError(
                    f"cannot lock {path}: permission denied, the store is read-only for this user"
                ) from None
            raise durable.storage_error(error, f"cannot lock {path}") from None
        keep = False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            status = os.fstat(descriptor)
            if (status.st_mode & 0o170000) != 0o100000:
                raise StorageError(f"{path} is not a regular file")
            if status.st_uid == os.geteuid():
                durable.share_with_group(descriptor, path)
            keep = _is_still(path, status)
        except OSError as error:
            if _is_busy(error):
                return None
            raise durable.storage_error(error, f"cannot lock {path}") from None
        finally:
            if not keep:
                os.close(descriptor)
        if keep:
            return descriptor


def _is_busy(error: OSError) -> bool:
    """Whether somebody else holds a lock."""
    if isinstance(error, BlockingIOError):
        return True
    import errno

    return error.errno == errno.EACCES  # as some network file systems say it


def _is_still(path: str, status: os.stat_result) -> bool:
    """Whether what was opened at `path` is what has that name now."""
    try:
        now = os.lstat(path)
    except FileNotFoundError:
        return False
    return (now.st_dev, now.st_ino) == (status.st_dev, status.st_ino)


class Door:
    """What leases are taken and removals are committed behind; kept for milliseconds.

    It is a lock on the directory ingest/ itself: shared for who takes a lease, exclusive for who
    commits a removal. So a lease is either seen before the commit, or taken after it, by one who
    sees that the image is gone; and to take one nobody waits for the writers' lock, which can be
    held for long.
    """

    def __init__(self, directory: str, timeout: float, *, shared: bool) -> None:
        """`timeout` in seconds."""
        self._directory, self._timeout = directory, timeout
        self._kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX

    def __enter__(self) -> None:
        try:
            self._descriptor = os.open(
                self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            )
        except OSError as error:
            raise durable.storage_error(error, f"cannot open {self._directory}") from None
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                fcntl.flock(self._descriptor, self._kind | fcntl.LOCK_NB)
            except OSError as error:
                if not _is_busy(error):
                    return  # a network file system, which locks no directory
                if time.monotonic() >= deadline:
                    self.__exit__()
                    raise Locked(
                        f"leases are being taken all the time; gave up after {self._timeout:g} s"
                    ) from None
                time.sleep(_POLL)
            else:
                return

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _unlock_in_child() -> None:
    # A lock belongs to the open file, which a forked child has too: while the child lived, it would
    # be held, whatever became of the parent.
    for descriptor in to_close:
        os.close(descriptor)
    to_close.clear()


os.register_at_fork(after_in_child=_unlock_in_child)
