"""Names of members as keys: what stands between an archive's text and any path.

A name stays inside: `./`, doubled slashes and a slash at the beginning mean nothing. Buildpacks
write `/<hex>.tar`, in the tar and in manifest.json, and all other tools look below the archive's
top for it.
"""

from __future__ import annotations

from casstore.errors import NotFound, Refused, StorageError, printable, quote

MAX_MEMBERS = 100_000  # of an archive, whether it is a tar or a directory


class NoSuchMember(Refused):
    """An archive has no member of a name that is asked for."""

    def __init__(self, name: str) -> None:
        super().__init__(f"open {printable(name[:200])}: no such file or directory")


def parts_of(name: str) -> list[str]:
    """The components of a path, without those that mean nothing."""
    return [part for part in name.split("/") if part not in ("", ".")]


def cannot_open(path: str, error: OSError) -> NotFound | StorageError:
    """The refusal to open `path`, in the words of dockerd and the operating system."""
    import errno

    reason = (error.strerror or str(error)).lower()
    kind = NotFound if error.errno in (errno.ENOENT, errno.ENOTDIR) else StorageError
    return kind(f"open {printable(path)}: {reason}")


def safe_name(name: str) -> str:
    """`name` as a key of an archive.

    Raises:
        Refused: it has `..` in it, or is empty.
    """
    parts = parts_of(name)
    if ".." in parts or not parts or "\0" in name:
        raise Refused(f"invalid path {quote(name)} in the archive")
    return "/".join(parts)
