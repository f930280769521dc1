"""Files that survive a power cut, or that never were.

A blob appears in one step: written under a staging name, flushed, renamed to its digest, and the
directory flushed so that the name itself is on the disk. Anything less can leave a full-length
file of zeros under a name that promises a hash.

No other module flushes, renames or links (SQLite does its own, inside its file). The crash tests
stop the process between any two of the calls made here.

Below a directory that is volatile, as a test's store is, nothing is flushed: all else is the same.
"""

from __future__ import annotations

import os
import time

from casstore.errors import StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO, Self

BLOB_MODE = 0o444
_GROUP_WRITE = 0o020

BEGUN = 16 << 20  # of a file this large the disk was told as it was written (start_writeback)
_COPY = 1 << 20
DESCRIPTORS = "/proc/self/fd"
# By so many flushes is the disk judged, and seconds for one from which on it makes them wait.
_SAMPLE = 8
_WAITING = 50e-6


_volatile: set[str] = set()  # directories


def make_volatile(directory: str) -> None:
    """From here on this process flushes nothing below a directory, given by its absolute path."""
    _volatile.add(directory)


def is_volatile(path: str) -> bool:
    """Whether what is at `path` need not survive a power cut."""
    if not _volatile:
        return False
    path = os.path.abspath(path)
    while path not in _volatile:
        above = os.path.dirname(path)
        if above == path:
            return False
        path = above
    return True


def is_full(error: OSError) -> bool:
    """Whether there is no space left, or no more than a quota allows."""
    import errno  # a table of 130 names: not before something is refused

    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def storage_error(error: OSError, doing: str) -> StorageError:
    """`error` as one clear line: what was being done, and the operating system's reason."""
    return StorageError(f"{doing}: {reason_of(error)}", full=is_full(error))


def reason_of(error: OSError) -> str:
    """Why the operating system refused, as a message goes on."""
    import errno

    if error.errno == errno.EROFS:
        return "the store is read-only"
    return os.strerror(error.errno).lower() if error.errno else str(error)


def sync_directory(path: str) -> None:
    """Make the names in a directory durable."""
    if is_volatile(path):
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_name(path: str) -> None:
    """Make durable that there is a file or directory of that name."""
    if not is_volatile(path):
        sync_directory(os.path.dirname(path) or "/")


