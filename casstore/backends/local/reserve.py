"""Space kept back, so that what frees space works on a disk that has none left.

A removal must write before it can free anything: SQLite its log and its shared memory, casstore a
new index.json. On a full disk it would fail just when it is needed. So the store holds a file of
space that is really allocated, and a few empty files for file systems that run out of inodes; rmi,
prune, gc and trash empty give them up, and the first change that finds room makes them again.
Losing the reserve loses nothing: there is nothing in it, and nothing about it is durable.
"""

from __future__ import annotations

import os

from casstore.files import durable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

NAME = "casstore.reserve"
# Enough for every page of the database once in the log and for a new index.json, whose sizes come
# on top of this; SQLite's shared memory and the pages of a small change are well within it.
SPARE = 1 << 20
# -wal, -shm, the new index.json, and one more for a lock file that somebody removed.
FILES = 4
_SPACE = "space"
_NAMES = (_SPACE, *(f"file-{number}" for number in range(1, FILES + 1)))
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC  # never elsewhere
# A disk is nearly full when less is free than this, or than this part of it, whichever is less.
LOW_SPACE = 1 << 30
LOW_SHARE = 20


class Reserve:
    """The reserve of a store."""

    def __init__(self, root: str, sized_by: Iterable[str]) -> None:
        """`sized_by` are the files that a change may have to write anew."""
        self._root = root
        self._directory = os.path.join(root, NAME)
        self._space = os.path.join(self._directory, _SPACE)
        self._sized_by = tuple(sized_by)

    def _needed(self) -> int:
        """Bytes that a removal may have to write."""
        return SPARE + sum(_size(path) for path in self._sized_by)

    def is_wanted(self) -> bool:
        """Whether the file system may be too full for a removal."""
        return self._free() < self._needed()

    def _free(self) -> int:
        """Bytes that may be written; 0 where there are too few inodes."""
        try:
            status = os.statvfs(self._root)
        except OSError:
            return 0
        if status.f_files and status.f_favail < FILES:  # some file systems count none
            return 0
        return status.f_bavail * status.f_frsize

    def give_up(self) -> bool:
        """Let go of the space; False if there was none. No lock is needed."""
        given = False
        try:
            directory = os.open(self._directory, _DIRECTORY)
        except OSError:
            return False
        try:
            for name in _NAMES:
                try:
                    os.unlink(name, dir_fd=directory)
                    given = True
                except OSError:
                    pass  # another removal is giving it up, too
        finally:
            os.close(directory)
        return given

    def restore(self) -> None:
        """Make the reserve, or make it larger, as far as there is room. The lock is held."""
        needed = self._needed()
        try:
            status = os.lstat(self._space)
            if status.st_nlink > 1:  # in a copy by hard links: to give it up would free nothing
                self.give_up()
                if os.path.lexists(self._space):
                    return  # it cannot be removed, and is not for us to make larger
            there = status.st_size if status.st_nlink == 1 else 0
        except FileNotFoundError:
            there = 0
        except OSError:
            return
        if there >= needed:
            return
        # A little more than is needed now, so that a growing store does not make it every time;
        # a little less on a full disk, where SQLite's files are still open and take their part.
        ample, room = needed + SPARE // 2, there + self._free()
        byte_count = ample if room >= 2 * ample else min(needed, room)
        if byte_count <= there or byte_count < needed - SPARE // 2:
            return
        try:
            self._make(byte_count)
        except OSError:
            self.give_up()  # half a reserve would look like a whole one

    def _make(self, byte_count: int) -> None:
        durable.make_directory(self._directory)
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        directory = os.open(self._directory, _DIRECTORY)
        try:
            for name in _NAMES[1:]:
                os.close(os.open(name, flags, 0o600, dir_fd=directory))
            descriptor = os.open(_SPACE, flags, 0o600, dir_fd=directory)
            try:
                os.posix_fallocate(descriptor, 0, byte_count)
            finally:
                os.close(descriptor)
        finally:
            os.close(directory)


def nearly_full(root: str) -> int:
    """Bytes that should be freed before a load, by the limits of LOW_SPACE and LOW_SHARE."""
    try:
        status = os.statvfs(root)
    except OSError:
        return 0
    limit = min(LOW_SPACE, status.f_blocks * status.f_frsize // LOW_SHARE)
    return max(limit - status.f_bavail * status.f_frsize, 0)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
