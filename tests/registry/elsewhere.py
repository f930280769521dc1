"""A transport that connects to a server of the test in place of another."""

from __future__ import annotations

from collections.abc import Mapping

from casstore.registry.access import Access
from casstore.registry.answer import Answer
from casstore.registry.connection import Body
from casstore.registry.http import Transport


class Elsewhere(Transport):
    """Sends what begins with a URL to another, and notes what it was asked for, and the login."""

    def __init__(self, access: Access, instead: Mapping[str, str]) -> None:
        super().__init__(access)
        self._instead = instead
        self.diverted: list[tuple[str, str | None]] = []

    def _once(self, method: str, url: str, headers: dict[str, str], body: Body | None) -> Answer:
        for named, ours in self._instead.items():
            if url.startswith(named):
                self.diverted.append((url, headers.get("Authorization")))
                return super()._once(method, ours + url.removeprefix(named), headers, body)
        return super()._once(method, url, headers, body)
