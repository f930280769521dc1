"""Streams that tell a task how many bytes have passed."""

from __future__ import annotations

import io

from casstore.transfer.fullreads import read_into

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import IO

    from casstore.ports.blobs import Placed
    from casstore.progress import Task


class CountedReader(io.RawIOBase):
    """What is read through it is counted. It has no descriptor, so nothing goes past it."""

    def __init__(self, stream: IO[bytes], task: Task) -> None:
        self._stream, self._task = stream, task

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        count = read_into(self._stream, memoryview(buffer))
        self._task.advance(count)
        return count

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


class CountedFile(io.FileIO):
    """A file opened for reading whose reads are counted."""

    def __init__(self, descriptor: int, task: Task) -> None:
        super().__init__(descriptor, "rb")
        self._task = task

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(-1 if size is None else size)
        self._task.advance(len(data))
        return data

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        count = super().readinto(buffer)
        self._task.advance(count)
        return count


class CountedWriter:
    """What is written through it is counted; all that a sink needs of a stream."""

    def __init__(self, stream: IO[bytes], task: Task) -> None:
        self._write, self._task = stream.write, task

    def write(self, data: bytes | memoryview) -> int:
        count = self._write(data)
        self._task.advance(len(data))
        return count

    def writelines(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self.write(piece)


class CountedTarget:
    """What is placed through it is counted."""

    def __init__(self, target: Placed, task: Task) -> None:
        self._place, self._task = target.place, task

    def place(self, offset: int, data: memoryview) -> None:
        self._place(offset, data)
        self._task.advance(len(data))
