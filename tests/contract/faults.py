"""A disk that fails: one call that this process makes about a directory is refused.

Python's own calls are counted and refused, not those of SQLite: crash/test_faults.py, and
`tools/torture faults`, do that to all calls of a command.
"""

from __future__ import annotations

import builtins
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from types import ModuleType
from typing import Any, Self

import pytest

from casstore.backends.local import ingest, uploads

CALLS = (
    "chmod", "fchmod", "fdatasync", "fstat", "fsync", "ftruncate", "link", "listdir", "lstat",
    "mkdir", "open", "posix_fallocate", "pread", "preadv", "pwrite", "read", "rename", "rmdir",
    "stat", "statvfs", "unlink", "utime", "write",
)  # fmt: skip


class Faults:
    """Calls about what is below a directory, one of which fails."""

    def __init__(self, root: str, patch: pytest.MonkeyPatch) -> None:
        self._root = root
        self._fails_at = 0
        self._errno = 0
        self._counts = False
        self.calls: list[str] = []
        for name in CALLS:
            self._refusing(patch, os, name)
        self._refusing(patch, fcntl, "flock")
        scandir = os.scandir
        patch.setattr(os, "scandir", lambda path=".": _Scan(self, scandir, path))
        patch.setattr(builtins, "open", self._opening(builtins.open))
        patch.setattr(ingest, "FileIO", self._opening(FileIO))
        patch.setattr(uploads, "FileIO", self._opening(FileIO))

    @contextmanager
    def at(self, number: int, errno: int) -> Iterator[None]:
        """Within it the call of this number fails, counted from 1; none with 0."""
        self.calls, self._fails_at, self._errno, self._counts = [], number, errno, True
        try:
            yield
        finally:
            self._counts = False

    def meet(self, what: str, where: object) -> None:
        """A call: it may be the one that fails."""
        if not self._counts or not self._is_below(where):
            return
        self.calls.append(f"{what} {where}")
        if len(self.calls) == self._fails_at:
            name = where if isinstance(where, str) else None
            raise OSError(self._errno, os.strerror(self._errno), name, None, name)

    def _is_below(self, where: object) -> bool:
        path = str(where)
        if isinstance(where, int):
            try:
                path = os.readlink(f"/proc/self/fd/{where}")
            except FileNotFoundError:
                return False
        return path.startswith(self._root)

    def _refusing(self, patch: pytest.MonkeyPatch, module: ModuleType, name: str) -> None:
        real = getattr(module, name)

        def act(*values: Any, **named: Any) -> Any:
            self.meet(name, named.get("dir_fd", values[0]))
            return real(*values, **named)

        patch.setattr(module, name, act)

    def _opened(self, real: Callable[..., Any], file: Any, *values: Any, **named: Any) -> Any:
        self.meet("open", file)
        return real(file, *values, **named)

    def _opening(self, real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *values, **named: self._opened(real, *values, **named)


class _Scan:
    """What os.scandir gives, entry by entry."""

    def __init__(self, faults: Faults, scandir: Callable[..., Any], path: object) -> None:
        faults.meet("scandir", path)
        self._faults, self._real, self._path = faults, scandir(path), path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._real.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> os.DirEntry[str]:
        self._faults.meet("readdir", self._path)
        entry: os.DirEntry[str] = next(self._real)
        return entry
