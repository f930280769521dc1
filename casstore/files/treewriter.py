"""A tree of files written below one directory, and nothing outside of it, whatever it says.

Every name is one component in a directory that is held open, and no symbolic link is followed: not
one of the tree, not one that was there before, not one that somebody puts in the place of a
directory meanwhile. So paths may be longer than the system takes as one.

Entries come in the order of a walk (fileentry.sort_key): a directory before what is in it. The
directories on the way to the current file are the only ones that are open, and of those only the
nearest. A directory is its owner's alone until the walk leaves it; then it gets its mode and time.

Somebody who may write to the tree can move a directory of it elsewhere while it is being filled;
then it is filled where it is.
"""

from __future__ import annotations

import errno
import os
import stat

from casstore.errors import Refused, StorageError, quote
from casstore.files.attributes import Attributes, Rights
from casstore.files.emptying import PATH, open_up
from casstore.files.namesat import link as link_at
from casstore.files.namesat import rename_in
from casstore.files.trees import DIRECTORY as OPEN_DIRECTORY
from casstore.model.fileentry import (
    BLOCK_DEVICE,
    CHARACTER_DEVICE,
    DIRECTORY,
    FIFO,
    FILE,
    ROOT,
    SYMLINK,
    FileEntry,
    parent_of,
    path_of,
)
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Self

_SHOWN = 1000  # characters of a path in a message
_NEAREST = 64  # directories on the way that are open at a time
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FORMATS = {CHARACTER_DEVICE: stat.S_IFCHR, BLOCK_DEVICE: stat.S_IFBLK}
_NO_NAMES = frozenset((b"", b".", b".."))
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))


class WrittenFiles(Value):
    """What was written, and what of it could not be kept."""

    entries: int
    devices: int  # left out
    xattrs: int  # extended attributes that could not be set
    setids: int  # files that lost set-user-ID or set-group-ID


class _Open:
    """A directory on the way to the current file."""

    __slots__ = ("descriptor", "entry", "identity", "prefix")

    def __init__(self, entry: FileEntry, descriptor: int) -> None:
        self.entry = entry
        self.prefix = entry.name + b"/" if entry.name else b""
        self.descriptor = descriptor  # -1 while it is closed
        status = os.fstat(descriptor)
        self.identity = status.st_dev, status.st_ino


