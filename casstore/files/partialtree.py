"""A directory that a tree is written into, and that nobody can take for whole before it is.

Where the directory is new or empty the tree is written beside it, as `NAME.casstore-partial-…`, and
gets the name by one rename: a process that is killed leaves that other name, locked by nobody, and
the next one for the same directory removes it. Where that cannot be done (it has files already, is
a mount point, or is in a directory that this user may not write) the tree is written in place, and
a file `.casstore-partial` stands in it until the end. It says what was being written: the same
again writes over what is there; anything else is refused, unless told otherwise.

Nothing waits for the disk, as with tar: after a power cut, write it again.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from casstore.errors import NotFound, Refused, StorageError, quote
from casstore.files import durable
from casstore.files.emptying import empty_directory
from casstore.files.strangers import is_systems
from casstore.files.trees import DIRECTORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

MARKER = b".casstore-partial"
_SUFFIX = ".casstore-partial-"
_SENTENCE = "This directory is not complete. The same command again completes it.\n"
_MOST_NAME = 200  # bytes of a name that the other name begins with
_ELSEWHERE = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))  # no directory can be made there
_NO_LOCKS = frozenset((errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL))


class PartialTree:
    """A context manager.

    Attributes:
        descriptor: of the directory to write to.
        in_place: whether there may be files in it already.
    """

    def __init__(self, path: str, what: str, *, force: bool = False) -> None:
        """Raises NotFound, Refused and StorageError; nothing is changed then.

        Args:
            path: where the tree shall be. A link is followed.
            what: one line: what is written, so that the same again can be told from anything else.
            force: write to a directory that has files already.
        """
        self._shown, self._what, self._force = path, what, force
        self._path = os.path.realpath(path)
        self._above, name = os.path.split(self._path)
        self._prefix = os.fsdecode(os.fsencode(name)[:_MOST_NAME]) + _SUFFIX
        self._staging = ""
        self.descriptor = -1
        self.in_place = False
        try:
            self._look()
        except OSError as error:
            raise self._failure(error) from None

    def _look(self) -> None:
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            if not os.path.isdir(self._above):
                raise NotFound(f"there is no directory {quote(self._above)}") from None
            self._replaced = None
            return
        if not stat.S_ISDIR(status.st_mode):
            raise Refused(f"{quote(self._shown)} is not a directory")
        self._replaced = status
        names = [name for name in os.listdir(self._path) if not is_systems(name)]
        self.in_place = bool(names) or os.path.ismount(self._path) or _is_working_directory(status)
        if not names or self._force:
            return
        begun = self._begun()
        if begun is None:
            raise Refused(f"{quote(self._shown)} is not empty; --force writes into it")
        if begun != self._what:
            raise Refused(
                f"{quote(self._shown)} holds a part of something else ({quote(begun)}): "
                "empty it, or use --force"
            )

    def _begun(self) -> str | None:
        """What is being written in place there, or was when its process was killed."""
        try:
            descriptor = os.open(
                os.path.join(os.fsencode(self._path), MARKER), os.O_RDONLY | os.O_NOFOLLOW
            )
        except OSError:
            return None
        with open(descriptor, encoding="utf-8", errors="replace") as file:
            return file.read(4096).partition("\n")[0]

    def __enter__(self) -> Self:
        try:
            self._remove_dead()
            if not self.in_place:
                self._make_beside()
            if self.in_place:
                self.descriptor = os.open(self._path, DIRECTORY)
                self._lock()
                self._mark()
        except OSError as error:
            self._close()
            raise self._failure(error) from None
        except BaseException:
            self._close()
            raise
        return self

    def _make_beside(self) -> None:
        staging = os.path.join(self._above, f"{self._prefix}{os.urandom(6).hex()}")
        try:
            os.mkdir(staging)
        except OSError as error:
            if self._replaced is None or error.errno not in _ELSEWHERE:
                raise
            self.in_place = True
            return
        self._staging = staging
        self.descriptor = os.open(staging, DIRECTORY)
        self._lock()
        self._like = self._replaced or os.fstat(self.descriptor)
        os.fchmod(self.descriptor, 0o700)  # nobody else's before it is whole

    def _lock(self) -> None:
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"another process is writing to {quote(self._shown)}") from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise

    def _mark(self) -> None:
        try:
            os.unlink(MARKER, dir_fd=self.descriptor)
        except FileNotFoundError:
            pass
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        marker = os.open(MARKER, flags, 0o644, dir_fd=self.descriptor)
        with open(marker, "w", encoding="utf-8") as file:
            file.write(f"{self._what}\n{_SENTENCE}")

    def prepare(self) -> None:
        """Give the directory the mode and owner of the one that it replaces, or a new one's."""
        if self._staging:
            if self._replaced is not None:
                mine = os.fstat(self.descriptor)
                owner = self._like.st_uid, self._like.st_gid
                if owner != (mine.st_uid, mine.st_gid):
                    try:
                        os.fchown(self.descriptor, *owner)
                    except OSError:
                        pass  # another user's: only root gives away
            os.fchmod(self.descriptor, stat.S_IMODE(self._like.st_mode))

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        try:
            if kind is None:
                self._complete()
        except OSError as error:
            self._abandon()
            raise self._failure(error) from None
        except BaseException:
            self._abandon()
            raise
        else:
            if kind is not None:
                self._abandon()
        finally:
            self._close()

    def _complete(self) -> None:
        if not self._staging:
            before = os.fstat(self.descriptor)
            os.unlink(MARKER, dir_fd=self.descriptor)
            try:
                os.utime(self.descriptor, ns=(before.st_atime_ns, before.st_mtime_ns))
            except PermissionError:
                pass  # a directory of somebody else keeps its own time
            return
        try:
            durable.take(self._staging, self._path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            raise Refused(f"{quote(self._shown)} has come into being meanwhile") from None

    def _abandon(self) -> None:
        """Take back what can be taken back; the first error is the one to tell.

        An interruption may come right after the rename: then the tree is whole, and stays.
        """
        if self._staging and os.path.lexists(self._staging):
            try:
                os.fchmod(self.descriptor, 0o700)
                empty_directory(self.descriptor)
                os.rmdir(self._staging)
            except OSError:
                pass

    def _remove_dead(self) -> None:
        """Remove what a process that was killed has left beside the directory."""
        try:
            names = os.listdir(self._above)
        except OSError:
            return
        for name in names:
            if not name.startswith(self._prefix):
                continue
            path = os.path.join(self._above, name)
            try:
                descriptor = os.open(path, DIRECTORY)
            except OSError:
                continue  # a file or a link: not one of ours
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_uid == os.geteuid():
                    empty_directory(descriptor)
                    os.rmdir(path)
            except OSError:
                pass  # it is being written, or is another user's
            finally:
                os.close(descriptor)

    def _close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _failure(self, error: OSError) -> StorageError:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        return StorageError(
            f"cannot write to {quote(self._shown)}: {reason}", full=durable.is_full(error)
        )


def _is_working_directory(status: os.stat_result) -> bool:
    """Whoever works in a directory that is replaced is left in one that has no name any more."""
    try:
        return os.path.samestat(status, os.stat("."))
    except OSError:
        return False
