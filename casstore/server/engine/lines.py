"""Answers that come piece by piece while the work goes on: progress as JSON lines, archives.

The work runs in a thread of its own and gives pieces; the connection's thread takes them and sends
each at once. The first piece is waited for, so that what goes wrong before it has a status of its
own. Work that reads the request's body gives nothing before it has read it: two threads must not
use one connection, and clients that send a body do not read the answer meanwhile.

If the client goes, the next piece ends the work, as Ctrl-C would: what is not whole is rolled back.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from casstore.errors import CasstoreError
from casstore.server.message import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    Give = Callable[[bytes], None]
    Tell = Callable[[dict[str, Any]], None]

_AHEAD = 8  # pieces that work may be ahead of what is sent
_PULSE = 1.0  # seconds after which an empty piece lets the connection look whether it is needed
_BAR = 50  # cells of the bar that dockerd draws in `progress`


class ClientGone(KeyboardInterrupt):
    """Nobody is there any more to take what the work gives."""


class Pieces:
    """What work in a thread of its own gives: an iterable of bytes, to be closed."""

    def __init__(self, work: Callable[[Give], None]) -> None:
        self._work = work
        self._changed = threading.Condition()
        self._ready: deque[bytes] = deque()
        self._is_over = self._is_gone = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begun(self) -> Self:
        """Begin, and wait for nothing."""
        self._thread.start()
        return self

    def started(self) -> Self:
        """Begin, and wait for the first piece. Raises what the work raises before it."""
        self._thread.start()
        with self._changed:
            self._changed.wait_for(self._is_decided)
            if self._error is not None and not self._ready:
                raise self._error
        return self

    def __iter__(self) -> Iterator[bytes]:
        while True:
            with self._changed:
                if not self._changed.wait_for(self._is_decided, _PULSE):
                    piece = b""
                elif not self._ready:
                    if self._error is not None:
                        raise self._error
                    return
                else:
                    piece = self._ready.popleft()
                    self._changed.notify_all()
            yield piece

    def close(self) -> None:
        """Take no more; the work ends with the next piece that it gives."""
        with self._changed:
            self._is_gone = True
            self._changed.notify_all()

    def wait(self, seconds: float) -> bool:
        """Wait, in the work, for its end; whether no more is taken."""
        with self._changed:
            return self._changed.wait_for(lambda: self._is_gone, seconds)

    def _is_decided(self) -> bool:
        return bool(self._ready) or self._is_over

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            self._work(self._give)
        except ClientGone:
            pass
        except BaseException as failure:  # noqa: BLE001 - raised again where the pieces are taken
            error = failure
        with self._changed:
            self._is_over, self._error = True, error
            self._changed.notify_all()

    def _give(self, piece: bytes) -> None:
        """Hand over a piece. Raises ClientGone."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_gone or len(self._ready) < _AHEAD)
            if self._is_gone:
                raise ClientGone
            if piece:
                self._ready.append(piece)
                self._changed.notify_all()


class Output:
    """A stream to write to, whose pieces somebody takes: a file for whoever writes an archive."""

    def __init__(self, give: Give) -> None:
        self._give = give

    def write(self, data: bytes | bytearray | memoryview, /) -> int:
        self._give(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Every piece is on its way already."""


def progress_lines(work: Callable[[Tell], None], *, always: bool = False) -> Response:
    """An answer of JSON lines, as docker's clients expect of pull, push and load.

    Args:
        work: called with what sends an object as a line.
        always: what goes wrong before the first line is a line too, and not an answer of its own.
    """

    def run(give: Give) -> None:
        told = False

        def tell(line: dict[str, Any]) -> None:
            nonlocal told
            told = True
            give(line_of(line))

        try:
            work(tell)
        except CasstoreError as error:
            if not told and not always:
                raise
            from casstore.server.engine.failures import message_of

            give(error_line(message_of(error)))

    pieces = Pieces(run).started()
    return Response(200, [("Content-Type", "application/json")], pieces)


def line_of(value: dict[str, Any]) -> bytes:
    """An object as a line, ended as dockerd ends it."""
    return json.dumps(value, separators=(",", ":")).encode() + b"\r\n"


def error_line(message: str) -> bytes:
    """What ends a stream that went wrong."""
    return line_of({"errorDetail": {"message": message}, "error": message})


def counted(status: str, item: str, done: int, total: int | None) -> dict[str, Any]:
    """A line that says how far one layer is."""
    detail: dict[str, int] = {"current": done} if done else {}
    if total and done:
        detail["total"] = total
    return {
        "status": status,
        "progressDetail": detail,
        "progress": bar(done, total),
        "id": item,
    }


def worded(status: str, item: str) -> dict[str, Any]:
    """A line that says what becomes of one layer."""
    return {"status": status, "progressDetail": {}, "id": item}


def bar(done: int, total: int | None) -> str:
    """`[=====>     ]   1.2MB/3MB`, as Docker's jsonmessage draws it."""
    if not total:
        return f"{_amount(done):>8}" if done else ""
    if done > total:
        return f"{_amount(done):>8}"
    cells = 100 * done // total // 2
    return f"[{'=' * cells}>{' ' * (_BAR - cells)}] {_amount(done):>8}/{_amount(total)}"


def _amount(size: int) -> str:
    """Four significant digits and a unit of a thousand (go-units, HumanSize)."""
    value, units = float(size), iter(("B", "kB", "MB", "GB", "TB", "PB"))
    unit = next(units)
    while value >= 1000.0:
        value, unit = value / 1000.0, next(units)
    return f"{value:.4g}{unit}"
