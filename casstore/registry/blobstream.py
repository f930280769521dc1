"""A blob as it comes from a registry: one stream, however often the connection breaks.

After a break the rest is asked for by `Range`; a server that does not know ranges sends it all
again, and what is known is passed over. An attempt that brings enough bytes starts the count of
attempts again. Whoever reads the bytes verifies them.
"""

from __future__ import annotations

from casstore.errors import Refused
from casstore.model.descriptor import Descriptor
from casstore.registry.answer import Answer
from casstore.registry.failures import BrokenConnection
from casstore.registry.http import ATTEMPTS
from casstore.registry.remote import Repository
from casstore.registry.wire import SLOW_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from casstore.progress import Task

GATHERED = 128 << 10  # bytes that a read waits for, unless the blob ends


class BlobStream:
    """The bytes of a blob from `offset` on. Nothing is asked for before the first read."""

    def __init__(
        self,
        repository: Repository,
        descriptor: Descriptor,
        offset: int = 0,
        task: Task | None = None,
    ) -> None:
        """`task` counts the bytes of the blob that are here, those before `offset` too."""
        self._repository = repository
        self._task = task
        if task is not None:
            task.done = offset
        self._descriptor = descriptor
        self._at = offset
        self._skip = 0  # bytes that come again
        self._answer: Answer | None = None
        self._failures = 0
        self._gained = 0  # bytes since the last failure
        self._broken: BrokenConnection | None = None  # after bytes that had to be handed on first

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; none at the end.

        Raises:
            BrokenConnection: it broke off once too often.
            Refused: the server sends another part, or another length.
        """
        wanted = size if size >= 0 else GATHERED
        parts: list[bytes] = []
        while wanted > 0 and self._at < self._descriptor.size:
            data = self._next(wanted, first=not parts)
            if not data:
                break
            parts.append(data)
            wanted -= len(data)
            if sum(map(len, parts)) >= GATHERED:
                break
        if not parts and wanted > 0 and self._answer is not None and not self._answer.length():
            # Its length was not told: a blob that is too long must not pass for right.
            try:
                parts.append(self._read_some(1))
            except BrokenConnection:
                pass
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Close the connection, unless all of it was read."""
        if self._answer is not None:
            self._answer.close()
            self._answer = None

    def interrupt(self) -> None:
        """End all waiting of this command's connections, in whichever thread."""
        self._repository.registry.transport.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        self.close()

    def _next(self, size: int, *, first: bool) -> bytes:
        """At least one byte; unless it is the `first` of a read, none where the stream breaks.

        So what has come is handed on, and kept, before the rest is waited for.
        """
        if self._broken is not None:
            error, self._broken = self._broken, None
            self._failed(error)
        while True:
            if self._answer is None:
                self._open()  # which tries several times by itself
            try:
                data = self._read_more(GATHERED if self._skip else min(size, GATHERED))
            except BrokenConnection as error:
                if not first:
                    self.close()
                    self._broken = error
                    return b""
                self._failed(error)
                continue
            if self._skip:
                passed = min(self._skip, len(data))
                self._skip -= passed
                data = data[passed:]
            if data:
                self._gained += len(data)
                if self._gained >= SLOW_BYTES:  # not each byte: one at a time could take for ever
                    self._failures = 0
                self._at += len(data)
                if self._task is not None:
                    self._task.advance(len(data))
                return data

    def _failed(self, error: BrokenConnection) -> None:
        """Wait before the next attempt; raises the error after the last one."""
        self.close()
        self._failures += 1
        self._gained = 0
        if self._failures >= ATTEMPTS:
            raise error
        self._repository.registry.transport.pause(self._failures)

    def _read_more(self, size: int) -> bytes:
        data = self._read_some(size)
        if not data:
            raise BrokenConnection(
                f"blob {self._descriptor.digest} broke off after {self._at} bytes"
            )
        return data

    def _read_some(self, size: int) -> bytes:
        assert self._answer is not None
        return self._answer.read_some(size)

    def _open(self) -> None:
        descriptor = self._descriptor
        self._answer = answer = self._repository.blob(descriptor, self._at)
        if answer.status == 206:
            self._skip, promised = 0, self._at
        else:
            self._skip, promised = self._at, 0
        length = answer.length()
        if length is not None and promised + length != descriptor.size:
            raise Refused(
                f"blob {descriptor.digest} is {promised + length} bytes long, "
                f"but its descriptor says {descriptor.size}"
            )
