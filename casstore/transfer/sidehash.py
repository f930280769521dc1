"""A sha256 that is computed in a thread of its own while the caller gets on with the stream."""

from __future__ import annotations

import hashlib
import threading
from queue import SimpleQueue

from casstore.model.digest import Digest
from casstore.transfer.layertar import LayerScanner

_BACKLOG = 4  # pieces that may wait, so the memory is the caller's piece size times this


class SideHash:
    """Hashes the pieces given to `update`, in order, and feeds them to `scanner`, if any.

    Pieces must not change once they are given. `finish` or `close` ends the thread.
    """

    def __init__(self, scanner: LayerScanner | None = None) -> None:
        self.size = 0
        self._hash = hashlib.sha256()
        self._scanner = scanner
        self._queue: SimpleQueue[bytes | memoryview | None] = SimpleQueue()
        self._room = threading.Semaphore(_BACKLOG)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="casstore-hash", daemon=True)
        self._thread.start()

    def update(self, data: bytes | memoryview) -> None:
        self._room.acquire()
        self.size += len(data)
        self._queue.put(data)

    def finish(self) -> Digest:
        """The digest of all pieces."""
        self.close()
        if self._error is not None:
            raise self._error
        return Digest.of_bytes(self._hash.digest())

    def close(self) -> None:
        """End the thread after what it was given; harmless a second time."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (data := self._queue.get()) is not None:
            try:
                self._hash.update(data)
                if self._scanner is not None:
                    self._scanner.feed(data)
            except BaseException as error:  # noqa: BLE001 - raised again by `finish`
                self._error = error
            self._room.release()


class PlainHash:
    """The same, in the caller's thread: for what is too small to be worth a thread."""

    def __init__(self, scanner: LayerScanner | None = None) -> None:
        self.size = 0
        self._hash = hashlib.sha256()
        self._scanner = scanner

    def update(self, data: bytes | memoryview) -> None:
        self.size += len(data)
        self._hash.update(data)
        if self._scanner is not None:
            self._scanner.feed(data)

    def finish(self) -> Digest:
        return Digest.of_bytes(self._hash.digest())

    def close(self) -> None:
        pass
