"""`Link`: where a list goes on (RFC 8288, section 3)."""

from __future__ import annotations

import re

from casstore.startup.value import Value

MAX_HEADER = 64 << 10
_TARGET = re.compile(r"[\s,]*<([^>]*)>")
_PARAMETER = re.compile(
    r"""\s*;\s*(?:([^\s=;,"<>]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?)?"""
)
_QUOTED_PAIR = re.compile(r"\\(.)")
_REST = re.compile(r"[^,]*")


class Link(Value):
    """One link, with its relations in lower case."""

    target: str
    relations: frozenset[str]


def parse_links(headers: list[str]) -> list[Link]:
    """All links in the headers; what cannot be read is passed over."""
    found = []
    for text in headers:
        at = 0
        while len(text) <= MAX_HEADER and (target := _TARGET.match(text, at)):
            at, relations = target.end(), None
            while parameter := _PARAMETER.match(text, at):
                at = parameter.end()
                name, quoted, plain = parameter.groups()
                if relations is None and (name or "").lower() == "rel":  # the first one counts
                    value = _QUOTED_PAIR.sub(r"\1", quoted) if quoted is not None else plain or ""
                    relations = frozenset(value.lower().split())
            found.append(Link(target[1].strip(), relations or frozenset()))
            rest = _REST.match(text, at)
            at = rest.end() if rest is not None else len(text)
    return found
