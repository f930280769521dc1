"""The local backend: a directory, an SQLite file, a lock file. FORMAT.md specifies each file.

What the operating system refuses, a method of a port raises as StorageError: `told` sees to that.
"""

from __future__ import annotations

from casstore.errors import StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")


def told(doing: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Let a function raise StorageError, `cannot {doing}`, where the operating system refuses."""

    def telling(act: Callable[P, T]) -> Callable[P, T]:
        def told(*values: P.args, **named: P.kwargs) -> T:
            try:
                return act(*values, **named)
            except OSError as error:
                raise refused(error, doing) from None

        return told

    return telling


def refused(error: OSError, doing: str) -> StorageError:
    """What the operating system refused, as one clear line that begins `cannot {doing}`."""
    try:
        from casstore.files.durable import storage_error
    except (ImportError, OSError):  # no descriptor is left, say
        return StorageError(f"cannot {doing}: {error.strerror}")
    return storage_error(error, f"cannot {doing}")
