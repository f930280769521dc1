"""What to do with an input that holds no images, but something that can be told."""

from __future__ import annotations

from casstore.errors import NotFound, Refused, StorageError, quote
from casstore.transfer.directoryarchive import DirectoryArchive
from casstore.transfer.formats import FORMATS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.transfer.archive import Archive

# Directories at the top of a root file system.
_OF_A_SYSTEM = frozenset(("bin", "boot", "dev", "etc", "lib", "proc", "sbin", "sys", "usr", "var"))


def advice_on(archive: Archive) -> str:
    """The end of a message about it; empty where there is nothing to say."""
    try:
        names = archive.names
    except (Refused, NotFound, StorageError):
        return ""
    tops = {name.partition("/")[0] for name in names}
    if tops & _OF_A_SYSTEM:
        return "; a root file system (docker export) becomes an image with casstore import"
    telling = {form.files[0][0] for form in FORMATS}
    for top in sorted(tops):
        if any(f"{top}/{name}" in names for name in telling):
            if isinstance(archive, DirectoryArchive):
                return f"; its directory {quote(top)} has: load that"
            return f"; its directory {quote(top)} has: make the archive of what is in that (tar -C)"
    return ""
