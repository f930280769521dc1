"""Small JSON documents that registries and token servers answer: objects, errors."""

from __future__ import annotations

from casstore.errors import RegistryError, printable
from casstore.registry.answer import MAX_ERROR, Answer

_GZIP = b"\x1f\x8b"
_GZIP_WINDOW = 31  # zlib's word for a gzip header


def json_object(data: bytes) -> dict[str, object]:
    """The JSON object in an answer. Raises RegistryError."""
    import json

    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise RegistryError("the registry's answer is not JSON") from None
    if not isinstance(value, dict):
        raise RegistryError("the registry's answer is not a JSON object")
    return value


def reason(answer: Answer) -> str:
    """The errors that an answer's body tells, or its status; at most 64 KiB of it is read."""
    try:
        value = json_object(answer.document(MAX_ERROR, "error"))
        errors = value.get("errors")
        listed = errors if isinstance(errors, list) else []
        told = [_error(one) for one in listed if isinstance(one, dict)]
    except RegistryError:
        told = []
    text = "; ".join(dict.fromkeys(filter(None, told[:3])))
    return printable(text[:300]) if text else f"status {answer.status}"


def _error(error: dict[str, object]) -> str:
    code, message = error.get("code"), error.get("message")
    words = str(code).lower().replace("_", " ") if isinstance(code, str) else ""
    text = message if isinstance(message, str) else ""
    return f"{words}: {text}" if words and text and text != words else text or words


def decoded(answer: Answer, data: bytes, limit: int, what: str) -> bytes:
    """A document without the content coding that a proxy has put on it, though none was asked for.

    Raises:
        RegistryError: larger than `limit`, or not what its header says.
    """
    coding = answer.header("Content-Encoding").lower()
    if coding not in ("gzip", "x-gzip") or not data.startswith(_GZIP):
        return data
    import zlib

    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    try:
        plain = unpacker.decompress(data, limit + 1)
    except zlib.error:
        raise RegistryError(f"{what} is not gzip, as its header says") from None
    if len(plain) > limit:
        raise RegistryError(f"{what} exceeds the limit of {limit} bytes")
    return plain
