"""Files of an image, and how they differ between two."""

from __future__ import annotations

from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from casstore.model.digest import Digest
    from casstore.model.fileentry import FileEntry

# What FileChange says of a path.
ADDED = "added"
REMOVED = "removed"
CHANGED = "changed"


class ImageFile:
    """A file, directory, link or device of an image, or of one layer.

    Paths and targets are text in which each byte that is not UTF-8 is a lone surrogate, as
    `os.fsdecode` has it; `name` has the bytes.
    """

    __slots__ = ("_entry", "layer")

    def __init__(self, entry: FileEntry, layer: Digest | None) -> None:
        self._entry = entry
        self.layer = layer  # blob digest; None for a directory that no layer describes

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ImageFile):
            return NotImplemented
        return self._entry == other._entry and self.layer == other.layer

    def __hash__(self) -> int:
        return hash((self._entry, self.layer))

    def __repr__(self) -> str:
        return f"<{self.kind} {self.path!r}, mode {self.mode:o}, {self.size} bytes>"

    @property
    def path(self) -> str:
        """From the root of the image, with a slash before it."""
        return self._entry.path

    @property
    def name(self) -> bytes:
        """From the root, without slashes around it; empty for the root."""
        return self._entry.name

    @property
    def kind(self) -> str:
        """`file`, `directory`, `symlink`, `character device`, `block device` or `fifo`.

        In the contents of one layer also `whiteout`, `opaque` and `hard link` (to a file of a layer
        below it).
        """
        return self._entry.kind

    @property
    def mode(self) -> int:
        """Permission bits, with set-user-ID, set-group-ID and sticky."""
        return self._entry.mode

    @property
    def uid(self) -> int:
        """Owner."""
        return self._entry.uid

    @property
    def gid(self) -> int:
        """Group."""
        return self._entry.gid

    @property
    def size(self) -> int:
        """Bytes of a file's content; 0 for all else."""
        return self._entry.size

    @property
    def mtime(self) -> int:
        """When the content last changed, in nanoseconds since 1970."""
        return self._entry.mtime

    @property
    def modified_at(self) -> datetime:
        """`mtime` as a datetime in UTC, rounded down to a microsecond."""
        return self._entry.modified_at

    @property
    def target(self) -> str | None:
        """Where a symbolic link leads, as written; None for all else."""
        from casstore.model.fileentry import HARD_LINK, SYMLINK

        if self.kind not in (SYMLINK, HARD_LINK):
            return None
        return self._entry.target.decode("utf-8", "surrogateescape")

    @property
    def device(self) -> tuple[int, int] | None:
        """Major and minor number of a device; None for all else."""
        return self._entry.device if self.kind.endswith("device") else None

    @property
    def xattrs(self) -> Mapping[str, bytes]:
        """Extended attributes."""
        return {
            name.decode("utf-8", "surrogateescape"): value for name, value in self._entry.xattrs
        }

    @property
    def sha256(self) -> str | None:
        """Hex SHA-256 of a file's content; None for all else."""
        return self._entry.sha256.hex() or None

    @property
    def raw_target(self) -> bytes:
        """`target` as bytes; empty where there is none."""
        return self._entry.target

    @property
    def is_shared(self) -> bool:
        """Whether another path of the image may be the same file; its `inode` says so."""
        return self._entry.shared

    @property
    def inode(self) -> tuple[Digest | None, int]:
        """What files have in common that are hard links of each other."""
        return self.layer, self._entry.inode

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return self.kind == "file"

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return self.kind == "directory"


class LayerUse(Value):
    """The regular files that one layer of an image brings, and those that the image does not show.

    A file counts once, whatever number of names it has.
    """

    digest: Digest  # of the blob
    created_by: str  # the step of the image's history that made it; empty where it is not told
    files: int
    size: int  # bytes of their content
    overwritten_files: int  # hidden; the image has something else under one of their names
    overwritten: int  # bytes
    deleted_files: int  # hidden; the image has nothing under their names
    deleted: int  # bytes

    @property
    def hidden(self) -> int:
        """Bytes that later layers overwrite or delete."""
        return self.overwritten + self.deleted


class FileChange(Value):
    """How one path differs between two images."""

    path: str
    change: str  # `added`, `removed` or `changed`
    before: ImageFile | None  # None if it was added
    after: ImageFile | None  # None if it was removed
    # What has changed: `kind`, `mode`, `owner`, `size`, `content`, `target`, `device`, `xattrs`,
    # `mtime`.
    what: tuple[str, ...]
