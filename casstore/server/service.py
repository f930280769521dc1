"""The service of one process: it accepts connections, and gives each a thread.

A signal ends it: it accepts no more, connections without a request are closed, and requests get a
while to end. A client that comes when there are too many takes the place of a connection that is
idle; if none is, it is told to come again (503), and those that are served notice nothing.
"""

from __future__ import annotations

import queue
import selectors
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from casstore.server import limits
from casstore.server.connection import Connection
from casstore.server.metrics import Board
from casstore.server.site import Site
from casstore.server.tls import Certificate
from casstore.server.wire import Wire

_LEISURE = 30.0  # seconds that a thread waits for another connection before it ends
_TICK = 1.0  # seconds between two looks at the clock, where there is something to look for
_PAUSE = 0.1  # seconds, when there is no descriptor left for another connection
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 22\r\nConnection: close\r\n\r\nToo many connections.\n"
)


@dataclass(frozen=True, slots=True)
class Door:
    """A listening socket, and what is served there."""

    socket: socket.socket
    site: Site
    certificate: Certificate | None = None
    name: str = "Registry"  # of what is served, for people


class Crew:
    """Threads that serve one connection after the other; more of them while they are needed."""

    def __init__(self) -> None:
        self._waiting = 0
        self._is_over = False
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()

    def give(self, work: Callable[[], None]) -> None:
        """Have a thread do it. Raises RuntimeError if none can be started."""
        with self._lock:
            if self._waiting:
                self._waiting -= 1
                self._work.put(work)
                return
        threading.Thread(target=self._run, args=(work,), daemon=True).start()

    def end(self) -> None:
        """Let the threads end that have nothing to do, and the others after what they do."""
        with self._lock:
            self._is_over = True
            for _ in range(self._waiting):
                self._work.put(None)
            self._waiting = 0

    def _run(self, work: Callable[[], None]) -> None:
        next_one: Callable[[], None] | None = work
        while next_one is not None:
            next_one()
            del next_one
            next_one = self._await_work()

    def _await_work(self) -> Callable[[], None] | None:
        with self._lock:
            if self._is_over:
                return None
            self._waiting += 1
        try:
            return self._work.get(timeout=_LEISURE)
        except queue.Empty:
            pass
        with self._lock:
            try:
                return self._work.get_nowait()  # which came in between, and counts as taken
            except queue.Empty:
                self._waiting -= 1
                return None


