"""A file outside a store, for a person: written whole, or not at all."""

from __future__ import annotations

import errno
import os
import stat

from casstore.files.durable import (
    DESCRIPTORS,
    Replacement,
    copy_part,
    link_open_file,
    sync_files,
    takes_no_link,
)

# No O_TMPFILE: the file system, the kernel, or a kernel that takes it for opening a directory.
NO_UNNAMED = frozenset((errno.ENOTSUP, errno.EINVAL, errno.EISDIR, errno.ENOSYS))


def replace_output(target: str, mode: int = 0o644) -> Replacement:
    """Write a file outside the store whole or not at all: use as `durable.replace_file`.

    It has no name before it is complete, so that a process that is killed leaves nothing of it.
    Where the file system can not do that, it is `target` with a suffix and `.part` until then.
    """
    staging = f"{target}.{os.getpid()}-{os.urandom(4).hex()}.part"
    return _Output(os.path.abspath(target), staging, mode)


class _Output(Replacement):
    _named = False  # it has a name in the file system, the one of its staging

    def _open(self, mode: int) -> int:
        try:
            folder = os.path.dirname(self._target)
            descriptor = os.open(folder, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, mode)
        except OSError as error:
            if error.errno not in NO_UNNAMED:
                raise
        else:
            if os.path.exists(f"{DESCRIPTORS}/{descriptor}"):
                return descriptor
            os.close(descriptor)  # without /proc it could never get a name
        self._named = True
        return super()._open(mode)

    def _install(self) -> None:
        if not self._named:
            try:
                link_open_file(self.file.fileno(), self._target)
            except FileExistsError:  # a link replaces nothing, a rename does
                link_open_file(self.file.fileno(), self._staging)
                self._named = True
            except OSError as error:
                if not takes_no_link(error):
                    raise
                self._copy()
        if self._named:
            super()._install()
        self.file.close()

    def _copy(self) -> None:
        """Write the content again, under a name: where no link can be made."""
        unnamed = self.file
        status = os.fstat(unnamed.fileno())
        descriptor = super()._open(stat.S_IMODE(status.st_mode))
        self.file = open(descriptor, "w+b")  # noqa: SIM115 - its life is that of this object
        self._named = True
        with unnamed:
            copy_part(unnamed.fileno(), 0, status.st_size, self.file)
        self.file.flush()
        sync_files([self._staging])
