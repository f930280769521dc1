"""The content of one blob against its name: wrong bytes, or bytes that nobody can read just now.

The two are not the same: wrong bytes may be put aside, but an I/O error, or a process without a
descriptor left, says nothing about what is stored.
"""

from __future__ import annotations

import os

from casstore.errors import Damaged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.disk.blobdir import BlobDirectory
    from casstore.model.digest import Digest
    from casstore.progress import Task

UNREADABLE = "blob-unreadable"
_READ = 1 << 20


def content_problem(
    blobs: BlobDirectory, digest: Digest, task: Task | None = None
) -> tuple[str, str] | None:
    """What is wrong with a blob's content, as code and text; None if it has its digest."""
    import hashlib

    state = hashlib.sha256()
    try:
        with blobs.open(digest) as file:
            buffer = memoryview(bytearray(min(_READ, os.fstat(file.fileno()).st_size + 1)))
            while count := file.readinto(buffer):  # type: ignore[attr-defined]
                state.update(buffer[:count])
                if task is not None:
                    task.advance(count)
    except Damaged as error:  # it could not be opened
        return UNREADABLE, str(error)
    except OSError as error:
        return unreadable(error)
    if state.hexdigest() == digest.hex:
        return None
    return "blob-corrupt", "its content has another digest"


def unreadable(error: OSError) -> tuple[str, str]:
    """The operating system's refusal, as code and text of a finding."""
    return UNREADABLE, f"cannot be read: {os.strerror(error.errno or 0).lower()}"
