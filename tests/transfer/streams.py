"""Streams that sources are read from: as a pipe gives them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class _Forward(io.RawIOBase):
    """Bytes that are read once."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        return self._data.readinto(buffer)


class Pipe(io.BufferedReader):
    """A stream that can only be read forward, a little at a time."""

    def __init__(self, data: bytes, step: int = 1000) -> None:
        super().__init__(_Forward(data))
        self._step = step

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size if size is None or size < 0 else min(size, self._step))

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        return super().readinto(memoryview(buffer)[: self._step])
