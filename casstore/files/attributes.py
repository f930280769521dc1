"""What a file that is written is given besides its content: owner, mode, time, attributes.

Root gives all that an image says. Others cannot give files away, and what is not kept is counted.
"""

from __future__ import annotations

import errno
import os
import stat

from casstore.errors import Refused, quote
from casstore.files.emptying import PATH
from casstore.model.fileentry import BLOCK_DEVICE, CHARACTER_DEVICE, SYMLINK, FileEntry
from casstore.startup.value import Value

_SETID = stat.S_ISUID | stat.S_ISGID
_MOST_SECONDS = 1 << 62  # what utimensat takes is 64 bits
# Why an attribute cannot be kept: not for this user, kind of file or file system, or too large.
_NO_ATTRIBUTE = frozenset(
    (errno.ENOTSUP, errno.EPERM, errno.EACCES, errno.ENOSPC, errno.E2BIG, errno.ERANGE,
     errno.EINVAL, errno.ENOENT, errno.ENOSYS, errno.ENAMETOOLONG)
)  # fmt: skip
_CAPABILITY = b"security.capability"
# https://github.com/rootless-containers/proto: what umoci and PRoot take a file's owner from.
_OWNER_NOTE = b"user.rootlesscontainers"
_NO_CHANGE = 0xFFFFFFFF  # an owner is the one that the file has


class Rights(Value):
    """What is kept of an image's files."""

    owners: bool  # else they belong to whoever writes them
    devices: bool  # else they are left out
    setid: bool  # set-user-ID and set-group-ID; without owners they would be another's
    owner_notes: bool = False  # owners in an extended attribute, user.rootlesscontainers


AS_ROOT = Rights(owners=True, devices=True, setid=True)
AS_USER = Rights(owners=False, devices=False, setid=False)


class Attributes:
    """Gives files what the rights allow.

    Attributes:
        devices: how many were left out.
        xattrs: how many extended attributes could not be set.
        setids: how many files lost set-user-ID or set-group-ID.
    """

    def __init__(self, rights: Rights) -> None:
        self._rights = rights
        self.devices = self.xattrs = self.setids = 0

    def leaves_out(self, entry: FileEntry) -> bool:
        """Whether an entry is not written at all."""
        if self._rights.devices or entry.kind not in (CHARACTER_DEVICE, BLOCK_DEVICE):
            return False
        self.devices += 1
        return True

    def leave_out_devices(self) -> None:
        """From here on: this process may not make them."""
        self._rights = self._rights._replace(devices=False)

    def give(self, descriptor: int, entry: FileEntry, mode: int) -> None:
        """Owner, attributes, mode and time of a file or directory that is open.

        In this order: a change of owner clears the bits of set-user-ID and set-group-ID, and
        capabilities, which are an attribute.
        """
        if self._rights.owners:
            os.fchown(descriptor, *_owner(entry))
        elif self._rights.owner_notes and (entry.uid or entry.gid):
            self._set(descriptor, _OWNER_NOTE, _owner_note(entry))
        for name, value in entry.xattrs:
            self._set(descriptor, name, value)
        os.fchmod(descriptor, mode)
        os.utime(descriptor, ns=_times(entry))

    def give_at(self, directory: int, name: bytes, entry: FileEntry) -> None:
        """The same of a link, a device or a fifo, none of which is opened."""
        if self._rights.owners:
            uid, gid = _owner(entry)
            os.chown(name, uid, gid, dir_fd=directory, follow_symlinks=False)
        for attribute, value in entry.xattrs:
            # a way to the directory by its descriptor: setxattr(2) has no other
            path = b"/proc/self/fd/%d/%s" % (directory, name)
            self._set(path, attribute, value, follow=False)
        if entry.kind != SYMLINK:
            descriptor = os.open(name, PATH & ~os.O_DIRECTORY, dir_fd=directory)
            try:
                os.chmod(f"/proc/self/fd/{descriptor}", self.mode_of(entry))
            finally:
                os.close(descriptor)
        os.utime(name, ns=_times(entry), dir_fd=directory, follow_symlinks=False)

    def mode_of(self, entry: FileEntry) -> int:
        """The mode that an entry gets."""
        mode = entry.mode & 0o7777
        if self._rights.setid or not mode & _SETID:
            return mode
        self.setids += 1
        return mode & ~_SETID

    def _may_have(self, name: bytes) -> bool:
        """Whether a file may have an attribute; capabilities are rights, as set-user-ID is."""
        if self._rights.owners or not name.startswith((b"security.", b"trusted.")):
            return True
        return self._rights.setid and name == _CAPABILITY

    def _set(self, where: int | bytes, name: bytes, value: bytes, *, follow: bool = True) -> None:
        if not self._may_have(name):
            self.xattrs += 1
            return
        try:
            os.setxattr(where, name, value, follow_symlinks=follow)
        except OSError as error:
            if error.errno not in _NO_ATTRIBUTE:
                raise
            self.xattrs += 1


def _owner(entry: FileEntry) -> tuple[int, int]:
    """Raises Refused: the system has no such owner."""
    if not (0 <= entry.uid < _NO_CHANGE and 0 <= entry.gid < _NO_CHANGE):
        raise Refused(
            f"cannot write {quote(entry.path)}: there is no owner {entry.uid}:{entry.gid}"
        )
    return entry.uid, entry.gid


def _owner_note(entry: FileEntry) -> bytes:
    """`message Resource { uint32 uid = 1; uint32 gid = 2; }`; as umoci, _NO_CHANGE for 0."""
    note = bytearray()
    for tag, number in zip((0x08, 0x10), _owner(entry), strict=True):
        note.append(tag)
        left = number or _NO_CHANGE
        while left > 0x7F:
            note.append(left & 0x7F | 0x80)
            left >>= 7
        note.append(left)
    return bytes(note)


def _times(entry: FileEntry) -> tuple[int, int]:
    most = _MOST_SECONDS * 10**9
    time = max(-most, min(entry.mtime, most))
    return time, time
