"""What the file system under a store says."""

from __future__ import annotations

from casstore.model.digest import Digest, is_hex64
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from os import stat_result


class StoredFile(Value):
    """What lies where blobs are: a blob, or something else of that place."""

    name: str
    digest: Digest | None  # None where the name is no digest
    size: int  # bytes
    mode: int  # type and permissions, as stat has them
    freed: int  # bytes that removing it frees: 0 where another name has them too


def stored_file(name: str, status: stat_result) -> StoredFile:
    """What a look at one of them has found."""
    digest = Digest.of_hex(name) if is_hex64(name) else None
    size = status.st_size
    return StoredFile._make(
        (name, digest, size, status.st_mode, size if status.st_nlink == 1 else 0)
    )


class Disk(Value):
    """The file system that a store is on."""

    total: int  # bytes that people without privileges may use, in use or free
    free: int  # of them, free
