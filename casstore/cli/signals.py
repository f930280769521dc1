"""Signals that end a run of many turns after the image in hand, with its report."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

    from casstore.gc.stop import Stop

SIGNALLED = 128  # and the signal's number: as a shell tells of a process that a signal has ended


class Signals:
    """Lets SIGTERM, SIGINT and SIGHUP end a run after the image in hand; one signal is enough."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._before: dict[int, Any] = {}
        self.number = 0

    def __enter__(self) -> Self:
        import signal

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        import signal

        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def status(self) -> int:
        """The exit status of a run that a signal has ended."""
        return SIGNALLED + self.number

    def _ask(self, number: int, _frame: object) -> None:
        if not self.number:
            self.number = number
            self._stop.ask(number)
