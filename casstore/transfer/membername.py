"""Names of members as keys: what stands between an archive's text and any path.

A name that a document asks for is relative and stays inside; `./` and doubled slashes mean nothing.
"""

from __future__ import annotations

import errno

from casstore.errors import NotFound, Refused, StorageError, printable, quote


def parts_of(name: str) -> list[str]:
    """The components of a path, without those that mean nothing."""
    return [part for part in name.split("/") if part not in ("", ".")]


def cannot_open(path: str, error: OSError) -> NotFound | StorageError:
    """The refusal to open `path`, in the words of dockerd and the operating system."""
    reason = (error.strerror or str(error)).lower()
    kind = NotFound if error.errno in (errno.ENOENT, errno.ENOTDIR) else StorageError
    return kind(f"open {printable(path)}: {reason}")


def safe_name(name: str) -> str:
    """`name` as a key of an archive.

    Raises:
        Refused: it is absolute, has `..` in it, or is empty.
    """
    parts = parts_of(name)
    if name.startswith("/") or ".." in parts or not parts or "\0" in name:
        raise Refused(f"invalid path {quote(name)} in the archive")
    return "/".join(parts)
