"""Names in open directories, outside of a store: nothing here is flushed, and no link is followed.

What a store holds gets its names in durable.py. These are for trees that are written for somebody
else, who does not wait for the disk.
"""

from __future__ import annotations

import os


def rename_in(directory: int, source: bytes, target: bytes) -> None:
    """Rename within a directory, over what is there. Raises OSError."""
    os.rename(source, target, src_dir_fd=directory, dst_dir_fd=directory)


def move(source: bytes, from_directory: int, target: bytes, to_directory: int) -> None:
    """Rename from one open directory into another. Raises OSError."""
    os.rename(source, target, src_dir_fd=from_directory, dst_dir_fd=to_directory)


def link(source: bytes, from_directory: int, target: bytes, to_directory: int) -> None:
    """Give a file a second name; of a symbolic link the link itself. Raises OSError."""
    os.link(
        source, target, src_dir_fd=from_directory, dst_dir_fd=to_directory, follow_symlinks=False
    )
