"""A change, as far as a backend makes one of its own; change/commit.py has the whole of it."""

from __future__ import annotations

from casstore.startup.typed import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self


class Changing(Protocol):
    """The lock and one transaction, as a context manager; leaving it without `commit` undoes it."""

    index: Any  # the backend's own Edits

    def commit(self) -> None:
        """Make the change durable, publish it, and discard what it doomed."""

    def publish(self, *, anew: bool = False) -> None:
        """Publish the index whole as it stands; `anew` where it was, and is wrong."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
