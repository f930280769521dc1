"""Files as a layer describes them, and as they stand in an image.

A layer is a tar: regular files, directories, links and devices, and markers ("whiteouts") that hide
what lower layers have (OCI image spec, layer.md). Names are bytes, of no particular encoding.
"""

from __future__ import annotations

from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime

# What an entry is.
FILE = "file"
DIRECTORY = "directory"
SYMLINK = "symlink"
CHARACTER_DEVICE = "character device"
BLOCK_DEVICE = "block device"
FIFO = "fifo"
# Only in the contents of a layer, never in an image.
HARD_LINK = "hard link"  # to a file of a lower layer; one to a file of the same layer is that file
WHITEOUT = "whiteout"  # hides this name, and all below it, in lower layers
OPAQUE = "opaque"  # hides all below this name in lower layers, and not the name itself
MARKERS = (WHITEOUT, OPAQUE)

ROOT = b""


class FileEntry(Value):
    """A file, directory, link or device; in the contents of a layer a marker, too."""

    name: bytes  # from the root, without slashes around it, `.` or `..`; empty for the root
    kind: str  # one of the words above
    mode: int  # permission bits, with set-user-ID, set-group-ID and sticky
    uid: int
    gid: int
    mtime: int  # nanoseconds since 1970
    size: int  # bytes of a file's content, holes included; 0 for all else
    target: bytes = b""  # of a symbolic link, as written; of a hard link the name it leads to
    device: tuple[int, int] = (0, 0)  # major and minor number
    xattrs: tuple[tuple[bytes, bytes], ...] = ()  # by name
    sha256: bytes = b""  # of a file's content; empty where nobody has hashed it
    offset: int = 0  # of a file's content in the tar of its layer, uncompressed
    # Of a sparse file: where in the file each piece belongs that the tar has, and its length. The
    # pieces follow each other from `offset` on. None: the content is there in one piece.
    extents: tuple[tuple[int, int], ...] | None = None
    order: int = 0  # which entry of its layer this is, counted from 1; 0: no layer describes it
    # `order` of the entry that made the file. Entries of a layer with the same are hard links of
    # each other.
    inode: int = 0
    shared: bool = False  # whether another entry of the layer is a hard link to the same file

    @property
    def path(self) -> str:
        """As `path_of`."""
        return path_of(self.name)

    @property
    def modified_at(self) -> datetime:
        """`mtime` as a datetime in UTC, rounded down to a microsecond."""
        from casstore.model.datetimes import datetime_of

        return datetime_of(self.mtime)


def path_of(name: bytes) -> str:
    """A name with a slash before it; bytes that are not UTF-8 are lone surrogates."""
    return "/" + name.decode("utf-8", "surrogateescape")


def sort_key(name: bytes) -> bytes:
    """What entries are sorted by: a directory comes right before all that is below it."""
    return name.replace(b"/", b"\0")


def normalised(path: bytes) -> bytes:
    """The name that a path has, whose `..` never lead out of the root."""
    if not (path.startswith((b"/", b".")) or path.endswith(b"/") or b"//" in path or b"/." in path):
        return path
    parts: list[bytes] = []
    for part in path.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts)


def parent_of(name: bytes) -> bytes:
    """The directory that a name is in; of the root the root."""
    return name.rpartition(b"/")[0]


def below(name: bytes, part: bytes) -> bytes:
    """The name of `part` in the directory `name`."""
    return name + b"/" + part if name else part
