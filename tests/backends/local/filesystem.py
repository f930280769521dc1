"""What statvfs says of a file system that a test makes up."""

from __future__ import annotations

import os


def file_system(
    free: int, *, total: int = 1 << 40, inodes: int = 1000, all_inodes: int = 9999
) -> os.statvfs_result:
    """One that has so many bytes left for everyone, in blocks of 512, and so many inodes."""
    block, blocks = 512, free // 512
    return os.statvfs_result(
        (block, block, total // block, blocks, blocks, all_inodes, inodes, inodes, 0, 255)
    )
