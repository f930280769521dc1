"""Connections that stay open between requests, shared by all threads of a command."""

from __future__ import annotations

import os

from casstore.registry.routes import Connector, Route
from casstore.startup import allocate_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from casstore.registry.connection import Connection

MOST_IDLE = 16  # on one route


class Pool:
    """Takes a connection from those that are idle, or makes one.

    After a fork the child begins without any: two cannot speak through one connection.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._disconnect()

    def _disconnect(self) -> None:
        self._process = os.getpid()
        self._connector = Connector(self._clock)
        self._guard = allocate_lock()
        self._idle: dict[Route, list[Connection]] = {}
        self._open: set[Connection] = set()

    def take(self, route: Route, *, fresh: bool = False) -> Connection:
        """A connection for one request: the last that was used, or a new one.

        Raises:
            OSError, RegistryError: it cannot be made.
        """
        if self._process != os.getpid():
            self._disconnect()
        while not fresh:
            with self._guard:
                idle = self._idle.get(route)
                connection = idle.pop() if idle else None
            if connection is None:
                break
            if connection.is_quiet():
                connection.is_used = True
                return connection
            self.drop(connection)
        connection = self._connector.connect(route)
        with self._guard:
            self._open.add(connection)
        return connection

    def give_back(self, route: Route, connection: Connection) -> None:
        """The answer has been read, and the next request may come."""
        with self._guard:
            idle = self._idle.setdefault(route, [])
            if connection in self._open and len(idle) < MOST_IDLE:
                idle.append(connection)
                return
        self.drop(connection)

    def drop(self, connection: Connection) -> None:
        """Close a connection."""
        with self._guard:
            self._open.discard(connection)
        connection.close()

    def hang_up(self) -> None:
        """Let whoever waits for bytes of a connection see its end now."""
        if self._process != os.getpid():
            return  # forked: the connections are the parent's
        with self._guard:
            connections = list(self._open)
        for connection in connections:
            connection.hang_up()

    def close(self) -> None:
        """Close what is idle; what is in use is closed by who uses it."""
        with self._guard:
            idle, self._idle = [one for each in self._idle.values() for one in each], {}
        for connection in idle:
            self.drop(connection)

    def __del__(self) -> None:
        """Of a transport that nobody has closed."""
        self.close()
