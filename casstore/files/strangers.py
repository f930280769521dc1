"""Files that systems put into any directory: they are nobody's work, and harm no store."""

from __future__ import annotations

_NAMES = frozenset(
    (
        "lost+found",  # the root of an ext file system
        ".snapshot", ".snapshots", ".zfs", ".ckpt",  # snapshots of file servers, btrfs and ZFS
        ".stfolder", ".stignore", ".stversions", ".sync", ".dropbox",  # what synchronizes
        ".DS_Store", ".localized", ".Spotlight-V100", ".Trashes", ".fseventsd",  # macOS
        ".TemporaryItems", ".apdisk", ".VolumeIcon.icns", ".AppleDouble",
        "Thumbs.db", "desktop.ini", "$RECYCLE.BIN", "System Volume Information",  # Windows
        "@eaDir", "#recycle", ".@__thumb",  # network storage
        ".directory", ".autofsck", ".journal", "aquota.user", "aquota.group",  # Linux
        "quota.user", "quota.group", ".nomedia", ".keep", ".gitkeep",
    )
)  # fmt: skip
# .nfs…: an open file that was removed (NFS); .fuse_hidden…: the same (FUSE); ._…: macOS's
# attributes of a file, on other systems' disks; .Trash-1000: a desktop's trash on this disk.
_BEGINNINGS = (".nfs", ".fuse_hidden", "._", ".Trash-", ".~tmp~", ".rsync", ".syncthing.")


def is_systems(name: str) -> bool:
    """Whether a system makes files of this name anywhere, without being asked."""
    return name in _NAMES or name.startswith(_BEGINNINGS)
