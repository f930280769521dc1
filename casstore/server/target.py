"""The target of a request, taken apart: a path that can be trusted, and the arguments of a query.

A path is decoded once. What two programs could understand differently is refused and never mended:
segments `.` and `..`, which a proxy may have resolved otherwise; control characters; bytes that are
not UTF-8; a broken percent-encoding.
"""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from casstore.errors import Refused, quote
from casstore.server.limits import MAX_ARGUMENTS

_HEX = frozenset(b"0123456789abcdefABCDEF")


def parse_target(target: str) -> tuple[str, dict[str, list[str]]]:
    """The path and the arguments of a request's target, which is ASCII.

    Raises:
        Refused: it is neither a path nor a URL, or its path is one of the above.
    """
    if target.startswith(("http://", "https://")):  # absolute-form, RFC 9112, 3.2.2
        target = "/" + target.split("//", 1)[1].partition("/")[2]
    if not target.startswith("/"):
        raise Refused(f"the target {quote(target)} is not a path")
    path, _, query = target.partition("?")
    if "%" in path:
        path = _decoded(path)
    segments = path.split("/")
    if "." in segments or ".." in segments:
        raise Refused(f"the path {quote(path)} has a segment that is . or ..")
    return path, parse_query(query) if query else {}


def parse_query(query: str) -> dict[str, list[str]]:
    """The arguments of a query, as HTML forms write them.

    Raises:
        Refused: there are too many, or one is not UTF-8 text in a correct percent-encoding.
    """
    pairs = query.split("&")
    if len(pairs) > MAX_ARGUMENTS:
        raise Refused(f"the query has more than {MAX_ARGUMENTS} arguments")
    found: dict[str, list[str]] = {}
    for pair in pairs:
        if not pair:
            continue
        name, _, value = pair.replace("+", " ").partition("=")
        found.setdefault(_decoded(name), []).append(_decoded(value))
    return found


def _decoded(text: str) -> str:
    raw = text.encode("ascii", "strict")
    at = raw.find(b"%")
    while at >= 0:
        if not (len(raw) >= at + 3 and _HEX.issuperset(raw[at + 1 : at + 3])):
            raise Refused(f"{quote(text)} has a broken percent-encoding")
        at = raw.find(b"%", at + 3)
    try:
        decoded = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise Refused(f"{quote(text)} does not decode to UTF-8") from None
    if any(c < " " or c == "\x7f" for c in decoded):
        raise Refused(f"{quote(text)} has a control character in it")
    return decoded