def make_directories(path: str) -> None:
    """Make a directory, and those above it that are missing, durably; it may be there already."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path) or "."
    for one in reversed(missing):
        try:
            os.mkdir(one)
        except FileExistsError:
            if not os.path.isdir(one):
                raise
        sync_directory(os.path.dirname(one) or ".")


def sync_files(paths: Iterable[str]) -> None:
    """Make the content of files durable, all of them together.

    Write-back is started for all before any is waited for, so that the disk sees one queue and
    not one round trip for each file; and the waits go side by side where they take their time.
    """
    descriptors: list[int] = []
    try:
        for path in paths:
            if is_volatile(path):
                continue
            descriptors.append(os.open(path, os.O_RDONLY))
            if len(descriptors) >= 256:  # stay far below the limit on open files
                _flush(descriptors)
        _flush(descriptors)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _flush(descriptors: list[int]) -> None:
    for descriptor in descriptors if len(descriptors) > 1 else ():
        if os.fstat(descriptor).st_size < BEGUN:
            # Linux starts write-back of the dirty pages when told that they are not needed.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    from itertools import islice  # a third of a millisecond, where few commands flush files

    failed: list[OSError] = []
    ahead = iter(descriptors)
    begun = time.perf_counter()
    _sync_each(islice(ahead, _SAMPLE), failed)
    if len(descriptors) > 2 * _SAMPLE and time.perf_counter() - begun > _SAMPLE * _WAITING:
        from casstore.files.parallel import side_by_side

        side_by_side(lambda some: _sync_each(some, failed), ahead)
    else:
        _sync_each(ahead, failed)
    if failed:
        raise failed[0]
    while descriptors:
        os.close(descriptors.pop())


def _sync_each(descriptors: Iterable[int], failed: list[OSError]) -> None:
    try:
        for descriptor in descriptors:
            os.fsync(descriptor)
    except OSError as error:
        failed.append(error)


def sync_data(descriptor: int) -> None:
    """Make the content of an open file durable, and of what is told of it only its size."""
    os.fdatasync(descriptor)


def sync_tree(root: str) -> None:
    """Make a directory, its name, and all files and directories below it durable."""
    for folder, _, files in os.walk(root):
        sync_files(os.path.join(folder, name) for name in files)
        sync_directory(folder)
    sync_directory(os.path.dirname(os.path.abspath(root)))


def publish(moves: Iterable[tuple[str, str]], directory: str) -> None:
    """Rename flushed files to their final names in `directory`, then flush the directory once."""
    moved = False
    for source, target in moves:
        os.rename(source, target)
        moved = True
    if moved:
        sync_directory(directory)


def replace_file(
    target: str, staging: str, mode: int = 0o644, *, named: bool = True
) -> Replacement:
    """Write a new version of `target`: use as a context manager that yields a binary file.

    The content is written to `staging` (same file system), flushed, renamed over `target`, and
    the directory flushed; on an exception the staging file is removed and `target` is untouched.

    Without `named` the directory is left to the caller to flush: until then a power cut may bring
    the old version back.
    """
    return Replacement(target, staging, mode, named=named)


class Replacement:
    """A new version of a file: what `replace_file` gives."""

    def __init__(self, target: str, staging: str, mode: int, *, named: bool = True) -> None:
        self._target, self._staging, self._flush_name = target, staging, named
        descriptor = self._open(mode)
        self.file = open(descriptor, "w+b")  # noqa: SIM115 - its life is that of this object
        try:
            share_with_group(descriptor, target)
        except BaseException:
            self._abandon()
            raise

    def _open(self, mode: int) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        return os.open(self._staging, flags, mode)

    def _install(self) -> None:
        """Give the file, which is flushed, its name."""
        self.file.close()
        os.rename(self._staging, self._target)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        try:
            if kind is None:
                self.file.flush()
                if not is_volatile(self._target):
                    os.fsync(self.file.fileno())
                self._install()
                if self._flush_name:
                    sync_directory(os.path.dirname(self._target) or ".")
                return
        except BaseException:  # an interruption too
            self._abandon()
            raise
        self._abandon()

    def _abandon(self) -> None:
        for step in (self.file.close, lambda: os.unlink(self._staging)):
            try:
                step()
            except OSError:
                pass  # the first error is the one to tell


def make_directory(path: str) -> bool:
    """Make a directory with the rights of the one it is in; False where it is there already.

    In a private directory it is private. Where a group may write (a shared store), the group gets
    that right here too, whatever the umask. It belongs to the owner of the one it is in, if root
    makes it; one with something in it has been put in its place by somebody, and does not.
    """
    above = os.stat(os.path.dirname(path))
    mode = above.st_mode & 0o2775
    try:
        os.mkdir(path, mode & 0o775)
    except FileExistsError:
        return False
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not os.listdir(descriptor):
            _give_to_owner(descriptor, above)
        if mode & _GROUP_WRITE:
            os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)
    return True


def share_with_group(descriptor: int, path: str) -> None:
    """Let a group that may write the directory of a new file write the file, whatever the umask.

    What root makes in another user's directory becomes that user's, who must be able to read it and
    to clear it away. No second name of a file from elsewhere is given away so.
    """
    status, above = os.fstat(descriptor), os.stat(os.path.dirname(path) or ".")
    if status.st_nlink <= 1:
        _give_to_owner(descriptor, above)
    if not status.st_mode & _GROUP_WRITE and above.st_mode & _GROUP_WRITE:
        os.fchmod(descriptor, status.st_mode & 0o777 | (above.st_mode & 0o664))


def _give_to_owner(descriptor: int, above: os.stat_result) -> None:
    """Let what root made belong to the owner of the directory above it, where root may do that."""
    if above.st_uid != os.geteuid() == 0:
        try:
            os.fchown(descriptor, above.st_uid, -1)
        except OSError:
            pass  # in a container without that capability, say


def move_aside(path: str, aside: str) -> None:
    """Rename a file that must not be used any more, durably, keeping its content."""
    os.rename(path, aside)
    folder, place = os.path.dirname(path) or ".", os.path.dirname(aside) or "."
    if place != folder:  # the new name first: the file may not be without any
        sync_directory(place)
    sync_directory(folder)


def take(source: str, target: str) -> bool:
    """Rename a file that may lose its name any moment, not durably; False if it is gone."""
    try:
        os.rename(source, target)
    except FileNotFoundError:
        return False
    return True


def share(source: str, target: str, *, old: int | None = None, new: int | None = None) -> bool:
    """Give `source`, in `old` if given, a second name by hard link; False where none can be."""
    try:
        os.link(source, target, src_dir_fd=old, dst_dir_fd=new, follow_symlinks=False)
    except OSError as error:
        if takes_no_link(error):
            return False
        raise
    return True


def takes_no_link(error: OSError) -> bool:
    """Whether an error says that no hard link can be made from there to there."""
    import errno

    none = (errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS, errno.EACCES)
    return error.errno in none


def link_open_file(descriptor: int, name: str) -> None:
    """Give an open file, which may be without any, a name. Raises FileExistsError."""
    # link(2) of an open file, as open(2) describes it under O_TMPFILE.
    descriptors = os.open(DESCRIPTORS, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.link(str(descriptor), name, src_dir_fd=descriptors, follow_symlinks=True)
    finally:
        os.close(descriptors)


def copy_part(source: int, start: int, stop: int, target: BinaryIO) -> None:
    """Append bytes `start` to `stop` of the descriptor `source` to `target`.

    By reading and writing, in large pieces: where there are no reflinks copy_file_range and
    sendfile cost a fifth more, and where there are it shares only what starts on a block's border
    in both files, which the part after an edit never does.
    """
    buffer = memoryview(bytearray(min(stop - start, _COPY)))
    while start < stop:
        count = os.preadv(source, [buffer[: stop - start]], start)
        if not count:
            import errno

            raise OSError(errno.EIO, "the file has become shorter")
        target.write(buffer[:count])
        start += count