class Service:
    """Accepts and serves until it is told to stop."""

    def __init__(
        self,
        doors: Sequence[Door],
        board: Board,
        *,
        most: int = limits.MAX_CONNECTIONS,
        idle_exit: float | None = None,
        grace: float = limits.GRACE_SECONDS,
    ) -> None:
        """Prepare.

        Args:
            most: connections at one time.
            idle_exit: seconds without a request after which it stops by itself.
            grace: seconds that requests get to end.
        """
        self._doors, self._board = doors, board
        self._most, self._idle_exit, self._grace = most, idle_exit, grace
        self._crew = Crew()
        self._connections: set[Connection] = set()
        self._changed = threading.Condition()
        self._refused: dict[socket.socket, float] = {}  # until when each may stay
        self._signals = 0
        self._takes_signals = False
        self._wake, self._woken = socket.socketpair()
        for end in (self._wake, self._woken):
            end.settimeout(0)
        for door in doors:
            door.site.is_crowded = self._is_crowded

    def stop(self) -> None:
        """Have `run` return soon; from any thread, or a signal's handler. Twice: at once."""
        self._signals += 1
        try:
            self._wake.send(b"x")
        except OSError:
            pass  # it is full, so that it wakes anyway

    def stop_on_signals(self, numbers: Sequence[int]) -> None:
        """Have these signals stop it, as `stop` does; in the main thread, which then runs it.

        Python runs a handler with the main thread's next instruction, and a thread that waits has
        none. It wakes if the signal interrupts it; not if another thread was interrupted, or if the
        signal came right before it began to wait. Hence a byte, written as the signal comes.
        """
        self._takes_signals = True
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for number in numbers:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda _number, _frame: self.stop())

    def run(self, orphaned: int | None = None) -> None:
        """Serve until `stop` is called, or nobody has asked for anything for long enough.

        Args:
            orphaned: a descriptor that can be read when whoever started this process has gone.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            if orphaned is not None:
                selector.register(orphaned, selectors.EVENT_READ)
            for door in self._doors:
                door.socket.settimeout(0)
                selector.register(door.socket, selectors.EVENT_READ, door)
            while not self._signals:
                ticks = self._refused or self._idle_exit is not None
                for key, _ in selector.select(_TICK if ticks else None):
                    if isinstance(key.data, Door):
                        self._accept(key.data, selector)
                    elif key.fileobj in self._refused:
                        self._hear_out(key.fileobj, selector)
                    elif key.fileobj is self._woken:
                        self._woken.recv(limits.PIECE)
                    else:
                        self._signals += 1
                self._let_go_of_refused(selector)
                if self._idle_exit is not None and self._board.idle_for() >= self._idle_exit:
                    break
        for door in self._doors:
            door.socket.close()
        for refused in self._refused:
            refused.close()
        self._finish()
        self._crew.end()
        if self._takes_signals:
            signal.set_wakeup_fd(-1)
        self._wake.close()
        self._woken.close()

    def _finish(self) -> None:
        """Let running requests end, for a while; then end what is left."""
        with self._changed:
            until = time.monotonic() + self._grace
            while self._connections:
                for connection in self._connections:
                    connection.end()
                left = until - time.monotonic()
                if left <= 0 or self._signals > 1:
                    break
                self._changed.wait(min(left, _PAUSE * 2))
            for connection in self._connections:
                connection.wire.cut()
            self._changed.wait_for(lambda: not self._connections, 1.0)

    def _accept(self, door: Door, selector: selectors.BaseSelector) -> None:
        try:
            connected, address = door.socket.accept()
        except BlockingIOError:
            return  # another process was quicker
        except OSError:
            time.sleep(_PAUSE)  # no descriptor is left, most likely
            return
        connected.settimeout(None)
        if len(self._connections) >= self._most and not self._make_room():
            self._refuse(connected, selector, tells=door.certificate is None)
            return
        try:
            if door.certificate is not None:
                connected = door.certificate.wrap(connected)
            connection = _connection(connected, door.site, address)
        except (OSError, ssl.SSLError):
            connected.close()
            return
        with self._changed:
            self._connections.add(connection)
        self._board.connected(1)
        try:
            self._crew.give(lambda: self._serve(connection))
        except RuntimeError:
            self._leave(connection)
            self._refuse(connected, selector, tells=door.certificate is None)

    def _serve(self, connection: Connection) -> None:
        try:
            connection.serve()
        except Exception:  # noqa: BLE001 - a bug must cost one connection, not a thread
            self._doors[0].site.note_bug()
        finally:
            self._leave(connection)

    def _leave(self, connection: Connection) -> None:
        self._board.connected(-1)
        with self._changed:
            self._connections.discard(connection)
            self._changed.notify()

    def _is_crowded(self) -> bool:
        """Whether connections should end with their answers: there are many, or it stops."""
        return self._signals > 0 or len(self._connections) * 4 > self._most * 3

    def _make_room(self) -> bool:
        """End the connection that has been idle longest, if need be. Whether there is room."""
        with self._changed:
            staying = [one for one in self._connections if not one.is_ending]
            if len(staying) >= self._most:
                idle = [one for one in staying if one.idle_since is not None]
                if not idle:
                    return False
                min(idle, key=lambda one: one.idle_since or 0.0).end()
            # Those that are ending have gone in a moment, if there is a processor for them.
            most = 2 * self._most
            return self._changed.wait_for(lambda: len(self._connections) < most, _PAUSE * 5)

    def _refuse(
        self, connected: socket.socket, selector: selectors.BaseSelector, *, tells: bool
    ) -> None:
        """Tell a client to come again, and stay until it has read that; under TLS just close."""
        self._board.refused()
        if not tells or len(self._refused) >= limits.MAX_REFUSED:
            connected.close()
            return
        connected.settimeout(0)
        try:
            connected.send(_REFUSAL)
            connected.shutdown(socket.SHUT_WR)
        except OSError:
            connected.close()
            return
        self._refused[connected] = time.monotonic() + limits.REFUSED_SECONDS
        selector.register(connected, selectors.EVENT_READ)

    def _hear_out(self, refused: object, selector: selectors.BaseSelector) -> None:
        assert isinstance(refused, socket.socket)
        try:
            if refused.recv(limits.PIECE):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._let_go(refused, selector)

    def _let_go_of_refused(self, selector: selectors.BaseSelector) -> None:
        now = time.monotonic()
        for refused in [one for one, until in self._refused.items() if until <= now]:
            self._let_go(refused, selector)

    def _let_go(self, refused: socket.socket, selector: selectors.BaseSelector) -> None:
        del self._refused[refused]
        selector.unregister(refused)
        refused.close()


def _connection(connected: socket.socket, site: Site, address: object) -> Connection:
    if connected.family == socket.AF_UNIX:
        return Connection(Wire(connected), site, "", "")
    assert isinstance(address, tuple)
    return Connection(Wire(connected), site, str(address[0]), str(connected.getsockname()[0]))
