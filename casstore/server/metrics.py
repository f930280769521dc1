"""Counts of what the server does, for Prometheus and for the end of an idle server.

They stand in memory that all processes of one server share: each writes a row of its own, and
whichever is asked adds them up. So no process needs to ask another.
"""

from __future__ import annotations

import mmap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# Seconds; those of Prometheus' client libraries, less the finest, and two more for large layers.
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 300.0)
CLASSES = ("2xx", "3xx", "4xx", "5xx")
_RUNNING, _CONNECTIONS, _LAST, _RECEIVED, _SENT, _REFUSED, _SECONDS = range(7)
_BY_CLASS = 7
_BY_TIME = _BY_CLASS + len(CLASSES)
_WIDTH = _BY_TIME + len(BUCKETS) + 1
_BYTES = 8  # of a number

TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Counted:
    """A request that is being answered; its status is known at the end."""

    status = 500


class Board:
    """The counts of one server, of all its processes."""

    def __init__(self, rows: int = 1) -> None:
        """`rows`: how many processes there are; made before they are started."""
        self._rows = rows
        self._numbers = memoryview(mmap.mmap(-1, rows * _WIDTH * _BYTES)).cast("d")
        for row in range(rows):
            self._numbers[row * _WIDTH + _LAST] = time.monotonic()
        self._at = 0
        self._lock = threading.Lock()

    def take_row(self, row: int) -> None:
        """Say which row is this process's; what another has left in it counts on, save gauges."""
        self._at = row * _WIDTH
        self._lock = threading.Lock()
        self._numbers[self._at + _RUNNING] = self._numbers[self._at + _CONNECTIONS] = 0.0

    @contextmanager
    def counting(self) -> Iterator[Counted]:
        """Count one request."""
        counted, begun = Counted(), time.monotonic()
        self._add((_RUNNING, 1.0))
        try:
            yield counted
        finally:
            now = time.monotonic()
            taken = now - begun
            place = next((n for n, most in enumerate(BUCKETS) if taken <= most), len(BUCKETS))
            kind = min(max(counted.status // 100 - 2, 0), 3)
            self._add(
                (_RUNNING, -1.0), (_BY_CLASS + kind, 1.0), (_BY_TIME + place, 1.0),
                (_SECONDS, taken),
            )  # fmt: skip
            self._numbers[self._at + _LAST] = now

    def connected(self, change: int) -> None:
        """A connection more, or one less."""
        self._add((_CONNECTIONS, float(change)))

    def refused(self) -> None:
        """A connection more that was refused, because there are too many."""
        self._add((_REFUSED, 1.0))

    def moved(self, received: int, sent: int) -> None:
        """Bytes of a connection that is over, or of a request."""
        self._add((_RECEIVED, float(received)), (_SENT, float(sent)))

    def idle_for(self) -> float:
        """Seconds since the last request ended, in any process; 0 while one is answered."""
        if self._sum(_RUNNING) > 0:
            return 0.0
        last = max(self._numbers[row * _WIDTH + _LAST] for row in range(self._rows))
        return max(0.0, time.monotonic() - last)

    def text(self) -> str:
        """All of it, in Prometheus' text format, version 0.0.4."""
        lines = []

        def add(name: str, kind: str, text: str, samples: list[tuple[str, float]]) -> None:
            lines.append(f"# HELP {name} {text}\n# TYPE {name} {kind}\n")
            lines.extend(f"{name}{suffix} {_shown(value)}\n" for suffix, value in samples)

        requests = [
            (f'{{status="{kind}"}}', self._sum(_BY_CLASS + n)) for n, kind in enumerate(CLASSES)
        ]
        add("casstore_server_requests_total", "counter", "Requests answered.", requests)
        name = "casstore_server_request_seconds"
        lines.append(f"# HELP {name} How long requests took.\n# TYPE {name} histogram\n")
        total = 0.0
        for n, most in enumerate((*BUCKETS, None)):
            total += self._sum(_BY_TIME + n)
            limit = "+Inf" if most is None else f"{most:g}"
            lines.append(f'{name}_bucket{{le="{limit}"}} {_shown(total)}\n')
        lines.append(f"{name}_sum {_shown(self._sum(_SECONDS))}\n")
        lines.append(f"{name}_count {_shown(total)}\n")
        for metric, kind, text, field in (
            ("requests_running", "gauge", "Requests that are being answered.", _RUNNING),
            ("connections", "gauge", "Connections that are open.", _CONNECTIONS),
            ("connections_refused_total", "counter", "Connections beyond the limit.", _REFUSED),
            ("received_bytes_total", "counter", "Bytes received from clients.", _RECEIVED),
            ("sent_bytes_total", "counter", "Bytes sent to clients.", _SENT),
        ):
            add(f"casstore_server_{metric}", kind, text, [("", self._sum(field))])
        return "".join(lines)

    def _add(self, *changes: tuple[int, float]) -> None:
        with self._lock:
            for field, change in changes:
                self._numbers[self._at + field] += change

    def _sum(self, field: int) -> float:
        return sum(self._numbers[row * _WIDTH + field] for row in range(self._rows))


def _shown(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.6f}"
