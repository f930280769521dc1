"""The content of one blob against its name: wrong bytes, or bytes that nobody can read just now.

The two are not the same: wrong bytes may be put aside, but an I/O error, or a process without a
descriptor left, says nothing about what is stored.

Many blobs are read by as many threads as there are cores, the largest first, so that all end at
about the same time: a blob is hashed by one thread.
"""

from __future__ import annotations

import os

from casstore.errors import Damaged, StorageError
from casstore.progress import INTERVAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from casstore.backends.local.blobs import BlobDirectory
    from casstore.model.digest import Digest
    from casstore.progress import Task

UNREADABLE = "blob-unreadable"
# What is read is hashed while it is in the core's own cache: a large buffer costs a sixth more.
_READ = 128 << 10


def content_problem(
    blobs: BlobDirectory,
    digest: Digest,
    task: Task | None = None,
    buffer: memoryview | None = None,
) -> tuple[str, str] | None:
    """What is wrong with a blob's content, as code and text; None if it has its digest."""
    import hashlib

    state = hashlib.sha256()
    try:
        with blobs.open(digest) as file:
            if buffer is None:
                buffer = memoryview(bytearray(min(_READ, os.fstat(file.fileno()).st_size + 1)))
            while count := file.readinto(buffer):
                state.update(buffer[:count])
                if task is not None:
                    task.advance(count)
    except (Damaged, StorageError) as error:
        return UNREADABLE, str(error)
    except OSError as error:
        return unreadable(error)
    if state.hexdigest() == digest.hex:
        return None
    return "blob-corrupt", "its content has another digest"


class ContentCheck:
    """Blobs being read and hashed while the caller does something else."""

    def __init__(
        self, blobs: BlobDirectory, sizes: Iterable[tuple[Digest, int]], task: Task | None = None
    ) -> None:
        """Begin with `sizes`: digests, and how large the blobs are."""
        import threading
        from queue import Empty, SimpleQueue

        self._blobs, self._task = blobs, task
        self._problems: dict[Digest, tuple[str, str]] = {}
        self._error: BaseException | None = None
        self._empty = Empty
        self._ahead: SimpleQueue[Digest] = SimpleQueue()
        wanted = sorted(sizes, key=lambda one: -one[1])
        for digest, _ in wanted:
            self._ahead.put(digest)
        self._threads = [
            threading.Thread(target=self._run, name="casstore-check", daemon=True)
            for _ in range(min(os.cpu_count() or 1, len(wanted)))
        ]
        for thread in self._threads:
            thread.start()

    def problems(self) -> dict[Digest, tuple[str, str]]:
        """Wait for the end; what is wrong, as `content_problem` says it."""
        if self._task is not None:
            for thread in self._threads:
                while thread.is_alive():
                    thread.join(INTERVAL)
                    self._task.pulse()
        self._join()
        if self._error is not None:
            raise self._error
        return self._problems

    def stop(self) -> None:
        """Leave what was not begun, and wait for the rest; harmless at the end."""
        self._error = InterruptedError()
        self._join()

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        buffer = memoryview(bytearray(_READ))
        try:
            while self._error is None:
                digest = self._ahead.get_nowait()
                problem = content_problem(self._blobs, digest, self._task, buffer)
                if problem is not None:
                    self._problems[digest] = problem
        except self._empty:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self._error = error


def directory_problem(path: str) -> tuple[str, str] | None:
    """Why a directory cannot be looked into, as code and text; None if it can, or is not there."""
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                entry.stat(follow_symlinks=False)
                break
    except FileNotFoundError:
        return None
    except OSError as error:
        return "dir-unreadable", unreadable(error)[1]
    return None


def unreadable(error: OSError) -> tuple[str, str]:
    """The operating system's refusal, as code and text of a finding."""
    return UNREADABLE, f"cannot be read: {os.strerror(error.errno or 0).lower()}"
