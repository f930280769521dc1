"""`WWW-Authenticate`: what a registry asks for (RFC 9110, 11.3; distribution-spec, token auth)."""

from __future__ import annotations

from casstore.startup.value import Value

MAX_HEADER = 8 << 10
_SPACE = " \t"
_TOKEN_END = frozenset(' \t,="')


class Challenge(Value):
    """One scheme and its parameters; both in lower case."""

    scheme: str
    parameters: dict[str, str]


def parse_challenges(headers: list[str]) -> list[Challenge]:
    """All challenges in the headers; what cannot be read is passed over."""
    found: list[Challenge] = []
    for text in headers:
        if len(text) <= MAX_HEADER:
            _parse(text, found)
    return found


def _parse(text: str, found: list[Challenge]) -> None:
    at, size = 0, len(text)
    while at < size:
        if text[at] in _SPACE or text[at] == ",":
            at += 1
            continue
        start = at
        while at < size and text[at] not in _TOKEN_END:
            at += 1
        word = text[start:at].lower()
        if not word:
            return
        if at < size and text[at] == "=" and found:
            value, at = _value(text, at + 1)
            found[-1].parameters.setdefault(word, value)
        else:
            found.append(Challenge(word, {}))


def _value(text: str, at: int) -> tuple[str, int]:
    if text[at : at + 1] != '"':
        start = at
        while at < len(text) and text[at] not in ' \t,"':
            at += 1
        return text[start:at], at
    at += 1
    value: list[str] = []
    while at < len(text) and text[at] != '"':
        if text[at] == "\\":
            at += 1
        value.append(text[at : at + 1])
        at += 1
    return "".join(value), at + 1
