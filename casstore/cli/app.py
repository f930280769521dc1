"""What a command works with: the store, opened when first asked for, and the two streams.

Results go to stdout, everything else to stderr. Stdout is flushed before anything is written to
stderr, so that the two interleave on a terminal as things happened. Whatever goes through `out`
and `error` is one line and holds no control characters, wherever its parts came from.
"""

from __future__ import annotations

import os
import sys

from casstore.errors import UsageError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import IO, BinaryIO

    from casstore.store import Store


class App:
    """One run of the program."""

    __slots__ = ("_make", "_store", "command", "lock_timeout", "path")

    def __init__(
        self,
        path: str,
        lock_timeout: float,
        open_store: Callable[[str, float], Store] | None = None,
    ) -> None:
        self.path = path
        self.lock_timeout = lock_timeout
        self.command = ""  # the command's name, set by main
        self._make = open_store  # instead of ours
        self._store: Store | None = None

    @property
    def store(self) -> Store:
        """The store at `path`, opened once. Nothing is read or locked before it is used."""
        if not self.path:
            raise UsageError(
                "there is no home directory for a store: give --store or $CASSTORE_STORE"
            )
        if self._store is None and self._make is not None:
            self._store = self._make(self.path, self.lock_timeout)
        elif self._store is None:
            from casstore.store import Store, store_of
            from casstore.store.session import Session

            session = Session.of_directory(
                self.path,
                lock_timeout=self.lock_timeout,
                command=f"casstore {self.command}",
                cautious=os.environ.get("CASSTORE_NETWORK_FS") != "allow",
            )
            self._store = store_of(session, Store)
        return self._store

    def close(self, *, leave: bool) -> None:
        """Close the store, if a command has used it; or leave it to the end of the process."""
        if self._store is None:
            return
        if leave:
            self._store.session.leave()
        else:
            self._store.close()

    def tell(self) -> None:
        """What the store has to say besides results and errors, on stderr; once."""
        notices: list[str] = getattr(self._store, "notices", [])
        self.warn(notices)
        notices.clear()

    def now(self) -> int:
        """Nanoseconds since 1970, for ages."""
        from casstore.clock import current_time

        return current_time()

    def out(self, line: str) -> None:
        """One line of the result."""
        sys.stdout.write(printable(line) + "\n")

    def write(self, text: str) -> None:
        """Finished text of the result: a table, JSON, what a template gave. The caller escapes."""
        if text:
            sys.stdout.write(text)

    def error(self, text: str) -> None:
        """`Error: <text>`, on stderr."""
        self.note(f"Error: {text}")

    def note(self, line: str) -> None:
        """One line on stderr."""
        sys.stdout.flush()
        sys.stderr.write(printable(line) + "\n")

    def warn(self, warnings: Sequence[str]) -> None:
        """Something that did not go well after the change was made, on stderr."""
        for text in warnings:
            self.note(f"Warning: {text}")

    def ask(self, question: str) -> bool:
        """Ask on stderr, for stdout has only results; only `y` on stdin means yes."""
        return self.read_line(question).lower() == "y"

    def read_line(self, question: str) -> str:
        """Ask on stderr; a line of stdin, without blanks around it."""
        sys.stdout.flush()
        sys.stderr.write(question)
        sys.stderr.flush()
        return sys.stdin.readline().strip()

    def input(self) -> IO[bytes]:
        """Standard input, as bytes."""
        return sys.stdin.buffer

    def output(self) -> BinaryIO:
        """Standard output, as bytes."""
        sys.stdout.flush()
        return sys.stdout.buffer
