"""A copy of a whole file, which shares the blocks of the original where the file system can."""

from __future__ import annotations

_COPY = 1 << 20


def copy_file(source: str, target: str) -> None:
    """Copy the bytes of `source` into a new file (a reflink where the file system can)."""
    with open(source, "rb") as from_file, open(target, "xb") as to_file:
        if _reflink(to_file.fileno(), from_file.fileno()):
            return
        while piece := from_file.read(_COPY):
            to_file.write(piece)


def _reflink(target: int, source: int) -> bool:
    import fcntl

    ficlone = 0x40049409  # linux/fs.h FICLONE
    try:
        fcntl.ioctl(target, ficlone, source)
    except OSError:
        return False
    return True
