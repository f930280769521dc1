"""The Engine API as a test calls it: a method and a path in, a status and a document out."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

from casstore.server.engine.api import answer
from casstore.server.engine.options import EngineOptions
from casstore.server.message import Body, BytesBody, FileRange, Headers, Request
from casstore.store import Store


class Reply:
    """An answer, read to its end."""

    def __init__(self, status: int, headers: list[tuple[str, str]], pieces: list[bytes]) -> None:
        self.status = status
        self.headers = Headers(headers)
        self.pieces = pieces
        self.body = b"".join(pieces)

    @property
    def json(self) -> Any:
        """The document."""
        return json.loads(self.body)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The documents of a stream, a line each."""
        return [json.loads(line) for line in self.body.splitlines()]

    @property
    def message(self) -> str:
        """What an error says."""
        document = self.json
        assert list(document) == ["message"]
        return str(document["message"])


class Engine:
    """The API over one store."""

    def __init__(self, store: Store, options: EngineOptions | None = None) -> None:
        self.store = store
        self.options = options or EngineOptions(release="1.2.3")

    def call(
        self,
        method: str,
        target: str,
        body: bytes | Body = b"",
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """Call, and read what is answered."""
        path, _, query = target.partition("?")
        request = Request(
            method,
            path,
            parse_qs(query, keep_blank_values=True),
            Headers((headers or {}).items()),
            BytesBody(body) if isinstance(body, bytes) else body,
        )
        response = answer(request, self.store, self.options)
        content = response.body
        assert not isinstance(content, FileRange)
        if content is None or isinstance(content, bytes):
            pieces = [content or b""]
        else:
            pieces = list(content)
        response.close()
        return Reply(response.status, response.headers, pieces)

    def get(self, target: str) -> Any:
        """The document that a GET gives."""
        reply = self.call("GET", target)
        assert reply.status == 200, reply.body
        return reply.json

    def post(self, target: str, body: bytes = b"") -> Reply:
        """What a POST gives."""
        return self.call("POST", target, body)

    def refusal(self, method: str, target: str, body: bytes = b"") -> tuple[int, str]:
        """Status and message of a call that is refused."""
        reply = self.call(method, target, body)
        return reply.status, reply.message
