"""Stores that are kept open between requests: each is one thread's at a time.

To open an index costs more than most requests. So one that is free is used again, the last one
first: there are then only as many as requests were answered at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from casstore.server.message import FileRange, Handler, Request, Response
from casstore.store import Store


class Stores:
    """The open stores of one process."""

    def __init__(self, make: Callable[[], Store]) -> None:
        self._make = make
        self._free: list[Store] = []  # append and pop are atomic

    def answer(self, handler: Handler, request: Request) -> Response:
        """What a handler answers with a store; a body that is made on the way keeps it."""
        store = self._take()
        try:
            response = handler(request, store)
        except BaseException:
            self._give_back(store)
            raise
        if response.body is None or isinstance(response.body, (bytes, FileRange)):
            self._give_back(store)
        else:
            response.body = _Pieces(response.body, lambda: self._give_back(store))
        return response

    def close(self) -> None:
        """Close those that are free."""
        while self._free:
            self._free.pop().close()

    def _take(self) -> Store:
        try:
            return self._free.pop()
        except IndexError:
            return self._make()

    def _give_back(self, store: Store) -> None:
        store.notices.clear()
        self._free.append(store)


class _Pieces:
    """A body that is made piece by piece, and what is to be done after it."""

    def __init__(self, pieces: Iterable[bytes], after: Callable[[], None]) -> None:
        self._pieces = pieces
        self._after: Callable[[], None] | None = after

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)

    def close(self) -> None:
        """Close the body, and do that; once."""
        after, self._after = self._after, None
        if after is None:
            return
        try:
            close = getattr(self._pieces, "close", None)
            if close is not None:
                close()
        finally:
            after()
