"""A second thread for a stream: it does what the one that reads need not do itself."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from queue import SimpleQueue

from casstore.model.digest import Digest
from casstore.transfer.layertar import LayerScanner

_TOKEN = 1 << 20  # what waits is counted by so many bytes
_BACKLOG = 8 << 20

Work = Callable[[bytes | memoryview], object]


class SideThread:
    """Work on pieces, done in the order in which it is given, by a thread where that helps.

    Pieces must not change once they are given. `finish` or `close` ends the thread.
    """

    def __init__(
        self, helps: Callable[[], bool] = lambda: True, *, backlog: int = _BACKLOG
    ) -> None:
        """Make one that does nothing yet.

        Args:
            helps: is asked for each piece; what need not wait for others is else done at once.
            backlog: bytes of pieces that wait or are worked on. A small piece counts as 1 MiB, a
                larger one waits until there is nothing else.
        """
        self._helps = helps
        self._queue: SimpleQueue[tuple[Work, bytes | memoryview] | None] = SimpleQueue()
        self._most = max(1, backlog // _TOKEN)  # tokens
        self._room: SimpleQueue[None] = SimpleQueue()
        for _ in range(self._most):
            self._room.put(None)
        self._given = 0
        self._done = 0  # by the thread; the caller reads it
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def do(self, work: Work, data: bytes | memoryview) -> None:
        """Have `work(data)` done after all that was given before. Raises what went wrong there."""
        self._check()
        if self._given == self._done and not self._helps():
            work(data)
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="casstore-side", daemon=True)
            self._thread.start()
        for _ in range(self._tokens(data)):
            self._room.get()
        self._given += 1
        self._queue.put((work, data))

    def finish(self) -> None:
        """Wait until all is done. Raises what went wrong."""
        self.close()
        self._check()

    def close(self) -> None:
        """End the thread after what it was given; harmless a second time."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (given := self._queue.get()) is not None:
            work, data = given
            try:
                if self._error is None:
                    work(data)
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                self._error = error
            self._done += 1
            for _ in range(self._tokens(data)):
                self._room.put(None)

    def _tokens(self, data: bytes | memoryview) -> int:
        return min(max(1, -(-len(data) // _TOKEN)), self._most)


class PlainBytes:
    """What comes out of a layer: hashed, counted, and scanned for its files."""

    def __init__(self, scanner: LayerScanner | None = None) -> None:
        self.size = 0
        self._hash = hashlib.sha256()
        self._scanner = scanner

    def add(self, data: bytes | memoryview) -> None:
        self._hash.update(data)
        self.size += len(data)
        if self._scanner is not None:
            self._scanner.feed(data)

    @property
    def diff_id(self) -> Digest:
        return Digest.of_bytes(self._hash.digest())
