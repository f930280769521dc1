"""Whether a store is on a network file system, where lock and SQLite cannot be relied on.

`flock` may exclude nobody on another machine (NFS before Linux 2.6.12 and with `nolock`, sshfs,
most of FUSE), and SQLite's write-ahead log needs shared memory, which machines do not share. One
machine at a time is fine. Local file systems on a disk of their own are known by the device number
alone, so that the common case costs one `stat`.

Sources: flock(2), "NFS details"; sqlite.org/wal.html, "all processes ... on the same host".
"""

from __future__ import annotations

import os

_NETWORK = frozenset(
    (
        "9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fuse.beegfs", "fuse.ceph",
        "fuse.ceph-fuse", "fuse.curlftpfs", "fuse.davfs", "fuse.davfs2", "fuse.gcsfuse",
        "fuse.glusterfs", "fuse.goofys", "fuse.juicefs", "fuse.mount-s3", "fuse.rclone",
        "fuse.s3fs", "fuse.seaweedfs", "fuse.smbnetfs", "fuse.sshfs", "gfs2", "gpfs",
        "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "smb3", "smbfs",
        "vboxsf", "virtiofs",
    )
)  # fmt: skip
_MOUNTS = "/proc/self/mountinfo"


def network_file_system(path: str, mounts: str = _MOUNTS) -> str | None:
    """The type of the network file system that `path` is on; None for any other, or unknown.

    Args:
        path: a directory that is there.
        mounts: the kernel's list of mounts, as proc(5) describes it.
    """
    try:
        device = os.stat(path).st_dev
        if os.major(device):
            return None  # a block device; network file systems have a number of no device
        with open(mounts, "rb", buffering=0) as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    wanted = b"%d:%d" % (os.major(device), os.minor(device))
    for line in lines:
        fields, _, rest = line.partition(b" - ")
        if fields.split(b" ")[2:3] == [wanted]:
            kind = rest.split(b" ")[0].decode(errors="replace")
            return kind if kind in _NETWORK else None
    return None