class TreeWriter:
    """Use it as a context manager; `finish` gives the last directories their modes and times.

    All methods raise StorageError where the system refuses, and Refused where a name or an owner is
    one that this system cannot have.
    """

    def __init__(
        self,
        top: int,
        rights: Rights,
        *,
        over: bytes | None = None,
        keep_top: bool = False,
        where: str = "",
    ) -> None:
        """Write below the directory with the descriptor `top`, which stays the caller's.

        Args:
            rights: what is kept.
            over: given where there may be something already: the name that a file has until it
                is whole. Then it replaces what has its own name and is no directory, in one step; a
                directory keeps what is in it. A file of that name is one that a killed process has
                left, and goes.
            keep_top: whether `top` itself stays as it is, whatever is said of the root.
            where: what messages call that directory.
        """
        self._attributes, self._where = Attributes(rights), where
        self._over, self._keep_top = over, keep_top
        root = FileEntry(ROOT, DIRECTORY, 0, 0, 0, 0, 0)
        self._way = [_Open(root, os.dup(top))]
        # The owner of a file may search only what its mode says: these get theirs at the very end.
        self._late: list[tuple[bytes, int]] = []
        self._entries = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        while self._way:
            step = self._way.pop()
            if step.descriptor >= 0:
                os.close(step.descriptor)

    @property
    def written(self) -> WrittenFiles:
        """What has been written so far."""
        lost = self._attributes
        return WrittenFiles(self._entries, lost.devices, lost.xattrs, lost.setids)

    def add(self, entry: FileEntry, content: Iterable[bytes | memoryview] = ()) -> None:
        """Write one entry. `content` is that of a file; of a sparse one, of its pieces together."""
        try:
            self._add(entry, content)
        except OSError as error:
            raise self._failure(entry, error) from None
        except (OverflowError, ValueError) as error:  # numbers and names that no system call takes
            raise Refused(
                f"cannot write {quote(self._where + entry.path, _SHOWN)}: {error}"
            ) from None

    def link(self, entry: FileEntry, target: bytes) -> None:
        """Make `entry` another name of the file `target`, which has been written."""
        if self._attributes.leaves_out(entry):
            return
        try:
            directory = self._directory(parent_of(entry.name))
            name = _last(entry.name)
            source = self._searched(parent_of(target))
            try:
                self._make(
                    directory, name, lambda name: link_at(_last(target), source, name, directory)
                )
            finally:
                os.close(source)
        except OSError as error:
            raise self._failure(entry, error) from None
        self._entries += 1

    def finish(self) -> WrittenFiles:
        """Give the directories that are still open their modes and times."""
        try:
            while self._way:
                self._leave()
        except OSError as error:
            raise self._failure(self._way[-1].entry, error) from None
        return self.written

    def _add(self, entry: FileEntry, content: Iterable[bytes | memoryview]) -> None:
        if entry.name == ROOT:
            self._way[0].entry = entry  # of order 0 where no layer says what it is like
            return
        directory = self._directory(parent_of(entry.name))
        if entry.kind == DIRECTORY:
            descriptor = self._enter(directory, _last(entry.name))
            self._way.append(_Open(entry, descriptor))
            if len(self._way) > _NEAREST + 1:
                far = self._way[-_NEAREST - 1]  # never the first
                os.close(far.descriptor)
                far.descriptor = -1
        elif self._attributes.leaves_out(entry):
            return
        elif entry.kind == FILE:
            name = _last(entry.name)
            self._make(directory, name, lambda name: self._file(directory, name, entry, content))
        else:
            name = _last(entry.name)
            self._make(directory, name, lambda name: self._special(directory, name, entry))
        self._entries += 1

    # Directories

    def _directory(self, name: bytes) -> int:
        """The descriptor of the directory `name`, which is on the way; those behind it are done."""
        while self._way[-1].entry.name != name:
            if len(self._way) == 1:
                raise Refused(f"{quote(path_of(name))} comes before its directory")
            self._leave()
        return self._way[-1].descriptor

    def _enter(self, parent: int, name: bytes) -> int:
        """Make a directory; one that is there stays where it may be there."""
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            if self._over is None:
                raise
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISDIR(found.st_mode):
                os.unlink(name, dir_fd=parent)
                os.mkdir(name, 0o700, dir_fd=parent)
            else:
                open_up(name, parent)
        return os.open(name, OPEN_DIRECTORY, dir_fd=parent)

    def _leave(self) -> None:
        """The directory that is nearest is complete."""
        step = self._way[-1]
        if len(self._way) > 1 and self._way[-2].descriptor < 0:
            above = self._way[-2]
            descriptor = os.open("..", OPEN_DIRECTORY, dir_fd=step.descriptor)
            status = os.fstat(descriptor)
            if (status.st_dev, status.st_ino) != above.identity:  # then `..` may be anywhere
                os.close(descriptor)
                raise OSError(errno.ESTALE, "moved while it was written")
            above.descriptor = descriptor
        entry = step.entry
        if entry.name != ROOT or (entry.order and not self._keep_top):
            mode = self._attributes.mode_of(entry)
            if not mode & 0o100 and os.geteuid() != 0:
                self._late.append((entry.name, mode))
                mode = 0o700
            self._attributes.give(step.descriptor, entry, mode)
        if len(self._way) == 1:
            self._finish_late()
        self._way.pop()
        os.close(step.descriptor)

    def _finish_late(self) -> None:
        for name, mode in self._late:  # what is in a directory before it
            descriptor = self._searched(name, OPEN_DIRECTORY)
            try:
                os.fchmod(descriptor, mode)
            finally:
                os.close(descriptor)

    def _searched(self, name: bytes, last: int = PATH) -> int:
        """A descriptor of a directory of the tree, by way of the nearest that is open."""
        at = len(self._way) - 1
        while at and not (
            self._way[at].descriptor >= 0 and (name + b"/").startswith(self._way[at].prefix)
        ):
            at -= 1
        step = self._way[at]
        descriptor = os.dup(step.descriptor)
        rest = name[len(step.prefix) :]
        parts = rest.split(b"/") if rest else []
        try:
            for position, part in enumerate(parts):
                flags = last if position == len(parts) - 1 else PATH
                below = os.open(_component(part), flags, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    # Everything else

    def _make(self, directory: int, name: bytes, make: Callable[[bytes], None]) -> None:
        """Make a file under its name; where one may be in the way, beside it first."""
        if self._over is None:
            make(name)
            return
        staged = self._over
        try:
            try:
                make(staged)
            except FileExistsError:
                os.unlink(staged, dir_fd=directory)
                make(staged)
            rename_in(directory, staged, name)
        except BaseException:
            _unlink(staged, directory)
            raise
        _unlink(staged, directory)  # of two names of one file a rename lets both be

    def _file(
        self, directory: int, name: bytes, entry: FileEntry, content: Iterable[bytes | memoryview]
    ) -> None:
        descriptor = os.open(name, _NEW, 0o600, dir_fd=directory)
        try:
            if entry.extents is not None:
                _write_sparse(descriptor, content, entry.extents, entry.size)
            else:
                for piece in content:
                    _write(descriptor, piece)
            self._attributes.give(descriptor, entry, self._attributes.mode_of(entry))
        finally:
            os.close(descriptor)

    def _special(self, directory: int, name: bytes, entry: FileEntry) -> None:
        """A link, a device or a fifo: none can be opened for what is to be set."""
        if entry.kind == SYMLINK:
            os.symlink(entry.target, name, dir_fd=directory)
        elif entry.kind == FIFO:
            os.mkfifo(name, 0o600, dir_fd=directory)
        elif not self._make_device(directory, name, entry):
            return
        self._attributes.give_at(directory, name, entry)

    def _make_device(self, directory: int, name: bytes, entry: FileEntry) -> bool:
        device = os.makedev(*entry.device)
        try:
            os.mknod(name, _FORMATS[entry.kind] | 0o600, device, dir_fd=directory)
        except PermissionError:  # root of a container may not
            self._attributes.leave_out_devices()
            return not self._attributes.leaves_out(entry)
        return True

    def _failure(self, entry: FileEntry, error: OSError) -> StorageError:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        if error.errno == errno.ESTALE:
            reason = "a directory on the way was moved meanwhile"
        elif error.errno == errno.EEXIST:
            reason = "the file system takes it for another name of the tree"
        where = quote(self._where + entry.path, _SHOWN)
        return StorageError(f"cannot write {where}: {reason}", full=error.errno in _FULL)


def _unlink(name: bytes, directory: int) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except OSError:
        pass  # it is not there, or what went wrong before is the thing to tell


def _write(descriptor: int, data: bytes | memoryview) -> None:
    count = os.write(descriptor, data)
    while count < len(data):
        data = memoryview(data)[count:]
        count = os.write(descriptor, data)


def _write_sparse(
    descriptor: int,
    content: Iterable[bytes | memoryview],
    extents: tuple[tuple[int, int], ...],
    size: int,
) -> None:
    """Each piece where it belongs; what is between them are holes."""
    places = iter(extents)
    at = left = 0
    for piece in content:
        data = memoryview(piece)
        while data:
            while not left:
                at, left = next(places)
            count = os.pwrite(descriptor, data[:left], at)
            data, at, left = data[count:], at + count, left - count
    os.ftruncate(descriptor, size)


def _last(name: bytes) -> bytes:
    return _component(name.rpartition(b"/")[2])


def _component(part: bytes) -> bytes:
    """Names are normal when they come here; one that is not would lead elsewhere."""
    if part in _NO_NAMES:
        raise Refused(f"a file cannot have the name {quote(path_of(part))}")
    return part
