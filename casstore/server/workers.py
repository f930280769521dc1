"""Several processes that share the listening sockets: `--workers N`.

The store is made for many processes, and Python runs one thread at a time in each. The first
process accepts nothing: it starts the others, starts one again that ends by itself, and tells all
of them to stop.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable

from casstore.server.metrics import Board

_TICK = 0.5  # seconds between two looks at how the workers are
_SHORT = 5.0  # seconds; a worker that ends sooner by itself ends all
_FAILED = 1
_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def run_workers(
    count: int,
    board: Board,
    work: Callable[[int, int], None],
    *,
    begin: Callable[[], None],
    idle_exit: float | None,
) -> bool:
    """Run `work` in so many processes until a signal, or until there is nothing to do.

    Args:
        work: what each process does, called with its number and with a descriptor that can be
            read when this process has gone. The signals are blocked until it can take them, and
            `ready` unblocks them: one that came sooner would be lost.
        begin: called when signals are taken, and the processes started.
        idle_exit: seconds without a request after which all are stopped.

    Returns:
        False if one ended as soon as it began, so that it made no sense to go on.
    """
    gone, mine = os.pipe()  # nobody writes into it: it ends with this process
    wake, woken = socket.socketpair()
    for end in (wake, woken):
        end.settimeout(0)
    workers: dict[int, tuple[int, float]] = {}
    stops = 0

    def note(_number: int, _frame: object) -> None:
        nonlocal stops
        stops += 1
        try:
            wake.send(b"x")
        except OSError:
            pass

    for number in _STOPS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, note)

    def start(row: int) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
        child = os.fork()
        if child:
            workers[child] = row, time.monotonic()
            ready()
            return
        status = _FAILED
        try:
            os.close(mine)
            board.take_row(row)
            work(row, gone)
            status = 0
        finally:
            os._exit(status)  # what the parent has begun, a worker does not finish

    for row in range(count):
        start(row)
    begin()
    is_well = True
    told = 0
    with selectors.DefaultSelector() as selector:
        selector.register(woken, selectors.EVENT_READ)
        while workers:
            if told < min(stops, 2):
                told += 1
                _tell(workers)
            selector.select(_TICK)
            for child, (row, begun) in list(workers.items()):
                if os.waitpid(child, os.WNOHANG) == (0, 0):
                    continue
                del workers[child]
                if stops:
                    continue
                if time.monotonic() - begun < _SHORT:
                    is_well, stops = False, 1
                else:
                    start(row)
            if idle_exit is not None and not stops and board.idle_for() >= idle_exit:
                stops = 1
    os.close(gone)
    os.close(mine)
    return is_well


def ready() -> None:
    """Take signals from now on."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)


def _tell(workers: dict[int, tuple[int, float]]) -> None:
    for child in workers:
        try:
            os.kill(child, signal.SIGTERM)
        except ProcessLookupError:
            pass
