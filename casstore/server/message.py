"""What the server and its APIs hand each other: a request and a response, as plain values.

Nothing here knows a socket. An API is a function from a `Request` and a `Store` to a `Response`;
`connection.py` reads the one and writes the other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Protocol

from casstore.errors import Refused
from casstore.store import Store


class BrokenBody(Refused):
    """A request body that is cut off, badly framed, too long or too slow."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        """`status`: what the client is told; 408 for a body that is too slow, 413 if too long."""
        super().__init__(message)
        self.status = status


class Headers:
    """Header fields: found whatever their case, repeated ones in the order of the message."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields: dict[str, list[str]] = {}
        for name, value in fields:
            self._fields.setdefault(name.lower(), []).append(value)

    def get(self, name: str, default: str = "") -> str:
        """The first value of a field."""
        values = self._fields.get(name.lower())
        return values[0] if values else default

    def all(self, name: str) -> list[str]:
        """Every value of a field, none if it is not there."""
        return list(self._fields.get(name.lower(), ()))

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._fields

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Each field, with its name in lower case."""
        for name, values in self._fields.items():
            for value in values:
                yield name, value


class Body(Protocol):
    """What the client sends after the headers. It is read once, from its beginning."""

    @property
    def length(self) -> int | None:
        """Bytes that the client announced; None: it sends chunks, and nobody knows how many."""

    def read(self, size: int = -1, /) -> bytes:
        """As of a file: at most `size` bytes, all that are left by default, b"" at the end.

        Raises:
            BrokenBody: the rest does not arrive, or is badly framed.
        """

    def readinto(self, buffer: bytearray | memoryview, /) -> int:
        """As of a file: bytes that are in `buffer` now, 0 at the end. Raises BrokenBody."""


class BytesBody:
    """A body that is there already: none at all, or one of a test."""

    def __init__(self, content: bytes = b"") -> None:
        self.length: int | None = len(content)
        self._content = content
        self._position = 0

    def read(self, size: int = -1, /) -> bytes:
        end = len(self._content) if size < 0 else self._position + size
        piece = self._content[self._position : end]
        self._position += len(piece)
        return piece

    def readinto(self, buffer: bytearray | memoryview, /) -> int:
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


@dataclass(slots=True)
class Request:
    """One request, its target decoded and its sender known.

    Attributes:
        method: in upper case.
        path: decoded; it begins with "/" and has no segment "." or "..", and no control character.
        query: the arguments after "?", each with its values in order.
        user: who logged in; None where nobody has to.
        peer: the client's address, for logs.
        base: scheme://host[:port] as the client named this server; "" on a unix socket.
    """

    method: str
    path: str
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    headers: Headers = field(default_factory=Headers)
    body: Body = field(default_factory=BytesBody)
    user: str | None = None
    peer: str = ""
    base: str = ""

    def argument(self, name: str, default: str = "") -> str:
        """The first value of an argument of the query."""
        values = self.query.get(name)
        return values[0] if values else default


@dataclass(slots=True)
class FileRange:
    """A part of an open file, to be sent; the file is closed when the answer is over."""

    file: IO[bytes]
    start: int
    length: int

    def close(self) -> None:
        self.file.close()


@dataclass(slots=True)
class Response:
    """An answer: status, header fields, and one of four bodies.

    Attributes:
        headers: the fields that the API wants; those that frame the body are added to them, unless
            the API gives Content-Length itself, as for HEAD.
        body: None: none. bytes: sent whole. A FileRange: that part of the file. An iterable: each
            item is sent at once, as a chunk; if it has `close`, that is called at the end, also
            when the client went. One that waits for something gives b"" now and then: it ends there
            if the client has gone, or the server is to stop. An answer to HEAD, 204 or 304 sends no
            body whatever stands here.
    """

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | FileRange | Iterable[bytes] | None = None

    @classmethod
    def of_json(
        cls,
        status: int,
        document: Any,
        headers: Iterable[tuple[str, str]] = (),
        *,
        media_type: str = "application/json",
    ) -> Response:
        """An answer with a JSON document."""
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        # A lone surrogate, from a name of a file that is not UTF-8, must not break an answer.
        content = text.encode("utf-8", "replace")
        return cls(status, [("Content-Type", media_type), *headers], content)

    def close(self) -> None:
        """Let go of the body; for an answer that is not sent."""
        close = getattr(self.body, "close", None)
        if close is not None:
            close()


Handler = Callable[[Request, Store], Response]


def read_whole(body: Body, limit: int) -> bytes:
    """All of a body that is to be in memory.

    Raises:
        BrokenBody: it is longer than `limit`, or does not arrive.
    """
    if body.length is not None and body.length > limit:
        raise BrokenBody(f"a body of more than {limit} bytes is refused here", status=413)
    pieces, size = [], 0
    while piece := body.read(limit + 1 - size):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise BrokenBody(f"a body of more than {limit} bytes is refused here", status=413)
    return b"".join(pieces)
