"""The backends that the contract is held against, a double among them, and a change of one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from casstore.backends.local.backend import LocalBackend
from casstore.backends.memory.backend import MemoryBackend
from tests.change.doubles import Recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from casstore.model.digest import Digest
    from casstore.ports.backend import Backend
    from casstore.ports.edits import Edits

NOW = 1_000_000_000_000_000_000  # ns

BACKENDS: dict[str, Callable[[Path], Backend]] = {
    "local": lambda path: LocalBackend(str(path / "store")),
    "memory": lambda path: MemoryBackend(),
    "recorded": lambda path: Recorded(),
}


@contextmanager
def changing(
    backend: Backend,
    *,
    now: int = NOW,
    hard: Mapping[Digest, Sequence[str]] | None = None,
    timeout: float = 5,
) -> Iterator[Edits]:
    """One change: the lock, and a transaction that is rolled back unless it is committed."""
    lock = backend.lock(timeout, "a test")
    lock.acquire()
    try:
        backend.prepare(create=not backend.exists())
        edits = backend.edits(now, hard or {})
        edits.begin()
        try:
            yield edits
        finally:
            edits.rollback()
    finally:
        lock.release()
