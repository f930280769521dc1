"""A file that is written once: whole, durably, and never over another."""

from __future__ import annotations

import os

from casstore.files import durable


def create_file(path: str, data: bytes, mode: int) -> None:
    """Write a new file whole, durably, and never over one that is there.

    It appears under its name with all its content and with `mode`, or not at all; on a file system
    without hard links a crash can leave it short.

    Raises:
        FileExistsError: there is something at `path`.
    """
    staging = f"{path}.{os.getpid()}-{os.urandom(4).hex()}.part"
    _write_new(staging, data, mode)
    try:
        if not durable.share(staging, path):
            _write_new(path, data, mode)
    finally:
        os.unlink(staging)
    durable.sync_directory(os.path.dirname(path) or ".")


def _write_new(path: str, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
        durable.sync_files([path])
    except BaseException:
        os.unlink(path)
        raise
