"""What a client has already, and which part it wants: ETag and Range (RFC 9110, 13 and 14)."""

from __future__ import annotations

from casstore.server.message import Request


class Unsatisfiable(Exception):
    """A range that begins after the end."""


def etag(digest: str) -> str:
    """The entity tag of content that its digest names."""
    return f'"{digest}"'


def is_known(request: Request, digest: str) -> bool:
    """Whether the client says that it has this content."""
    tags = ",".join(request.headers.all("if-none-match"))
    if not tags:
        return False
    wanted = etag(digest)
    return any(tag.strip().removeprefix("W/") in (wanted, "*") for tag in tags.split(","))


def wanted_range(request: Request, digest: str, size: int) -> tuple[int, int] | None:
    """The range of the content that is wanted, as its start and length; None for all of it.

    Anything but a single range of bytes is ignored, as the RFC allows: then all is sent. So is the
    range of a HEAD, as it demands.

    Raises:
        Unsatisfiable: nothing of it is there.
    """
    if request.method != "GET":
        return None
    unit, _, ranges = request.headers.get("range").partition("=")
    if unit.strip().lower() != "bytes" or "," in ranges:
        return None
    condition = request.headers.get("if-range")
    if condition and condition != etag(digest):
        return None
    first, dash, last = ranges.strip().partition("-")
    if not dash or not all(
        part == "" or (part.isascii() and part.isdigit()) for part in (first, last)
    ):
        return None
    if len(first) > 19 or len(last) > 19:
        raise Unsatisfiable
    if first:
        start = int(first)
        end = min(int(last), size - 1) if last else size - 1
        if last and int(last) < start:
            return None
    elif last:
        start, end = max(size - int(last), 0), size - 1
        if last and int(last) == 0:
            raise Unsatisfiable
    else:
        return None
    if start >= size:
        raise Unsatisfiable
    return start, end - start + 1
